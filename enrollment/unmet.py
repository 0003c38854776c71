"""The note of an event that eligibility was lost: which requirements were not met.

services.standings writes it, `code=yours/needed; …`, and the agreement by its name.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from django.utils.translation import gettext as _

from enrollment.changes import reached
from enrollment.models import Criterion

AGREEMENT = "agreement"
UNMET = re.compile(r"([-\w]+)=(-?[0-9.]+)/(-?[0-9.]+)")
BETWEEN = "; "


def _unmet_of(note: str) -> list[tuple[str, str, str]]:
    """Read code, yours and needed of each; what does not look so is left out."""
    found = (UNMET.fullmatch(part) for part in note.split(BETWEEN))
    return [match.groups() for match in found if match]


def criteria_unmet(notes: Iterable[str]) -> dict[str, Criterion]:
    """Return the criteria that notes of lost eligibility name, by their codes."""
    codes = {code for note in notes for code, _yours, _needed in _unmet_of(note)}
    return Criterion.objects.in_bulk(codes, field_name="code")


def unmet_words(note: str, *, criteria: Mapping[str, Criterion]) -> list[str]:
    """Say of each requirement in a note of lost eligibility what is and what is asked."""
    words = []
    if AGREEMENT in note.split(BETWEEN):
        words.append(_("The company has no active partner agreement."))
    for code, yours, needed in _unmet_of(note):
        criterion = criteria.get(code)
        if criterion is None:
            continue
        if criterion.kind == Criterion.Kind.YES_NO:
            words.append(_("%(requirement)s: no") % {"requirement": criterion.name})
        else:
            words.append(
                _("%(requirement)s: %(reached)s")
                % {
                    "requirement": criterion.name,
                    "reached": reached(Decimal(yours), Decimal(needed), criterion.unit),
                }
            )
    return words
