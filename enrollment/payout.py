"""How an enrollment is paid, as the enroll pages show it: profiles, currency, gaps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.forms.boundfield import BoundWidget
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.templatetags.portal import listed
from enrollment.clock import clock_for
from enrollment.eligibility import (
    GAPS,
    Gap,
    accepted_currencies,
    gaps_of,
    payout_of,
    why_not_paid_to,
)
from enrollment.forms import (
    ChooseBankProfileForm,
    ChooseCurrencyForm,
    ChooseTaxProfileForm,
    ReplaceProfileForm,
)
from enrollment.models import Enrollment, PayoutAssignment
from enrollment.places import readiness
from enrollment.review import program_checks
from enrollment.states import ShownStatus, Turn
from profiles.checking import Check, foreseen_in_program
from profiles.countries import (
    bank_schema,
    country_name,
    missing_fields,
    tax_schema,
)
from profiles.countries.tax_forms import DOCUMENTS
from profiles.currencies import mismatch
from profiles.models import (
    MOST_USES,
    BankProfile,
    DefaultBankProfile,
    Profile,
    TaxProfile,
)
from profiles.paying import why_not_paid
from profiles.reasons import ExplainedReason, explained
from profiles.services import cooling_off, refuse_too_new
from profiles.states import USING, ProfileStatus

RETURNED = frozenset({"bank_returned", "tax_returned"})
_CHIPS = {
    ProfileStatus.PENDING: (Turn.THEM, "clock"),
    ProfileStatus.COOLING: (Turn.THEM, "clock"),
    ProfileStatus.STOPPED: (Turn.STOP, "ban"),
    ProfileStatus.APPROVED: (Turn.DONE, "check"),
    ProfileStatus.ACTION_REQUIRED: (Turn.YOU, "returned"),
    ProfileStatus.REPLACED: (Turn.IDLE, "archive"),
}


@dataclass(frozen=True)
class ProfileCard:
    """One bank or tax profile, as much of it as these pages show."""

    profile: Profile
    country: str
    last4: str
    bank_name: str
    chip: ShownStatus
    is_pending: bool
    # The program owner asked something about it and waits for the answer.
    is_asked: bool
    is_returned: bool
    is_default: bool
    # Why it cannot be used for this enrollment; nothing if it can.
    refusal: str
    # Enrollments that use it, to one more than MOST_USES at least.
    uses: int
    reasons: list[ExplainedReason]

    @property
    def most_uses(self) -> int:
        """How many are told where it is more; 0 where they are told exactly."""
        return MOST_USES if self.uses > MOST_USES else 0


@dataclass(frozen=True)
class PayoutPanel:
    """Earning types that are paid the same way, told once."""

    lines: list["PayoutLine"]

    @property
    def first(self) -> "PayoutLine":
        return self.lines[0]


@dataclass(frozen=True)
class CurrencyPanel:
    """The choice of a currency for the earning types paid to one bank profile."""

    lines: list["PayoutLine"]
    form: ChooseCurrencyForm
    # What the program and the bank accept.
    accepted: list[str]

    @property
    def is_missing(self) -> bool:
        return any(
            gap.part == "currency" for line in self.lines for gap in line.gaps
        ) or bool(self.form.errors)


@dataclass(frozen=True)
class PayoutLine:
    """How one earning type is paid: what is used now and what is missing."""

    assignment: PayoutAssignment
    name: str
    share: int
    bank: ProfileCard | None
    tax: ProfileCard | None
    currency: str
    # What follows when the bank keeps accounts in another one; nothing if it does not.
    mismatch: str
    gaps: list[Gap]

    @property
    def is_currency_refused(self) -> bool:
        return any(gap.code == "currency_refused" for gap in self.gaps)


def payout_page(
    enrollment: Enrollment,
    *,
    assignments: list[PayoutAssignment] | None = None,
    form: ChooseBankProfileForm | None = None,
    paid_for: str = "",
    tax_form: ChooseTaxProfileForm | None = None,
    currency_form: ChooseCurrencyForm | None = None,
) -> dict:
    """Return what the enroll pages show of bank, tax and currency.

    `assignments` are those of payout_of(), where they are known already. `paid_for` is
    the key of the earning type that a bank profile is chosen for, where it is one.
    """
    today = enrollment.terms.today()
    if not assignments:
        assignments = payout_of([enrollment], on=today)[enrollment.pk]
    default = getattr(enrollment.location, "default_bank_profile", None)
    types = [row.earning_type for row in assignments]
    bank_form = form or ChooseBankProfileForm(enrollment=enrollment, types=types)
    banks = _bank_cards(
        enrollment, assignments, today, default=default, offered=bank_form.profiles
    )
    taxes = _tax_cards(enrollment, assignments, today)
    lines = [
        PayoutLine(
            assignment=row,
            name=row.earning_type.get_kind_display(),
            share=row.earning_type.share,
            bank=banks.get(row.used_bank),
            tax=taxes.get(row.used_tax),
            currency=row.used_currency or "",
            mismatch=_mismatch(banks.get(row.used_bank), row.used_currency),
            gaps=gaps_of([row]),
        )
        for row in assignments
    ]
    chosen_for = next(
        (line for line in lines if str(line.assignment.earning_type_id) == paid_for),
        lines[0] if lines else None,
    )
    if not bank_form.is_bound:
        bank_form.initial = _first_choice([chosen_for, *lines] if lines else [])
    if not bank_form.is_bound and len(types) > 1:
        bank_form.initial |= {
            "earning_type": chosen_for.assignment.earning_type_id,
            "same_for_all": len({row.used_bank for row in assignments}) == 1
            and not paid_for,
        }
    gaps = gaps_of(assignments)
    choices = [
        (option, banks[profile.pk])
        for option, profile in zip(
            bank_form["bank_profile"], bank_form.profiles, strict=True
        )
    ]
    codes = {gap.code for gap in gaps}
    missing = [gap for gap in gaps if _is_to_be_added(gap, codes)]
    refusal = _refusal(lines)
    no_form = _parts_without_form(enrollment, codes, has_banks=bool(choices))
    can_choose_bank = any(not card.refusal for _option, card in choices)
    return {
        "enrollment": enrollment,
        "location": enrollment.location,
        "program": enrollment.terms.program,
        "terms": enrollment.terms,
        "year": enrollment.terms.fiscal_year,
        "return_to": reverse("enrollment:profiles", kwargs={"pk": enrollment.pk}),
        "needs": ",".join(enrollment.terms.required_tax_details),
        "clock": clock_for(enrollment, at=timezone.now()),
        "lines": lines,
        "panels": _panels(lines),
        # What can be changed is told line by line.
        "line_panels": [PayoutPanel([line]) for line in lines],
        "chosen_for": chosen_for,
        "asked": _asked(lines),
        "gaps": gaps,
        "gap_parts": {gap.part for gap in gaps},
        "gap_codes": codes,
        "readiness": readiness(gaps, enrollment=enrollment),
        "missing": missing_words(enrollment, lines, missing),
        "sentence": _sentence(
            lines, missing, has_form=not no_form, can_choose_bank=can_choose_bank
        ),
        "refusal": refusal,
        "no_form": no_form,
        "can_continue": any(gap.part not in no_form for gap in gaps),
        "country": country_name(enrollment.location.country),
        "is_by_credit_note": "method_refused" in codes,
        "by_credit_note": _by_credit_note(),
        "has_usable_bank": any(line.bank for line in lines) and not refusal,
        "can_choose_bank": can_choose_bank,
        "form": bank_form,
        "bank_choices": choices,
        "tax_form": tax_form or ChooseTaxProfileForm(enrollment=enrollment),
        "tax_choices": sum(not card.profile.is_archived for card in taxes.values()),
        "currencies": _currency_panels(lines, bound=currency_form),
    }


def foreseen_checks(
    lines: list[PayoutLine], *, on: date, by: User
) -> list[tuple[str, list[Check]]]:
    """Return what reviewers will read of what is submitted, by profile's name.

    Their own checks, and the program's; nothing about other companies.
    """
    found: dict[UUID, tuple[str, list[Check]]] = {}
    for line in lines:
        for card in (line.bank, line.tax):
            if card is None or card.profile.pk in found:
                continue
            profile = card.profile
            version, in_force = profile.current_version, profile.version_in_force
            part = profile.part
            uses = [
                one.assignment
                for one in lines
                if getattr(one.assignment, f"used_{part}") == profile.pk
            ]
            found[profile.pk] = (
                profile.name,
                [
                    *foreseen_in_program(version, in_force, on=on, by=by),
                    *program_checks(version, uses),
                ],
            )
    return list(found.values())


@dataclass(frozen=True)
class ReplacementChoice:
    """One profile that could take another's place; or why not, or what it asks for."""

    option: BoundWidget
    text: str
    chip: ShownStatus
    warning: str


