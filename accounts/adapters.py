"""django-allauth in this house: no open sign-up, mail through the outbox, fair limits."""

import uuid

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.app_settings import PASSWORD_RESET_TOKEN_GENERATOR
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.forms import ResetPasswordForm
from allauth.account.utils import user_pk_to_url_str
from allauth.core import context as current
from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib.auth import authenticate
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language

from accounts import outbox
from accounts.models import User

ALLAUTH = "allauth.account"
# What allauth tells people after a change; each of them is the same news.
PASSWORD_NEWS = (
    "account/email/password_changed",
    "account/email/password_reset",
    "account/email/password_set",
)


def site_address(name: str, **parts: str) -> str:
    """Return a whole address of this site, whatever name the request came to (T9)."""
    return settings.PUBLIC_BASE_URL + reverse(name, kwargs=parts or None)


def reset_link(user: User) -> dict[str, object]:
    """Make what only the mail itself holds: the address that sets a new password."""
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
        places to reach and is over soon; and some from one place at any address.
        """
        self._attempt = []
        keys = self._keys(request, credentials.get("email", ""))
        for action, key in {"login_failed": None, **keys}.items():
            usage = ratelimit.consume(request, app=ALLAUTH, action=action, key=key)
            if not usage:
                raise self.validation_error("too_many_login_attempts")
            self._attempt.append(usage)

    def reauthenticate(self, user, password: str) -> bool:
        confirmed = self.authenticate(
            current.request, email=user.email, password=password
        )
        return confirmed == user

    def set_password(self, user, password) -> None:
        """Store a new password; who could choose one begins anew from this place."""
        super().set_password(user, password)
        key = self._keys(current.request, user.email)["login_failed_here"]
        ratelimit.clear(
            current.request, app=ALLAUTH, action="login_failed_here", key=key
        )

    def _keys(self, request, email: str) -> dict[str, str]:
        """What the failures at one address are counted under."""
        address = User.objects.normalize_email(email)
        return {
            "login_failed_here": f"{address} from {ratelimit.get_ip(request)}",
            "login_failed_anywhere": address,
        }

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
        if template_prefix not in PASSWORD_NEWS:
            return self.send_mail(template_prefix, user.email, context)
        outbox.queue(
            "password_changed",
            to=user,
            dedupe_key=f"password_changed:{user.pk}:{uuid.uuid4()}",
            context={"url": site_address("account_reset_password")},
        )
        return None

    def send_mail(self, template_prefix, email, context) -> None:
        """Refuse what is no mail of ours: nothing leaves past the outbox."""
        raise NotImplementedError(f"There is no mail {template_prefix}.")


class QuietResetForm(ResetPasswordForm):
    """Answers for an address nobody has as it does for one that somebody has (T6)."""

    def save(self, request, **options) -> str:
        email = super().save(request, **options)
        if not self.users:
            # The same work, for nobody: the time it takes tells nothing either.
            nobody = User(email=email, language=(get_language() or "en")[:2])
            outbox.prepare(
                "password_reset",
                to=nobody,
                dedupe_key=f"password_reset:{uuid.uuid4()}",
                context=kept_reset_link(),
            )
            outbox.wake()
        return email
