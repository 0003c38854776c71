"""Activity: what was done in the company."""

from django.urls import path

from accounts.views import activity as views

app_name = "activity"
urlpatterns = [
    path("", views.activity, name="list"),
    path("export/", views.export, name="export"),
]