def replacement_choices(
    form: ReplaceProfileForm, profile: Profile
) -> list[ReplacementChoice]:
    """Tell of each profile in the place of another what the service would say of it.

    Whether it is too new or cannot be paid to; and where something would be missing
    that the partner has to choose or add.
    """
    today = timezone.localdate()
    uses = list(
        profile.payout_assignments.filter(enrollment__status__in=USING)
        .select_related("enrollment__terms__program", "enrollment__location")
        .order_by("enrollment__terms__program__name", "pk")
    )
    if profile.part == "bank":
        refusals = {one.pk: _why_no_bank(one, uses) for one in form.profiles}
        notes = {one.pk: _asked_of_bank(one, uses) for one in form.profiles}
    else:
        refusals = {}
        notes = {one.pk: _asked_of_tax(one, uses, on=today) for one in form.profiles}
    form.refuse({key: why for key, why in refusals.items() if why})
    choices = []
    for option in form["replacement"]:
        other = option.data["value"].instance
        version = other.version_in_force
        text = _("%(country)s · ending in %(end)s") % {
            "country": country_name(version.country),
            "end": version.last4,
        }
        choices.append(
            ReplacementChoice(
                option=option,
                text=text if version.last4 else country_name(version.country),
                chip=version.shown_status_on(today),
                warning=refusals.get(other.pk) or notes[other.pk],
            )
        )
    return choices


