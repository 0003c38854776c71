"""Signing in through one's company, and connecting that with an account."""

from django.urls import path

from accounts.views import company as views

app_name = "company"
urlpatterns = [
    path("", views.sign_in, name="sign_in"),
    path("go/", views.go, name="go"),
    path("connect/", views.connect, name="connect"),
    path("disconnect/", views.disconnect, name="disconnect"),
    path("prove/", views.prove, name="prove"),
    path("<uuid:pk>/answer/", views.callback, name="callback"),
]
