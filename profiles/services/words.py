"""What people write about profiles: names, notes and reasons, without numbers (R59)."""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.templatetags.mails import numberless
from accounts.text import clean_line, clean_text
from profiles import countries, reasons
from profiles.models import Profile, ProfileVersion

NOTE_LENGTH = 400
# What counts as a number in a note: shorter ones are in every sentence.
NUMBER_LENGTH = 6
# Eight digits or more, in groups or not, look like an account's in a name; two years
# with a dash between do not.
ACCOUNT_LIKE = re.compile(r"\d(?:\W?\d){7,}")
TWO_YEARS = re.compile(r"(?:19|20)\d\d[-–/](?:19|20)\d\d")


# What readers of mails and pages would press, and what looks like it.
LINK = re.compile(r"(?:\b|_)(?:https?:|www\.)|://", re.IGNORECASE)


def refuse_link(text: str) -> None:
    """Raise ValidationError for a link: the portal's mails lead to the portal alone (T8)."""
    if LINK.search(unicodedata.normalize("NFKC", text)):
        raise ValidationError(
            _(
                "Leave out the link and say it in words: mails lead to the portal alone."
            ),
            code="link",
        )


def refuse_bad_name(profile: Profile) -> str:
    """Return a profile's name as it is stored; raise ValidationError on `name`."""
    profile.name = checked_name(profile.name)
    if not profile.name:
        raise ValidationError({"name": _("Enter a profile name")})
    profile.refuse_taken_name()
    return profile.name


def checked_name(name: str) -> str:
    numbers = ACCOUNT_LIKE.findall(name)
    if any(not TWO_YEARS.fullmatch(number) for number in numbers):
        raise ValidationError(
            {"name": _("Leave the account number out of the name. Call it otherwise.")}
        )
    try:
        return clean_line(name, max_length=80)
    except ValidationError as error:
        raise ValidationError({"name": error.messages}) from None


def checked_reasons(
    version: ProfileVersion, returned: list[dict[str, str]]
) -> list[dict[str, str]]:
    """Return the reasons as they are stored; errors say in `row` which one is wrong."""
    if not returned:
        raise _wrong_reason(
            "reason", _("Choose a reason, so that the partner knows what to mend.")
        )
    known = {reason.code: reason for reason in reasons.reasons_for(version.part)}
    fields = countries.field_keys(
        version.country, version.part, version=version.schema_version
    )
    checked = []
    for row, given in enumerate(returned):
        field, code = given.get("field", ""), given.get("code", "")
        if code not in known or field not in fields or not known[code].fits(field):
            raise _wrong_reason("reason", _("Choose a reason from the list."), row=row)
        try:
            note = checked_note(given.get("note", ""), version=version)
            refuse_link(note)
        except ValidationError as error:
            raise _wrong_reason("note", error.messages[0], row=row) from None
        if known[code].needs_note and len(note) < 20:
            raise _wrong_reason(
                "note",
                _("Say in at least 20 characters what the partner should do."),
                row=row,
            )
        checked.append({"field": field, "code": code, "note": note})
    return checked


def _wrong_reason(field: str, sentence: str, *, row: int = 0) -> ValidationError:
    return ValidationError({field: ValidationError(sentence, params={"row": row})})


def checked_note(note: str, *, version: ProfileVersion) -> str:
    """Return the note in its normal form; it is mailed, so it holds no number (R59)."""
    if not note.strip():
        return ""
    note = clean_text(note, max_length=NOTE_LENGTH)
    schema = version.schema
    numbers = [
        version.details.get(field.key, "")
        for field in (schema.fields if schema else ())
        if field.is_secret
    ]
    written = unicodedata.normalize("NFKC", note).upper()
    written = "".join(character for character in written if character.isalnum())
    if any(len(number) >= NUMBER_LENGTH and number in written for number in numbers):
        raise ValidationError(_("Leave out the number: this text is sent by mail."))
    # Nor any other, such as the right one for a wrong one.
    if numberless(note) != note:
        raise ValidationError(_("Leave out the number: this text is sent by mail."))
    return note
