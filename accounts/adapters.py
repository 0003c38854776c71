"""django-allauth in this house: no open sign-up, redirects stay on this site."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.utils.http import url_has_allowed_host_and_scheme


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

    def get_from_email(self) -> str:
        return settings.DEFAULT_FROM_EMAIL
