"""What a program's terms say in a year, as plain content: sections, words, differences.

Content is what JSON can hold: drafts are written in it and versions kept in it.
Sentences are made in the language that is active.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.dateparse import parse_date
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy, ngettext, pgettext
from django.utils.translation import gettext as _

from accounts.templatetags.portal import listed, listed_within, percent
from enrollment.changes import amount
from enrollment.models import Criterion, EarningType, ProgramTerms
from enrollment.models.terms import EarningsStart
from profiles.countries import country_name
from profiles.countries.tax_forms import DOCUMENTS
from profiles.countries.taxes import TAX_SCHEMAS
from profiles.states import PayoutMethod

# The sections of the editor, and what each says.
SECTIONS: dict[str, tuple[str, ...]] = {
    "who": ("is_open_to_all", "is_listed", "needs_agreement", "countries"),
    "requirements": ("requirements",),
    "earnings": ("earning_types",),
    "payment": (
        "methods",
        "currencies",
        "pays_local_currency",
        "bank_countries",
        "bank_countries_refused",
        "required_tax_details",
    ),
    "dates": (
        "enroll_by",
        "enroll_within_days",
        "validation_hours",
        "earnings_start",
    ),
    "agreement": ("agreement_version", "agreement_text_en", "agreement_text_sv"),
    "sender": (
        "sender_name",
        "invitation_subject_en",
        "invitation_subject_sv",
        "guide_url",
    ),
}
# Those that partners read; how mail is sent is nothing to them.
PARTNERS_SECTIONS = (
    "who",
    "requirements",
    "earnings",
    "payment",
    "dates",
    "agreement",
)
SECTION_NAMES = {
    "who": gettext_lazy("Who may take part"),
    "requirements": gettext_lazy("Requirements"),
    "earnings": gettext_lazy("Earning types"),
    "payment": gettext_lazy("Payment and tax"),
    "dates": gettext_lazy("Dates and promises"),
    "agreement": gettext_lazy("Agreement"),
    "sender": gettext_lazy("Sender and guide"),
}
LABELS = {
    "is_open_to_all": gettext_lazy("Who may enroll"),
    "is_listed": gettext_lazy("Listed for partners who are not eligible"),
    "needs_agreement": gettext_lazy("Needs an active agreement"),
    "countries": gettext_lazy("Countries of the locations"),
    "requirements": gettext_lazy("Requirements"),
    "earning_types": gettext_lazy("Earning types"),
    "methods": gettext_lazy("Payment methods"),
    "currencies": gettext_lazy("Currencies"),
    "pays_local_currency": gettext_lazy("Pays in the bank's local currency too"),
    "bank_countries": gettext_lazy("Countries of banks it pays to"),
    "bank_countries_refused": gettext_lazy("Countries of banks it cannot pay to"),
    "required_tax_details": gettext_lazy("What the tax profile must contain"),
    "enroll_by": gettext_lazy("Last day to enroll"),
    "enroll_within_days": gettext_lazy("Days to answer an invitation"),
    "validation_hours": gettext_lazy("Promised answer"),
    "earnings_start": gettext_lazy("Earns from"),
    "agreement_version": gettext_lazy("Version of the agreement"),
    "agreement_text_en": gettext_lazy("Agreement in English"),
    "agreement_text_sv": gettext_lazy("Agreement in Swedish"),
    "sender_name": gettext_lazy("Name of the sender"),
    "invitation_subject_en": gettext_lazy("Subject of the invitation in English"),
    "invitation_subject_sv": gettext_lazy("Subject of the invitation in Swedish"),
    "guide_url": gettext_lazy("Address of the program guide"),
}
# Left out where a country has none: nothing to ask for.
_ADDRESS = ("street", "postcode", "city")
# What a program's first year begins with.
BLANK: dict[str, Any] = {
    "is_open_to_all": False,
    "is_listed": True,
    "needs_agreement": True,
    "countries": [],
    "requirements": [],
    "earning_types": [["rebate", 100]],
    "methods": ["bank_transfer"],
    "currencies": [],
    "pays_local_currency": True,
    "bank_countries": [],
    "bank_countries_refused": [],
    "required_tax_details": [],
    "enroll_by": None,
    "enroll_within_days": None,
    "validation_hours": 48,
    "earnings_start": "validated",
    "agreement_version": "1",
    "agreement_text_en": "",
    "agreement_text_sv": "",
    "sender_name": "",
    "invitation_subject_en": "",
    "invitation_subject_sv": "",
    "guide_url": "",
}
# Words of a criterion that a version keeps, so that it reads as it did.
_WORDS = (
    "kind",
    "unit",
    "name_en",
    "name_sv",
    "how_to_fix_en",
    "how_to_fix_sv",
    "max_age_days",
)

# A version kept before there was such a thing to say.
_UNSAID = object()


@dataclass(frozen=True)
class Fact:
    """One thing that terms say, in words; `lines` where it is a list."""

    name: str
    label: str
    lines: tuple[str, ...]
    is_long: bool = False


@dataclass(frozen=True)
class Difference:
    """One thing that two versions say otherwise, each in words."""

    label: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    is_long: bool = False


def content_of(terms: ProgramTerms) -> dict[str, Any]:
    """Return everything terms say, with the words of their criteria as they are now."""
    content: dict[str, Any] = {
        name: getattr(terms, name)
        for name in BLANK
        if name not in ("requirements", "earning_types", "enroll_by")
    }
    content["enroll_by"] = terms.enroll_by.isoformat() if terms.enroll_by else None
    content["earning_types"] = [
        [kind, share]
        for kind, share in terms.earning_types.order_by("-share", "kind").values_list(
            "kind", "share"
        )
    ]
    content["requirements"] = [
        _asked(one.criterion, one.at_least)
        for one in terms.requirements.select_related("criterion").order_by(
            "position", "pk"
        )
    ]
    return content


def worded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a draft's content with the words of its criteria, as a version has them."""
    codes = [one["criterion"] for one in content["requirements"]]
    criteria = {one.code: one for one in Criterion.objects.filter(code__in=codes)}
    return {
        **content,
        "requirements": [
            _asked(criteria[one["criterion"]], Decimal(one["at_least"]))
            for one in content["requirements"]
            if one["criterion"] in criteria
        ],
    }


