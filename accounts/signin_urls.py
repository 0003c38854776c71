"""The pages of django-allauth this portal has, by name; all its others are left out.

An address is changed by the program owner, people are added by others, and every sign-in
asks for the password or a passkey: so there is no sign-up, no page for addresses and no
code by mail.
"""

from allauth.account import views
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as app
from allauth.mfa.webauthn import views as passkey
from django.contrib.auth.decorators import login_not_required
from django.urls import path, re_path

from accounts.access import recently_authenticated
from accounts.views import account, factors

urlpatterns = [
    # What allauth returns to when something is settled.
    path("", account.settled, name="mfa_index"),
    path("passkeys/", account.settled, name="mfa_list_webauthn"),
    # Signing in, and proving it again.
    path(
        "login/passkey/",
        login_not_required(factors.SignInByPasskeyView.as_view()),
        name="mfa_login_webauthn",
    ),
    path(
        "login/second-step/",
        factors.SecondStepView.as_view(),
        name="mfa_authenticate",
    ),
    path(
        "reauthenticate/code/",
        second_factor.reauthenticate,
        name="mfa_reauthenticate",
    ),
    path(
        "reauthenticate/passkey/",
        factors.ProveByPasskeyView.as_view(),
        name="mfa_reauthenticate_webauthn",
    ),
    # Adding and removing.
    path(
        "app/add/", recently_authenticated(app.activate_totp), name="mfa_activate_totp"
    ),
    path(
        "app/remove/",
        recently_authenticated(app.deactivate_totp),
        name="mfa_deactivate_totp",
    ),
    path(
        "passkeys/add/",
        recently_authenticated(factors.AddPasskeyView.as_view()),
        name="mfa_add_webauthn",
    ),
    path(
        "passkeys/<int:pk>/rename/",
        recently_authenticated(passkey.edit_webauthn),
        name="mfa_edit_webauthn",
    ),
    path(
        "passkeys/<int:pk>/remove/",
        recently_authenticated(factors.RemovePasskeyView.as_view()),
        name="mfa_remove_webauthn",
    ),
    path("codes/", factors.recovery_codes, name="mfa_view_recovery_codes"),
    path(
        "codes/make/",
        recently_authenticated(codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "codes/download/",
        factors.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("password/change/", views.password_change, name="account_change_password"),
    path(
        "password/set/",
        recently_authenticated(views.password_set),
        name="account_set_password",
    ),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path(
        "password/reset/done/",
        views.password_reset_done,
        name="account_reset_password_done",
    ),
    path(
        "password/reset/key/done/",
        views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        account.NewPasswordView.as_view(),
        name="account_reset_password_from_key",
    ),
]
