"""What is typed or signed for a second factor: codes, passkeys and their names."""

import hashlib

from allauth.account.adapter import get_adapter
from allauth.account.forms import (
    ChangePasswordForm,
    LoginForm,
    ResetPasswordKeyForm,
    SetPasswordForm,
)
from allauth.account.utils import url_str_to_user_pk
from allauth.core import context as current
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import get_adapter as get_factor_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal import auth as totp
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    EditWebAuthnForm,
    LoginWebAuthnForm,
)
from django import forms
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from fido2.utils import websafe_decode, websafe_encode

from accounts.models import CompanyTenant, User
from accounts.sealing import DecryptionError, seal, unseal
from accounts.text import CleanCharField, EmailField

# Longer than any code is valid, with the clock's tolerance.
CODE_LIFE = 5 * 60
NAME_LENGTH = 60
ADDRESS_ERRORS = {
    "required": _("Enter your e-mail address."),
    "invalid": _("Enter a whole e-mail address, like name@company.com."),
}
# No person has this key; asking for it takes as long as asking for anybody's.
NOBODY = 0


class SignInForm(LoginForm):
    """Address and password; the address field also offers the browser's passkeys."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        address, password = self.fields["login"], self.fields["password"]
        address.label = _("E-mail address")
        address.error_messages |= ADDRESS_ERRORS
        address.widget.attrs["autocomplete"] = "username webauthn"
        password.error_messages["required"] = _("Enter your password.")


class _NewPasswordMixin:
    """A new password, typed twice, asked for in the portal's words."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        once, again = self.fields["password1"], self.fields["password2"]
        once.label, again.label = _("New password"), _("New password again")
        once.error_messages["required"] = _("Choose a new password.")
        again.error_messages["required"] = _("Type the new password again.")


class NewPasswordByLinkForm(_NewPasswordMixin, ResetPasswordKeyForm):
    """The new password of somebody who followed a mailed link."""


class FirstPasswordForm(_NewPasswordMixin, SetPasswordForm):
    """The password of somebody who has none."""


class OtherPasswordForm(_NewPasswordMixin, ChangePasswordForm):
    """A new password instead of the one that is typed first."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        current_one = self.fields["oldpassword"]
        current_one.label = _("Password now")
        current_one.error_messages["required"] = _("Enter the password you have now.")


class _CodeMixin:
    """A code of the app or a recovery code; each opens one door once (ASVS 6.5.1)."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        field = self.fields["code"]
        field.label = _("Code")
        field.help_text = _(
            "The six digits that your authenticator app shows now, or a recovery code."
        )
        field.error_messages["required"] = _("Enter a code.")
        field.widget = forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}
        )

    def clean_code(self) -> str:
        usage = ratelimit.consume(
            current.request,
            app="allauth.account",
            action="second_factor_failed",
            key=str(self.user.pk),
        )
        if not usage:
            raise get_adapter().validation_error("too_many_login_attempts")
        code = super().clean_code()
        usage.rollback()
        if self.authenticator.type == Authenticator.Type.TOTP and not _spend(
            self.user, code
        ):
            raise get_factor_adapter().validation_error("incorrect_code")
        return code


def _spend(user: User, code: str) -> bool:
    """Use a code of an app up; False when it has been used."""
    digits = "".join(filter(str.isalnum, code))
    digest = hashlib.sha256(f"{user.pk}:{digits}".encode()).hexdigest()
    return cache.add(f"second-factor:{digest}", "used", CODE_LIFE)


class CodeForm(_CodeMixin, AuthenticateForm):
    """The second step of signing in."""


class ConfirmCodeForm(_CodeMixin, ReauthenticateForm):
    """A code instead of the password, before something that matters."""