def _asked(criterion: Criterion, at_least: Decimal) -> dict[str, Any]:
    words = {name: getattr(criterion, name) for name in _WORDS}
    return {"criterion": criterion.code, "at_least": f"{at_least:.2f}"} | words


def moved_to(content: Mapping[str, Any], *, years: int) -> dict[str, Any]:
    """Return content for a year so many years later: its last day moves along."""
    moved = dict(content)
    day = parse_date(moved["enroll_by"] or "")
    if day is not None:
        # Another year may have no such day.
        is_leap_day = (day.month, day.day) == (2, 29)
        day = day.replace(day=28) if is_leap_day else day
        moved["enroll_by"] = day.replace(year=day.year + years).isoformat()
    return moved


def facts(content: Mapping[str, Any], section: str) -> list[Fact]:
    """Say in words what a section says; versions kept before a field existed lack it."""
    return [
        Fact(
            name=name,
            label=str(LABELS[name]),
            lines=tuple(_in_words(name, content[name])),
            is_long=name.startswith("agreement_text"),
        )
        for name in SECTIONS[section]
        if name in content
    ]


def differences(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    *,
    sections: Collection[str] = tuple(SECTIONS),
) -> list[Difference]:
    """Say what two contents say otherwise, in the order of the editor."""
    found = []
    for section in sections:
        for name in SECTIONS[section]:
            old = (before or {}).get(name, _UNSAID)
            new = after.get(name, _UNSAID)
            if old == new:
                continue
            found.append(
                Difference(
                    label=str(LABELS[name]),
                    before=tuple(_in_words(name, old)),
                    after=tuple(_in_words(name, new)),
                    is_long=name.startswith("agreement_text"),
                )
            )
    return found


def changes_since(terms: ProgramTerms, number: int | None) -> list[Difference]:
    """Say what partners read otherwise in the terms in force than in a version.

    But for the agreement, which is accepted anew. Asks nothing of the version in force,
    and says nothing of one that is not known.
    """
    if number is None or number == terms.version:
        return []
    kept = dict(
        terms.versions.filter(number__in=[number, terms.version]).values_list(
            "number", "content"
        )
    )
    return differences(
        kept.get(number),
        kept.get(terms.version) or content_of(terms),
        sections=[one for one in PARTNERS_SECTIONS if one != "agreement"],
    )


