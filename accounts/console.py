"""Who acts at a command line where a page would ask who it is (domain.md §10.7)."""

from collections.abc import Callable

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.adapters import opening_factors_of
from accounts.models import User

Ask = Callable[[str], str]
CODES = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


def prove_operator(email: str, *, permission: str, ask: Ask) -> User:
    """Return the operator who holds a permission, after password and second factor.

    `ask` puts a question and returns the answer without showing it. One sentence
    answers every wrong password and every missing right. Raises ValidationError.
    """
    user = authenticate(
        email=email, password=ask(_("Password of %(who)s: ") % {"who": email})
    )
    if user is None or not user.is_staff or not user.has_perm(permission):
        raise ValidationError(
            _("The password is wrong, or this operator may not do that."),
            code="refused",
        )
    codes = list(Authenticator.objects.filter(user=user, type__in=CODES).order_by("pk"))
    if not codes:
        if settings.DEMO:
            return user
        raise ValidationError(
            _("Use the page, or add an authenticator app to your account first."),
            code="no_factor",
        )
    code = ask(_("Code of the authenticator app, or a recovery code: ")).strip()
    with opening_factors_of(user):
        is_right = any(one.wrap().validate_code(code) for one in codes)
    if not is_right:
        raise ValidationError(_("The code is wrong."), code="wrong_code")
    return user