class AddAppForm(ActivateTOTPForm):
    """The first code of a new app; its secret waits sealed until the code is right."""

    code = forms.CharField(
        label=_("Code from the app"),
        help_text=_("The six digits that the app shows now."),
        error_messages={"required": _("Enter the code that the app shows.")},
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
    )

    def __init__(self, *args, user, **options):
        forms.Form.__init__(self, *args, **options)
        self.user = user
        self.secret = self._waiting_secret() or self._new_secret()

    def clean_code(self) -> str:
        code = super().clean_code()
        # It opens no other door after that.
        _spend(self.user, code)
        return code

    @property
    def grouped_secret(self) -> str:
        """The secret in fours, for those who type it."""
        return " ".join(self.secret[at : at + 4] for at in range(0, 32, 4))

    def _waiting_secret(self) -> str:
        """The secret of the page that was answered; a new page shows a new one."""
        token = current.request.session.get(totp.SECRET_SESSION_KEY, "")
        if not self.is_bound or not token:
            return ""
        try:
            return unseal(token, **self._place())
        except DecryptionError:
            return ""

    def _new_secret(self) -> str:
        secret = totp.generate_totp_secret()
        # allauth forgets what lies under this key when the app has been added.
        current.request.session[totp.SECRET_SESSION_KEY] = seal(secret, **self._place())
        return secret

    def _place(self) -> dict[str, object]:
        return {"table": "session", "pk": self.user.pk, "column": "second factor"}


class PasskeySignInForm(LoginWebAuthnForm):
    """A passkey alone; one question to the database, whoever is said to hold it (T6)."""

    def clean_credential(self) -> Authenticator:
        answer = self.cleaned_data["credential"]
        held = _passkeys(_key_in(answer)).filter(user=_owner_in(answer))
        if not held.exists():
            raise get_factor_adapter().validation_error("incorrect_code")
        return super().clean_credential()


def _passkeys(key: str):
    return Authenticator.objects.filter(
        type=Authenticator.Type.WEBAUTHN, data__credential__rawId=key
    )


def _key_in(answer) -> str:
    """The passkey that an answer of a browser names, in its one spelling."""
    try:
        return websafe_encode(websafe_decode(answer["rawId"]))
    except (KeyError, TypeError, ValueError):
        return ""


def _owner_in(answer) -> int:
    """Whom an answer of a browser names as the passkey's owner."""
    try:
        handle = websafe_decode(answer["response"]["userHandle"])
        return url_str_to_user_pk(handle.decode())
    except (KeyError, TypeError, ValueError, ValidationError):
        return NOBODY


class AddPasskeyForm(AddWebAuthnForm):
    """A passkey always proves who holds it, so that it can be used alone.

    It is one person's: with two accounts nobody could say whose it is.
    """

    passwordless = None
    name = CleanCharField(
        label=_("Name"),
        required=False,
        max_length=NAME_LENGTH,
        help_text=_("So that you know it again, for example the device's name."),
    )

    def clean(self) -> dict:
        self.cleaned_data["passwordless"] = True
        key = _key_in(self.cleaned_data.get("credential"))
        if _passkeys(key).exists():
            raise get_factor_adapter().validation_error("incorrect_code")
        return super().clean()


class RenamePasskeyForm(EditWebAuthnForm):
    """Another name for a passkey."""

    name = CleanCharField(label=_("Name"), max_length=NAME_LENGTH)


class RemoveFactorForm(forms.Form):
    """Nothing is typed; what keeps a factor from being removed is said at once."""

    def __init__(self, *args, authenticator, **options):
        super().__init__(*args, **options)
        self.authenticator = authenticator

    def clean(self):
        adapter = get_factor_adapter()
        if not adapter.can_delete_authenticator(self.authenticator):
            raise adapter.validation_error("cannot_delete_authenticator")
        return super().clean()


class EndSessionForm(forms.Form):
    """Which of one's sessions to end; nobody else's can be named."""

    session = forms.ModelChoiceField(queryset=None)

    def __init__(self, *args, sessions, **options):
        super().__init__(*args, **options)
        self.fields["session"].queryset = sessions


class CompanyForm(forms.Form):
    """The address whose domain says which company's directory is asked."""

    email = EmailField(
        label=_("E-mail address at work"),
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
        error_messages={"required": _("Enter your e-mail address.")},
    )
    tenant = None

    def clean_email(self) -> str:
        email = self.cleaned_data["email"]
        tenants = CompanyTenant.objects.active().select_related("partner_account")
        self.tenant = tenants.of_address(email).first()
        if self.tenant is None:
            raise forms.ValidationError(
                _(
                    "No company has set up signing in with Microsoft for %(domain)s. "
                    "Sign in with your password or a passkey."
                ),
                params={"domain": email.rpartition("@")[2]},
            )
        return email


class TenantForm(forms.Form):
    """One of the directories that may sign the person in."""

    tenant = forms.ModelChoiceField(queryset=None)

    def __init__(self, *args, tenants, **options):
        super().__init__(*args, **options)
        self.fields["tenant"].queryset = tenants
