"""The road back for whoever has lost every second factor."""

from django.urls import path, re_path

from accounts.link_tokens import TOKEN
from accounts.views import lost

app_name = "lost"
urlpatterns = [
    path("", lost.ask, name="ask"),
    path("stop/", lost.stop, name="stop"),
    re_path(rf"^stop/(?P<token>{TOKEN})/$", lost.link, name="link"),
]
