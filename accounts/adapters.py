"""django-allauth in this house: no open sign-up, mail through the outbox, fair limits.

Second factors are sealed with the keys of the bank and tax numbers.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.app_settings import PASSWORD_RESET_TOKEN_GENERATOR
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.forms import ResetPasswordForm
from allauth.account.internal.stagekit import clear_login
from allauth.account.utils import user_pk_to_url_str
from allauth.core import context as current
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts import known_browsers, outbox, proof, services
from accounts.devices import device_words
from accounts.emails import site_address
from accounts.models import CompanyTenant, OutgoingEmail, User
from accounts.sealing import seal, unseal
from accounts.signin_forms import ADDRESS_ERRORS

ALLAUTH = "allauth.account"
# What allauth would tell people after a change: the services have told it already.
TOLD_BY_SERVICES = frozenset(
    {
        "account/email/password_changed",
        "account/email/password_reset",
        "account/email/password_set",
        "mfa/email/recovery_codes_generated",
        "mfa/email/totp_activated",
        "mfa/email/totp_deactivated",
        "mfa/email/webauthn_added",
        "mfa/email/webauthn_removed",
    }
)


def reset_link(email: OutgoingEmail) -> dict[str, object]:
    """Make what only the mail itself holds: the address that sets a new password.

    Raises ValueError for a mail to nobody.
    """
    user = email.to_user
    if user is None:
        raise ValueError("nobody has this password")
    return {
        "is_kept": False,
        "url": site_address(
            "account_reset_password_from_key",
            uidb36=user_pk_to_url_str(user),
            key=PASSWORD_RESET_TOKEN_GENERATOR().make_token(user),
        ),
    }


def kept_reset_link() -> dict[str, object]:
    """Stand in for the address in what is stored: there a new mail is asked for."""
    return {"is_kept": True, "url": site_address("account_reset_password")}


class AccountAdapter(DefaultAccountAdapter):
    """People are added by their company or the program owner, never by themselves."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": gettext_lazy(
            "The e-mail address or the password is wrong."
        ),
        "enter_current_password": gettext_lazy("This is not the password you have."),
        "incorrect_password": gettext_lazy("The password is wrong."),
        "too_many_login_attempts": gettext_lazy(
            "Too many failed attempts. Wait ten minutes, then try again; a passkey "
            "works meanwhile."
        ),
    }

    def is_open_for_signup(self, request) -> bool:
        return False

    def is_safe_url(self, url) -> bool:
        """Only paths of this site may follow a sign-in."""
        if not url or not url.startswith("/") or url.startswith("//"):
            return False
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts=None, require_https=settings.SECURE
        )

    # --- Who one is -----------------------------------------------------------------

    def authenticate(self, request, **credentials) -> User | None:
        """Return the person whose password it is; the inactive are strangers here."""
        self.pre_authenticate(request, **credentials)
        user = authenticate(request, **credentials)
        AuthenticationBackend.unstash_authenticated_user()
        if user is None:
            self.authentication_failed(request, **credentials)
        else:
            for usage in self._attempt:
                usage.rollback()
        return user

    def pre_authenticate(self, request, **credentials) -> None:
        """Count an attempt; one that succeeds is taken back, so failures remain.

        Few failures are allowed at one address from one place, so that an outsider
        keeps nobody else out; many at one address from everywhere, which takes many
        places to reach and is over soon; some from one place at any address; and, in
        all, more than people mistype and fewer than a guesser needs. A browser that the
        person has signed in with counts for itself: whatever others do, it stays open
        to its owner (T6), and so does a passkey, which nobody can guess.
        """
        self._attempt = []
        keys = self._keys(request, credentials.get("email", ""))
        for action, key in keys.items():
            usage = ratelimit.consume(request, app=ALLAUTH, action=action, key=key)
            if not usage:
                raise self.validation_error("too_many_login_attempts")
            self._attempt.append(usage)

    def pre_login(self, request, user, *, signal_kwargs, **options):
        """Send whom a directory gave roles to it: roles are re-read where they came from.

        Else somebody the directory has dropped would keep them with an old password.
        """
        response = super().pre_login(
            request, user, signal_kwargs=signal_kwargs, **options
        )
        if response or "company_sign_in" in (signal_kwargs or {}):
            return response
        if not CompanyTenant.objects.deciding_for(user).exists():
            return None
        clear_login(request)
        messages.info(
            request,
            _("Your company's directory gives you your roles: sign in with Microsoft."),
        )
        return redirect("company:sign_in")

    def reauthenticate(self, user, password: str) -> bool:
        confirmed = self.authenticate(
            current.request, email=user.email, password=password
        )
        return confirmed == user

    def respond_user_inactive(self, request, user) -> HttpResponse:
        """Answer somebody inactive as a stranger, whatever they signed in with."""
        messages.error(request, self.error_messages["email_password_mismatch"])
        return redirect("account_login")

    def is_reauthentication_required(self, *, app: str, **options) -> bool:
        """Signing in counts as a proof too, for as long as any other does."""
        return not proof.is_fresh(self.request)

    def get_reauthentication_methods(self, user) -> list[dict]:
        """Whoever has a second factor proves themselves with it (T1), else anew."""
        methods = super().get_reauthentication_methods(user)
        described = {
            "reauthenticate": _("Use your password"),
            "mfa_reauthenticate": _("Use a code"),
            "mfa_reauthenticate:webauthn": _("Use a passkey"),
        }
        methods = [one | {"description": described[one["id"]]} for one in methods]
        strong = [one for one in methods if one["id"] != "reauthenticate"]
        # A passkey is asked for first: it cannot be told to somebody else.
        return strong[::-1] or methods

    def set_password(self, user, password) -> None:
        """Store a new password; who could choose one begins anew from this place."""
        acting = current.request.user
        services.set_password(
            user, password, by=acting if acting.is_authenticated else None
        )
        key = self._keys(current.request, user.email)["login_failed_here"]
        ratelimit.clear(
            current.request, app=ALLAUTH, action="login_failed_here", key=key
        )

    def _keys(self, request, email: str) -> dict[str, str | None]:
        """What the failures at one address are counted under."""
        address = User.objects.normalize_email(email)
        # Asked for strangers' addresses too: the time it takes tells nothing.
        person = User.objects.filter(email=address).first()
        if known_browsers.is_known(request, person or User()) and person:
            return {"login_failed_here": f"{address} from a browser of theirs"}
        return {
            "login_failed": None,
            "login_failed_here": f"{address} from {ratelimit.get_ip(request)}",
            "login_failed_anywhere": address,
            "login_failed_in_all": "everybody",
        }

    # --- Where one signs in from -----------------------------------------------------

    def login(self, request, user) -> None:
        self._is_first = user.last_login is None
        super().login(request, user)

    def post_login(self, request, user, **options) -> HttpResponse:
        """Tell of a browser that is new to the person, and let it be remembered."""
        response = super().post_login(request, user, **options)
        if not self._is_first and not known_browsers.is_known(request, user):
            services.note_new_place(
                user,
                user_agent=request.headers.get("User-Agent", ""),
                place=self.get_client_ip(request),
            )
        known_browsers.remember(response, request, user)
        return response

    # --- Mail: queued, never sent from a request ----------------------------------------

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Keep the link out of the request: it is made when the mail leaves."""
        return site_address("account_reset_password")

    def send_password_reset_mail(self, user, email, context) -> None:
        """Queue the mail to the person's own address, however it was typed."""
        outbox.queue(
            "password_reset",
            to=user,
            dedupe_key=f"password_reset:{user.pk}:{uuid.uuid4()}",
            context=kept_reset_link(),
        )

    def send_notification_mail(
        self, template_prefix, user, context=None, email=None
    ) -> None:
        if template_prefix not in TOLD_BY_SERVICES:
            self.send_mail(template_prefix, user.email, context)

    def send_mail(self, template_prefix, email, context) -> None:
        """Refuse what is no mail of ours: nothing leaves past the outbox."""
        raise NotImplementedError(f"There is no mail {template_prefix}.")