def requirement_words(asked: Mapping[str, Any]) -> str:
    """Name one requirement and how much of it is needed, as in "Revenue: 300,000 USD"."""
    name = in_language(asked, "name")
    if asked["kind"] == Criterion.Kind.YES_NO:
        return name
    needed = amount(Decimal(asked["at_least"]), asked["unit"])
    return _("%(name)s: at least %(needed)s") % {"name": name, "needed": needed}


def in_language(words: Mapping[str, Any], name: str) -> str:
    """The Swedish text for a Swedish reader, else the English one."""
    swedish = get_language() == "sv" and words[f"{name}_sv"]
    return swedish or words[f"{name}_en"]


def tax_detail_choices() -> list[tuple[str, str]]:
    """List (key, label) of everything a tax profile can contain, by label."""
    labels = {key: str(kind.label) for key, kind in DOCUMENTS.items()}
    for schema in TAX_SCHEMAS.values():
        for spec in schema.fields:
            if not spec.is_required and spec.key not in _ADDRESS:
                labels.setdefault(spec.key, str(spec.label))
    return sorted(labels.items(), key=lambda row: row[1].casefold())


def promise_words(hours: int) -> str:
    """A promise as people say it: "48 hours" is "2 days"."""
    if hours % 24:
        return ngettext("%(hours)d hour", "%(hours)d hours", hours) % {"hours": hours}
    days = hours // 24
    return ngettext("%(days)d day", "%(days)d days", days) % {"days": days}


def _in_words(name: str, value: Any) -> Iterable[str]:
    if value is _UNSAID:
        return []
    return [str(line) for line in _WORDING.get(name, _as_it_is)(value)]


def _as_it_is(value: Any) -> list[str]:
    return [value] if value else [_("None")]


def _as_usual(value: str) -> list[str]:
    return [value or _("As for all mail")]


def _yes_or_no(value: bool) -> list[str]:
    return [_("Yes") if value else _("No")]


def _who(value: bool) -> list[str]:
    return [_("Open to all, without criteria") if value else _("By criteria")]


def _countries(value: list[str]) -> list[str]:
    if not value:
        return [_("All countries")]
    return [listed(sorted(country_name(code) for code in value))]


def _refused_countries(value: list[str]) -> list[str]:
    return _countries(value) if value else [pgettext("of several", "None")]


def _requirements(value: list[dict]) -> list[str]:
    return [requirement_words(one) for one in value] or [pgettext("of several", "None")]


def _earning_types(value: list[list]) -> list[str]:
    kinds = dict(EarningType.Kind.choices)
    return [f"{kinds[kind]} {percent(share)}" for kind, share in value]


def _methods(value: list[str]) -> list[str]:
    names = dict(PayoutMethod.choices)
    return [capfirst(listed_within(names[one] for one in value))]


def _codes(value: list[str]) -> list[str]:
    return [", ".join(value) if value else pgettext("of several", "None")]


def _tax_details(value: list[str]) -> list[str]:
    labels = dict(tax_detail_choices())
    if not value:
        return [_("Nothing beyond the usual")]
    return [listed([labels.get(key, key) for key in value])]


def _day(value: str | None) -> list[str]:
    day: date | None = parse_date(value or "")
    return [date_format(day, "j F Y") if day else _("The last day of the year")]


def _days(value: int | None) -> list[str]:
    if value is None:
        return [_("No limit")]
    return [ngettext("%(days)d day", "%(days)d days", value) % {"days": value}]


def _start(value: str) -> list[str]:
    return [capfirst(EarningsStart(value).label)]


_WORDING = {
    "is_open_to_all": _who,
    "is_listed": _yes_or_no,
    "needs_agreement": _yes_or_no,
    "countries": _countries,
    "requirements": _requirements,
    "earning_types": _earning_types,
    "methods": _methods,
    "currencies": _codes,
    "pays_local_currency": _yes_or_no,
    "bank_countries": _countries,
    "bank_countries_refused": _refused_countries,
    "required_tax_details": _tax_details,
    "enroll_by": _day,
    "enroll_within_days": _days,
    "validation_hours": lambda value: [promise_words(value)],
    "earnings_start": _start,
    "sender_name": _as_usual,
    "invitation_subject_en": _as_usual,
    "invitation_subject_sv": _as_usual,
}
