"""The classes of mail, and which of them somebody can switch off (experience.md §6.2)."""

from enum import StrEnum


class MailClass(StrEnum):
    """Why somebody gets a mail, and with that whether they have to."""

    SECURITY = "security"
    MANDATORY = "mandatory"
    INVITATION = "invitation"
    OPTIONAL = "optional"


# By the name of the message; what is not named is mandatory.
CLASSES: dict[str, MailClass] = {
    **dict.fromkeys(
        (
            "new_sign_in",
            "second_factor_changed",
            "password_changed",
            "password_reset",
            "address_changed",
            "factor_reset_asked",
            "factor_reset_declined",
            "factor_reset_due",
            "factor_reset_notice",
            "factors_reset",
            "factors_reset_notice",
            "calendar_address",
        ),
        MailClass.SECURITY,
    ),
    "invitation": MailClass.INVITATION,
    "reminder": MailClass.OPTIONAL,
    "renewal_forecast": MailClass.OPTIONAL,
}
# With a List-Unsubscribe. Of an invitation it switches off the reminders that follow.
WITH_UNSUBSCRIBE = frozenset({MailClass.INVITATION, MailClass.OPTIONAL})


def class_of(name: str) -> MailClass:
    """Return the class of a message."""
    return CLASSES.get(name, MailClass.MANDATORY)
