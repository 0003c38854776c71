"""Why a reviewer returns a profile: each reason says what is wrong and what to do.

The catalog is rows that operators keep (ReturnReason); here is what is asked of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise

from profiles.countries import (
    bank_countries,
    field_keys,
    field_label,
    tax_countries,
)
from profiles.models import ReturnReason

# The one that closing a location gives, too, and the one for everything else: these
# stay in use.
LOCATION_CLOSED = "LOCATION_CLOSED"
OTHER = "OTHER"
KEPT = frozenset({LOCATION_CLOSED, OTHER})


def known_fields(part: str) -> dict[str, Promise | str]:
    """Return every field that some country asks of a bank or a tax profile, labeled."""
    countries = bank_countries() if part == "bank" else tax_countries()
    found: dict[str, Promise | str] = {}
    for country, _name in countries:
        for key in field_keys(country, part):
            if key not in found:
                found[key] = field_label(country, part, key)
    return found


def reasons_for(part: str) -> list[ReturnReason]:
    """Return the reasons a bank or a tax profile can be returned for."""
    return list(ReturnReason.objects.in_use().filter(parts__contains=[part]))


@dataclass(frozen=True, kw_only=True)
class ExplainedReason:
    """A reason as given: about which field, with the reviewer's own words."""

    reason: ReturnReason
    field: str
    label: Promise | str
    note: str


def explained(
    returned: Iterable[Mapping[str, str]], *, country: str
) -> list[ExplainedReason]:
    """Put the catalog's words and the field's label to a version's stored reasons.

    Also of a reason that was retired since. The words are read in the language of
    whoever gets them, when they are shown.
    """
    returned = list(returned)
    if not returned:
        return []
    known = {
        reason.code: reason
        for reason in ReturnReason.objects.filter(
            code__in={OTHER, *(row["code"] for row in returned)}
        )
    }
    return [
        ExplainedReason(
            reason=known.get(row["code"]) or known[OTHER],
            field=row["field"],
            label=_label(country, row["field"]),
            note=row.get("note", ""),
        )
        for row in returned
    ]


def _label(country: str, key: str) -> Promise | str:
    part = "bank" if key in field_keys(country, "bank") else "tax"
    return field_label(country, part, key)