def _why_no_bank(other: BankProfile, uses: list[PayoutAssignment]) -> str:
    """Say why an account cannot take another's place; "" if it can."""
    if other.version_in_force.approved_at + cooling_off() > timezone.now():
        try:
            refuse_too_new(other, field="replacement")
        except ValidationError as error:
            return " ".join(error.messages)
    refused: dict[str, dict[str, None]] = {}
    for one in uses:
        if why := why_not_paid_to(other, terms=one.enrollment.terms):
            refused.setdefault(why, {})[_where(one)] = None
    return " ".join(
        _("%(programs)s: %(why)s") % {"programs": listed(names), "why": why}
        for why, names in refused.items()
    )


def _asked_of_bank(other: BankProfile, uses: list[PayoutAssignment]) -> str:
    """Say where another currency has to be chosen with this account."""
    version = other.current_version
    asked = dict.fromkeys(
        _where(one)
        for one in uses
        if one.currency
        and why_not_paid(version, terms=one.enrollment.terms, currency=one.currency)
    )
    sentence = _("A currency has to be chosen anew for %(names)s.")
    return sentence % {"names": listed(asked)} if asked else ""


def _asked_of_tax(other: TaxProfile, uses: list[PayoutAssignment], *, on: date) -> str:
    """Say what is wrong with a tax profile, or where programs ask for more than it has."""
    version = other.current_version
    if version.is_returned:
        return str(GAPS["tax_returned"].sentence)
    if version.is_expired(on):
        return str(GAPS["tax_expired"].sentence)
    asked = dict.fromkeys(
        _where(one)
        for one in uses
        if set(one.enrollment.terms.required_tax_details) - set(version.provided)
    )
    sentence = _("Details have to be added to it for %(names)s.")
    return sentence % {"names": listed(asked)} if asked else ""


def _where(one: PayoutAssignment) -> str:
    enrollment = one.enrollment
    return f"{enrollment.terms.program.name} ({enrollment.location.name})"


def currency_form_of(
    assignments: list[PayoutAssignment], *, data: Mapping[str, str]
) -> ChooseCurrencyForm:
    """Return what was sent of a currency, held against the payments it is for."""
    rows = assignments
    if len({row.used_bank for row in assignments}) > 1:
        asked = data.get("earning_type", "")
        rows = [row for row in rows if str(row.earning_type_id) == asked] or rows
    types = [row.earning_type for row in assignments] if rows != assignments else []
    return ChooseCurrencyForm(data, accepted=accepted_currencies(rows), types=types)


def _currency_panels(
    lines: list[PayoutLine], *, bound: ChooseCurrencyForm | None
) -> list[CurrencyPanel]:
    """One choice for all where they are paid to one bank profile, else one for each."""
    is_one = len({line.assignment.used_bank for line in lines}) == 1
    types = [line.assignment.earning_type for line in lines]
    panels = []
    for some in [lines] if is_one else [[line] for line in lines]:
        accepted = accepted_currencies([line.assignment for line in some])
        first = some[0]
        key = str(first.assignment.earning_type_id)
        form = ChooseCurrencyForm(
            accepted=accepted,
            types=[] if is_one else types,
            initial={"currency": first.currency, "earning_type": key},
            auto_id=f"id_%s_{key}" if not is_one else "id_%s",
        )
        if bound is not None and (is_one or bound.data.get("earning_type") == key):
            form = bound
        panels.append(CurrencyPanel(some, form, accepted))
    return panels


