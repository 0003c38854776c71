"""People: who works for the company, in which role."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("", views.people, name="people"),
    path("gaps/", views.gaps, name="gaps"),
    path("assign/", views.assign, name="assign"),
    path("assign/preview/", views.preview, name="preview"),
    path("roles/<int:pk>/revoke/", views.revoke, name="revoke"),
]
