"""Everybody's own account: how one signs in, what one may do, where one is signed in."""

from django.urls import path

from accounts.views import account as views
from accounts.views.mail import mail

app_name = "own"
urlpatterns = [
    path("", views.account, name="account"),
    path("second-factor/", views.second_factor, name="second_factor"),
    path("sign-in-again/", views.sign_in_again, name="sign_in_again"),
    path("sessions/end/", views.end_session, name="end_session"),
    path("sessions/end-all/", views.end_sessions, name="end_sessions"),
    path("mail/", mail, name="mail"),
    path("language/", views.language, name="language"),
]