def _mismatch(bank: ProfileCard | None, currency: str | None) -> str:
    local = bank.profile.current_version.local_currency if bank else ""
    return mismatch(currency or "", local=local)


def _panels(lines: list[PayoutLine]) -> list[PayoutPanel]:
    panels: dict[tuple, list[PayoutLine]] = {}
    for line in lines:
        used = (line.assignment.used_bank, line.assignment.used_tax, line.currency)
        panels.setdefault(used, []).append(line)
    return [PayoutPanel(lines) for lines in panels.values()]


def missing_words(
    enrollment: Enrollment, lines: list[PayoutLine], gaps: list[Gap]
) -> list[str]:
    """Name everything that is missing, down to the field."""
    words = []
    for gap in gaps:
        if gap.code == "tax_incomplete":
            words += _missing_tax_fields(enrollment, lines)
        elif gap.code == "currency_refused":
            words += _refused_currencies(lines) or [str(gap.sentence)]
        else:
            words.append(str(gap.sentence))
    return list(dict.fromkeys(words))


def _refused_currencies(lines: list[PayoutLine]) -> list[str]:
    """Say of each currency that cannot be used which ones can (variant E)."""
    accepted = listed(accepted_currencies([line.assignment for line in lines]))
    if not accepted:
        return []
    return [
        _("This program and your bank accept %(codes)s, not %(code)s.")
        % {"codes": accepted, "code": code}
        for code in dict.fromkeys(
            line.currency for line in lines if line.is_currency_refused
        )
        if code
    ]


def _is_to_be_added(gap: Gap, codes: set[str]) -> bool:
    """What cannot be paid is told apart; a currency is asked for after the bank."""
    if gap.code in ("bank_country", "method_refused"):
        return False
    return gap.part != "currency" or "bank_country" not in codes


def _refusal(lines: list[PayoutLine]) -> str:
    """Say which banks the program cannot pay to, if one is chosen (variant I)."""
    countries = {
        country_name(line.bank.country)
        for line in lines
        if line.bank and GAPS["bank_country"] in line.gaps
    }
    if not countries:
        return ""
    return _("This program cannot pay to banks in %(country)s.") % {
        "country": ", ".join(sorted(countries))
    }


def _by_credit_note() -> str:
    if not settings.SUPPORT_ADDRESS:
        return _(
            "This program pays by credit note. The program owner arranges it with you."
        )
    return _(
        "This program pays by credit note. The program owner arranges it with you: "
        "write to %(address)s."
    ) % {"address": settings.SUPPORT_ADDRESS}


def _parts_without_form(
    enrollment: Enrollment, codes: set[str], *, has_banks: bool
) -> set[str]:
    """Return the parts that are missing and that the location's country has no form for.

    Another country's form may do: of the company's registration, of the bank.
    """
    country = enrollment.location.country
    parts = set()
    if "tax_missing" in codes and tax_schema(country) is None:
        parts.add("tax")
    if "bank_missing" in codes and not has_banks and bank_schema(country) is None:
        parts.add("bank")
    return parts


def _missing_tax_fields(enrollment: Enrollment, lines: list[PayoutLine]) -> list[str]:
    words = []
    for line in lines:
        version = line.tax.profile.current_version
        schema = tax_schema(version.country, form=version.form)
        lacking = missing_fields(
            schema,
            dict.fromkeys(version.provided, "x"),
            required=enrollment.terms.required_tax_details,
        )
        words += [str(field.label) for field in lacking]
        # A program may ask for a document too (R55).
        words += [
            str(DOCUMENTS[key].label)
            for key in enrollment.terms.required_tax_details
            if key in DOCUMENTS and key not in version.provided
        ]
    return words or [str(GAPS["tax_incomplete"].sentence)]


# Nothing is missing but the choice; the currency is asked for with it.
_ONE_TO_CHOOSE = ({"bank_missing"}, {"bank_missing", "currency_missing"})