_owner: ContextVar[User | None] = ContextVar("owner of second factors", default=None)


@contextmanager
def opening_factors_of(user: User) -> Iterator[None]:
    """Let somebody's second factors be opened where there is no request: at a console."""
    token = _owner.set(user)
    try:
        yield
    finally:
        _owner.reset(token)


class SecondFactorAdapter(DefaultMFAAdapter):
    """Second factors: sealed for their owner, named, and kept where they are needed."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "cannot_delete_authenticator": gettext_lazy(
            "This is your last second factor, and the program owner asks everybody "
            "who reaches bank or tax data, roles or approvals for one. Add another "
            "one first."
        ),
        "incorrect_code": gettext_lazy(
            "That did not match. Codes change every 30 seconds and work once: wait "
            "for the next one, or try again."
        ),
    }

    def encrypt(self, text: str) -> str:
        return seal(text, **self._place())

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret; in anybody else's row it stays shut (T15)."""
        return unseal(encrypted_text, **self._place())

    def _place(self) -> dict[str, object]:
        """The row that a secret belongs to, which has no key yet when it is sealed."""
        request = current.request
        owner = _owner.get() or request.user
        if not owner.is_authenticated:
            owner = request._login_stage.login.user
        return {"table": "mfa_authenticator", "pk": owner.pk, "column": "data"}

    def can_delete_authenticator(self, authenticator) -> bool:
        """The last one stays where the policy asks for one (experience.md P3)."""
        if not settings.SECOND_FACTOR_REQUIRED:
            return True
        factors = proof.second_factors_of(authenticator.user)
        return factors != [authenticator] or not proof.needs_second_factor(
            authenticator.user
        )

    def generate_authenticator_name(self, user, type) -> str:
        return device_words(current.request.headers.get("User-Agent", ""))

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {"id": proof.passkey_host(current.request), "name": settings.PORTAL_NAME}

    def _get_site_name(self) -> str:
        return settings.PORTAL_NAME


class CompanySignInAdapter(DefaultSocialAccountAdapter):
    """Speaks with companies' directories; who signs in is the services' question."""

    def is_open_for_signup(self, request, sociallogin) -> bool:
        return False

    def get_requests_session(self):
        # What asks a provider takes 7 MB: not for every command that proves an operator.
        return import_module("accounts.id_tokens").provider_session()


class QuietResetForm(ResetPasswordForm):
    """Answers for an address nobody has as it does for one that somebody has (T6)."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.fields["email"].label = _("E-mail address")
        self.fields["email"].error_messages |= ADDRESS_ERRORS

    def save(self, request, **options) -> str:
        email = super().save(request, **options)
        if not self.users:
            self._write_to_nobody(email)
        return email

    def _write_to_nobody(self, email: str) -> None:
        """Do the same work, for nobody: the time it takes tells nothing either."""
        nobody = User(email=email, language=(get_language() or "en")[:2])
        PASSWORD_RESET_TOKEN_GENERATOR().make_token(nobody)
        with transaction.atomic():
            outbox.queue(
                "password_reset",
                to=nobody,
                dedupe_key=f"password_reset:{uuid.uuid4()}",
                context=kept_reset_link(),
            )
            transaction.set_rollback(True)
        outbox.wake()
