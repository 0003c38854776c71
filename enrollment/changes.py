"""What a program's terms say otherwise in the next year, and whom it concerns.

Compares two years of a program and asks nothing. Sentences are made in the language
that is active: call it in the reader's.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.templatetags.portal import listed, listed_within, percent, within
from enrollment.models import ProgramTerms
from profiles.countries import country_name, field_label
from profiles.states import PayoutMethod


@dataclass(frozen=True)
class Use:
    """What one enrollment uses and has: what decides whether a change concerns it."""

    country: str
    # Each payment's currency, with what is local at its bank.
    paid_in: Collection[tuple[str, str]] = ()
    bank_countries: Collection[str] = ()
    tax_details: Collection[str] = ()
    methods: Collection[str] = ()
    # What was measured, by the criterion's key.
    values: Mapping[int, Decimal | None] = field(default_factory=dict)
    continues: bool = True


@dataclass(frozen=True)
class Change:
    """One thing that differs; `concerns` if this enrollment has to act on it."""

    sentence: str
    concerns: bool = False


def changes_between(
    before: ProgramTerms, after: ProgramTerms, *, use: Use
) -> list[Change]:
    """Say what differs for one enrollment: first what concerns it, the rest softly.

    Both come with their earning types, requirements and criteria.
    """
    found = [
        change for compare in _COMPARISONS for change in compare(before, after, use)
    ]
    return sorted(found, key=lambda change: not change.concerns)


def amount(value: Decimal, unit: str) -> str:
    """A number with its unit, as in "25 000 USD", "1 person" or "3 people"."""
    number = floatformat(value, "-2g")
    # What counts as one; everything else, halves too, is many.
    count = 1 if value == 1 else 2
    if unit == "people":
        return ngettext("%(number)s person", "%(number)s people", count) % {
            "number": number
        }
    if unit == "points":
        return ngettext("%(number)s point", "%(number)s points", count) % {
            "number": number
        }
    if unit == "%":
        return percent(number)
    return f"{number} {unit}".strip()


def reached(value: Decimal, needed: Decimal, unit: str) -> str:
    """What there is of what is needed, the unit said once: "2 of 3 people"."""
    words = {"yours": amount(value, ""), "needed": amount(needed, unit)}
    return _("%(yours)s of %(needed)s") % words


def tax_details(keys: Iterable[str], *, country: str) -> str:
    """Name tax details as the tax form of a country does."""
    return listed([str(field_label(country, "tax", key)) for key in keys])


def _requirements(
    before: ProgramTerms, after: ProgramTerms, use: Use
) -> Iterator[Change]:
    old = {one.criterion_id: one for one in before.requirements.all()}
    new = {one.criterion_id: one for one in after.requirements.all()}
    for key, one in new.items():
        name, unit = one.criterion.name, one.criterion.unit
        is_number = one.criterion.kind == one.criterion.Kind.NUMBER
        value = use.values.get(key)
        words = {"name": name, "needed": amount(one.at_least, unit)}
        if value is not None:
            words["yours"] = amount(value, unit)
        is_short = value is None or value < one.at_least
        if key not in old and not is_number:
            yield Change(_("New requirement: “%(name)s”.") % words, is_short)
        elif key not in old and value is None:
            yield Change(
                _("New requirement: “%(name)s”, at least %(needed)s.") % words, True
            )
        elif key not in old:
            yield Change(
                _(
                    "New requirement: “%(name)s”, at least %(needed)s; you are at "
                    "%(yours)s."
                )
                % words,
                is_short,
            )
        elif one.at_least != old[key].at_least and is_number:
            words["before"] = amount(old[key].at_least, unit)
            if value is None:
                sentence = _("“%(name)s”: %(before)s → %(needed)s.") % words
            else:
                sentence = (
                    _("“%(name)s”: %(before)s → %(needed)s; you are at %(yours)s.")
                    % words
                )
            yield Change(sentence, is_short)
    for key, one in old.items():
        if key not in new:
            yield Change(
                _("“%(name)s” is not asked for any more.")
                % {"name": one.criterion.name}
            )


def _agreement(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    if after.needs_agreement and not before.needs_agreement:
        yield Change(_("The company needs an active partner agreement now."))
    if after.agreement_version != before.agreement_version:
        yield Change(
            _("The text of the program's agreement is new: version %(version)s.")
            % {"version": after.agreement_version}
        )


def _currencies(
    before: ProgramTerms, after: ProgramTerms, use: Use
) -> Iterator[Change]:
    gone = sorted(set(before.currencies) - set(after.currencies))
    new = sorted(set(after.currencies) - set(before.currencies))
    is_refused = any(
        currency not in after.currencies
        and not (after.pays_local_currency and currency == local)
        for currency, local in use.paid_in
    )
    if gone:
        yield Change(
            _("Not paid any more: %(currencies)s.") % {"currencies": listed(gone)},
            is_refused and any(currency in gone for currency, _local in use.paid_in),
        )
    if new:
        yield Change(
            _("Paid from now on, too: %(currencies)s.") % {"currencies": listed(new)}
        )
    if before.pays_local_currency and not after.pays_local_currency:
        yield Change(
            _("The bank's local currency is not paid any more; only %(currencies)s.")
            % {"currencies": listed(sorted(after.currencies))},
            is_refused,
        )
    elif after.pays_local_currency and not before.pays_local_currency:
        yield Change(_("The bank's local currency is paid from now on, too."))


def _methods(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    names = dict(PayoutMethod.choices)
    gone = [one for one in before.methods if one not in after.methods]
    if gone and after.methods:
        yield Change(
            _("Payment method not possible any more: %(methods)s.")
            % {"methods": listed_within(names[one] for one in gone)},
            bool(set(gone) & set(use.methods)),
        )
    new = [one for one in after.methods if one not in before.methods]
    if new and before.methods:
        yield Change(
            _("New payment method: %(methods)s.")
            % {"methods": listed_within(names[one] for one in new)}
        )


def _banks(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    refused = sorted(
        set(after.bank_countries_refused) - set(before.bank_countries_refused)
    )
    if refused:
        yield Change(
            _("Banks it does not pay to any more: in %(countries)s.")
            % {"countries": listed([country_name(one) for one in refused])},
            bool(set(refused) & set(use.bank_countries)),
        )
    only = after.bank_countries
    if only and set(only) != set(before.bank_countries):
        yield Change(
            _("It pays only to banks in %(countries)s.")
            % {"countries": listed(sorted(country_name(one) for one in only))},
            bool(set(use.bank_countries) - set(only)),
        )


def _tax(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    known = set(before.required_tax_details)
    new = [one for one in after.required_tax_details if one not in known]
    if new:
        yield Change(
            _("New in the tax profile: %(details)s.")
            % {"details": tax_details(new, country=use.country)},
            bool(set(new) - set(use.tax_details)),
        )


def _shares(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    old = {one.kind: one.share for one in before.earning_types.all()}
    new = {one.kind: one for one in after.earning_types.all()}
    if {kind: one.share for kind, one in new.items()} != old:
        parts = [
            f"{within(one.get_kind_display())} {percent(one.share)}"
            for one in sorted(new.values(), key=lambda one: -one.share)
        ]
        yield Change(_("It pays otherwise: %(parts)s.") % {"parts": listed(parts)})


def _countries(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    was_offered = not before.countries or use.country in before.countries
    if was_offered and after.countries and use.country not in after.countries:
        yield Change(
            _("It is not offered in %(country)s any more.")
            % {"country": country_name(use.country)},
            True,
        )


def _start(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    # What continues earns from the first day, whatever this says.
    if after.earnings_start != before.earnings_start and not use.continues:
        yield Change(
            _("New enrollments earn from %(month)s.")
            % {"month": after.get_earnings_start_display()}
        )


def _window(before: ProgramTerms, after: ProgramTerms, use: Use) -> Iterator[Change]:
    # Whoever continues is not invited again.
    days = after.enroll_within_days
    if days and days != before.enroll_within_days and not use.continues:
        yield Change(
            ngettext(
                "Invitations have to be answered within %(days)d day.",
                "Invitations have to be answered within %(days)d days.",
                days,
            )
            % {"days": days}
        )


_COMPARISONS: tuple[
    Callable[[ProgramTerms, ProgramTerms, Use], Iterator[Change]], ...
] = (
    _requirements,
    _countries,
    _agreement,
    _currencies,
    _methods,
    _banks,
    _tax,
    _shares,
    _start,
    _window,
)
