"""What somebody had before them when they pressed a button, and what changed since.

A form of the enroll pages carries a signed note of what its page showed: nothing is
kept for it. Where the enrollment is another one when the form arrives, nothing is done;
the page says what changed and who changed it (experience.md §4.5, security.md fault 46).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.core import signing
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.models import User
from accounts.templatetags.portal import within
from enrollment.models import Enrollment, EnrollmentEvent, PayoutAssignment
from enrollment.states import EnrollmentStatus
from enrollment.versions import changes_since
from profiles.models import BankProfileVersion, TaxProfileVersion

SALT = "enrollment.revisions"
SALT_OF_MANY = "enrollment.revisions.many"
_VERSIONS = {"bank": BankProfileVersion, "tax": TaxProfileVersion}
Code = EnrollmentEvent.Code


@dataclass(frozen=True)
class Difference:
    """One thing that is not what the reader had before them."""

    what: str
    before: str
    now: str
    # Who changed it and when, as far as somebody of the company did.
    by: User | None = None
    at: datetime | None = None


def revision_of(enrollment: Enrollment, rows: Iterable[PayoutAssignment]) -> str:
    """Return the signed note of an enrollment as it is: no name and no number.

    `rows` are its annotated assignments, of payout_of().
    """
    return signing.dumps(_state(enrollment, rows), salt=SALT, compress=True)


def note_of_many(
    to_submit: Mapping[Enrollment, Iterable[PayoutAssignment]],
    to_accept: Mapping[Enrollment, Iterable[PayoutAssignment]],
) -> str:
    """Return one signed note of many enrollments: to be submitted, or to be accepted.

    What one page showed of all of them; notes_in() takes it apart again.
    """
    states = [
        [_state(enrollment, rows) for enrollment, rows in some.items()]
        for some in (to_submit, to_accept)
    ]
    return signing.dumps(states, salt=SALT_OF_MANY, compress=True)


def notes_in(seen: str) -> tuple[dict[str, str], dict[str, str]] | None:
    """Return the notes that note_of_many() holds, each as revision_of() writes it.

    By the enrollment's key, those to submit and those to accept; None where it cannot
    be read.
    """
    try:
        states = signing.loads(seen, salt=SALT_OF_MANY)
    except signing.BadSignature:
        return None
    to_submit, to_accept = (
        {
            state["enrollment"]: signing.dumps(state, salt=SALT, compress=True)
            for state in some
        }
        for some in states
    )
    return to_submit, to_accept


def is_same(
    enrollment: Enrollment, rows: Iterable[PayoutAssignment], seen: str
) -> bool:
    """Whether an enrollment is still as the note says; an unreadable note is no.

    So are its terms, as far as partners read them.
    """
    before = _read(seen)
    if before is None:
        return False
    number = before.pop("terms", None)
    now = json.loads(json.dumps(_state(enrollment, rows)))
    del now["terms"]
    return before == now and not changes_since(enrollment.terms, number)


def differences(
    enrollment: Enrollment, rows: Iterable[PayoutAssignment], *, seen: str
) -> list[Difference]:
    """Return what changed since the note was written, in the reader's language."""
    before = _read(seen)
    if before is None or before["enrollment"] != str(enrollment.pk):
        return []
    rows = list(rows)
    now = _state(enrollment, rows)
    found = []
    if before["status"] != now["status"]:
        found.append(
            Difference(
                _("Status"),
                EnrollmentStatus(before["status"]).label,
                EnrollmentStatus(now["status"]).label,
                *_last_step(enrollment),
            )
        )
    if before["agreement"] != now["agreement"]:
        found.append(
            Difference(
                _("Agreement"),
                _version(before["agreement"]),
                _version(now["agreement"]),
            )
        )
    found += [
        Difference(one.label, "; ".join(one.before), "; ".join(one.after))
        for one in changes_since(enrollment.terms, before.get("terms"))
    ]
    names = {str(row.pk): row.earning_type.get_kind_display() for row in rows}
    for key, name in names.items():
        old, new = before["lines"].get(key), now["lines"][key]
        if old is None or old == new:
            continue
        of = f" ({within(name)})" if len(names) > 1 else ""
        found += _paid_otherwise(enrollment, old, new, of=of)
    return found


def _paid_otherwise(
    enrollment: Enrollment, old: dict, new: dict, *, of: str
) -> Iterable[Difference]:
    words = {"bank": _("Bank profile"), "tax": _("Tax profile")}
    for part, what in words.items():
        if old[part] == new[part]:
            continue
        before, now = _profile(part, old[part]), _profile(part, new[part])
        is_other = (before and before.profile_id) != (now and now.profile_id)
        if is_other or now is None:
            by, at = _last_step(enrollment, code=Code.PROFILES_CHOSEN)
        else:
            by, at = now.submitted_by, now.submitted_at
        yield Difference(
            what + of,
            _named(before, tells_number=not is_other),
            _named(now, tells_number=not is_other),
            by,
            at,
        )
    if old["currency"] != new["currency"]:
        yield Difference(
            _("Currency") + of,
            old["currency"] or _none(),
            new["currency"] or _none(),
            *_last_step(enrollment, code=Code.PROFILES_CHOSEN),
        )


def _named(version, *, tells_number: bool) -> str:
    if version is None:
        return _none()
    if tells_number:
        return _("%(name)s, version %(number)d") % {
            "name": version.profile.name,
            "number": version.number,
        }
    return version.profile.name


def _none() -> str:
    return pgettext("a profile or a currency", "none")


def _profile(part: str, key: str | None):
    if key is None:
        return None
    versions = _VERSIONS[part].objects.select_related("profile", "submitted_by")
    return versions.filter(pk=key).first()


def _last_step(enrollment: Enrollment, **of) -> tuple[User | None, datetime | None]:
    event = (
        enrollment.events.filter(**of)
        .select_related("by")
        .order_by("-at", "-pk")
        .first()
    )
    if event is None:
        return None, None
    # The program owner's people stay unnamed.
    return (event.by if event.by and not event.by.is_staff else None), event.at


def _version(agreement: str) -> str:
    return _("version %(version)s") % {"version": agreement}


def _state(enrollment: Enrollment, rows: Iterable[PayoutAssignment]) -> dict:
    return {
        "enrollment": str(enrollment.pk),
        "status": str(enrollment.status),
        "agreement": enrollment.terms.agreement_version,
        "terms": enrollment.terms.version,
        "lines": {
            str(row.pk): {
                "bank": _key(row.newest_bank_version),
                "tax": _key(row.newest_tax_version),
                "currency": row.used_currency or "",
            }
            for row in rows
        },
    }


def _key(version) -> str | None:
    return str(version) if version else None


def _read(seen: str) -> dict | None:
    try:
        return signing.loads(seen, salt=SALT)
    except signing.BadSignature:
        return None