def _sentence(
    lines: list[PayoutLine],
    gaps: list[Gap],
    *,
    has_form: bool,
    can_choose_bank: bool,
) -> str:
    """Say first, plainly, how things stand (the variants of the enroll flow)."""
    if not lines:
        return ""
    if not has_form:
        return _("This enrollment cannot be completed with the portal's forms alone.")
    banks = {line.bank.profile.pk for line in lines if line.bank}
    taxes = {line.tax.profile.pk for line in lines if line.tax}
    if can_choose_bank and {gap.code for gap in gaps} in _ONE_TO_CHOOSE:
        return _("Choose the account for this enrollment.")
    if not banks and not taxes and not can_choose_bank:
        return _(
            "You need a bank profile and a tax profile. It takes about 10 minutes; "
            "have the bank's letter and your tax registration at hand."
        )
    if any(gap.code in RETURNED for gap in gaps):
        return _("Something was returned to you. Fix it; the rest stays as it is.")
    if gaps:
        return ngettext(
            "%(count)d thing is missing before you can submit.",
            "%(count)d things are missing before you can submit.",
            len(gaps),
        ) % {"count": len(gaps)}
    if any(line.bank and line.bank.is_pending for line in lines):
        return _("You can submit now. Your bank profile is already being validated.")
    if any(line.tax and line.tax.is_pending for line in lines):
        return _("You can submit now. Your tax profile is already being validated.")
    return _("Everything is ready. Check it and submit.")


def _first_choice(lines: list[PayoutLine]) -> dict[str, UUID]:
    used = [
        line.bank.profile.pk for line in lines if line.bank and not line.bank.refusal
    ]
    return {"bank_profile": used[0]} if used else {}


def _asked(lines: list[PayoutLine]) -> list[ProfileCard]:
    """The profiles the program owner asks about, each once."""
    cards = [card for line in lines for card in (line.bank, line.tax)]
    return list(
        {card.profile.pk: card for card in cards if card and card.is_asked}.values()
    )


def _bank_cards(
    enrollment: Enrollment,
    assignments: list[PayoutAssignment],
    on: date,
    *,
    default: DefaultBankProfile | None,
    offered: Iterable[BankProfile],
) -> dict[UUID, ProfileCard]:
    """Show what is offered, and what is used although it is offered no more."""
    profiles = {profile.pk: profile for profile in offered}
    elsewhere = {row.used_bank for row in assignments} - {None, *profiles}
    if elsewhere:
        profiles |= {
            profile.pk: profile
            for profile in BankProfile.objects.filter(pk__in=elsewhere)
            .with_some_uses()
            .with_versions()
        }
    for profile in profiles.values():
        # The same object, so that nothing is asked again.
        profile.partner_account = enrollment.location.partner_account
    return {
        key: _card(
            profile,
            on,
            is_default=default is not None and default.bank_profile_id == key,
            refusal=why_not_paid_to(profile, terms=enrollment.terms),
            uses=len(set(profile.some_uses)),
        )
        for key, profile in profiles.items()
    }


def _tax_cards(
    enrollment: Enrollment, assignments: list[PayoutAssignment], on: date
) -> dict[UUID, ProfileCard]:
    """Show the location's tax profiles, and what is used although it is archived."""
    used = {row.used_tax for row in assignments} - {None}
    profiles = TaxProfile.objects.filter(
        Q(location=enrollment.location_id, archived_at=None) | Q(pk__in=used)
    )
    cards = {}
    for profile in profiles.with_versions().order_by("pk"):
        profile.location = enrollment.location
        cards[profile.pk] = _card(profile, on)
    return cards


def _card(
    profile: Profile,
    on: date,
    *,
    is_default: bool = False,
    refusal: str = "",
    uses: int = 0,
) -> ProfileCard:
    """Tell of one profile what these pages show."""
    version = profile.current_version
    turn, icon = _CHIPS[ProfileStatus(version.status)]
    label = version.get_status_display()
    if version.is_asked:
        shown = version.shown_status
        turn, icon, label = Turn(shown.turn), shown.icon, shown.label
    if version.is_expired(on):
        turn, icon, label = Turn.STOP, "ended", _("Expired")
    if refusal and not version.is_returned:
        turn, icon, label = Turn.STOP, "ban", _("Cannot be used")
    return ProfileCard(
        profile=profile,
        country=version.country,
        last4=version.last4,
        bank_name=getattr(version, "bank_name", ""),
        chip=ShownStatus(version.status, label, turn, icon),
        is_pending=version.is_pending,
        is_asked=version.is_asked,
        is_returned=version.is_returned,
        is_default=is_default,
        refusal=refusal,
        uses=uses,
        reasons=(
            explained(version.returned, country=version.country)
            if version.is_returned
            else []
        ),
    )
