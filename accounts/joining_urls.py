"""From the link in an invitation's mail to belonging to a company."""

from django.urls import path, re_path

from accounts import views
from accounts.link_tokens import TOKEN

app_name = "joining"
urlpatterns = [
    path("", views.invitation, name="invitation"),
    path("accept/", views.accept, name="accept"),
    path("join/", views.join, name="join"),
    re_path(rf"^(?P<token>{TOKEN})/$", views.link, name="link"),
]
