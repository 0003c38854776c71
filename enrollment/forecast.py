"""What the next fiscal year brings an enrollment, in words, and what would change it.

Pages, mails and reports say the same: everything comes from renewal.with_outcome(), so
that a risk is gone the moment it is cleared. A few questions, however many rows.
Sentences are made in the language that is active: call it in the reader's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.template.defaultfilters import capfirst
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from enrollment import renewal
from enrollment.changes import Change, Use, amount, changes_between, tax_details
from enrollment.eligibility import GAPS, tax_gap
from enrollment.models import (
    Agreement,
    Criterion,
    Enrollment,
    FiscalYear,
    FollowingPayout,
    MeasuredValue,
    ProgramTerms,
    RenewalPlan,
    RequirementCheck,
)
from enrollment.states import FOLLOWS_PROFILES, EnrollmentStatus, Outcome
from profiles.countries import country_name


class Kind(StrEnum):
    """What people have to know first."""

    CONTINUES = "continues"
    WAITS = "waits"
    RISK = "risk"
    ENDS = "ends"


KINDS: dict[Outcome, Kind] = {
    Outcome.ENROLLED: Kind.CONTINUES,
    Outcome.VALIDATING: Kind.WAITS,
    Outcome.AT_RISK: Kind.RISK,
    Outcome.ACTION_REQUIRED: Kind.RISK,
    Outcome.PROGRAM_ENDED: Kind.ENDS,
    Outcome.NO_AGREEMENT: Kind.ENDS,
    Outcome.NOT_ELIGIBLE: Kind.ENDS,
    Outcome.UNANSWERED: Kind.ENDS,
    Outcome.OVER: Kind.ENDS,
}
# What a person is told of long before: what needs attention already is told there.
WORTH_TELLING = frozenset(
    code
    for code, kind in KINDS.items()
    if kind in (Kind.RISK, Kind.ENDS) and code != Outcome.ACTION_REQUIRED
)


@dataclass(frozen=True)
class Remedy:
    """The one thing that clears a risk: a page, or in words who does it."""

    label: str = ""
    page: str = ""
    parts: Mapping[str, object] = field(default_factory=dict)
    sentence: str = ""

    @property
    def url(self) -> str:
        return reverse(self.page, kwargs=dict(self.parts) or None) if self.page else ""


@dataclass(frozen=True)
class Risk:
    """One reason, as words inside a sentence, and what clears it."""

    code: str
    phrase: str
    remedy: Remedy | None = None

    @property
    def sentence(self) -> str:
        return f"{capfirst(self.phrase)}."


@dataclass(frozen=True)
class Forecast:
    """What becomes of one enrollment when the next year begins, for one reader."""

    outcome: Outcome
    into: FiscalYear
    risks: list[Risk]
    next_terms: int | None

    @property
    def kind(self) -> Kind:
        return KINDS[self.outcome]

    @property
    def first_day(self) -> date:
        return self.into.starts_on

    @property
    def last_day(self) -> date:
        return self.into.starts_on - timedelta(days=1)

    @property
    def is_end(self) -> bool:
        return self.kind == Kind.ENDS

    @property
    def is_worth_telling(self) -> bool:
        """Whether it is told of before everything else."""
        return self.outcome in WORTH_TELLING

    @property
    def turn(self) -> str:
        """The color of it: whose turn it is to change it."""
        return _TURNS[self.kind]

    @property
    def icon(self) -> str:
        return _ICONS[self.kind]

    @property
    def names_its_risk(self) -> bool:
        """Whether the headline says all there is to say."""
        return len(self.risks) == 1 and self.outcome != Outcome.ACTION_REQUIRED

    @property
    def remedy(self) -> Remedy | None:
        """What clears the first risk."""
        return next((risk.remedy for risk in self.risks if risk.remedy), None)

    @property
    def headline(self) -> str:
        """One line of it: "Continues automatically on 1 July", "At risk: ..."."""
        facts = {"day": written(self.first_day), "what": self._what()}
        if self.kind == Kind.CONTINUES:
            return _("Continues automatically on %(day)s") % facts
        if self.kind == Kind.WAITS:
            return _("Continues on %(day)s; validation goes on") % facts
        if self.kind == Kind.ENDS:
            return _("Will end: %(what)s") % facts
        if self.outcome == Outcome.ACTION_REQUIRED:
            return _("Continues on %(day)s, but still as Action required") % facts
        return _("At risk: %(what)s") % facts

    @property
    def explanation(self) -> str:
        """What the line means for the reader, in a sentence."""
        facts = {"day": written(self.first_day), "last": written(self.last_day)}
        if self.kind == Kind.CONTINUES:
            return _("You need to do nothing.")
        if self.kind == Kind.WAITS:
            return _(
                "It continues as Validating enrollment, and the program owner goes on "
                "where it is. You need to do nothing."
            )
        if self.kind == Kind.ENDS:
            return _("It ends on %(last)s unless this changes.") % facts
        return (
            _(
                "Without a change it is Action required from %(day)s, and nothing is "
                "earned until it is mended."
            )
            % facts
        )

    def _what(self) -> str:
        if not self.risks:
            return ""
        first, more = self.risks[0].phrase, len(self.risks) - 1
        if not more:
            return first
        return ngettext(
            "%(what)s, and %(count)d more thing",
            "%(what)s, and %(count)d more things",
            more,
        ) % {"what": first, "count": more}


_ICONS = {
    Kind.CONTINUES: "check-circle",
    Kind.WAITS: "clock",
    Kind.RISK: "alert",
    Kind.ENDS: "ended",
}
_TURNS = {
    Kind.CONTINUES: "done",
    Kind.WAITS: "them",
    Kind.RISK: "you",
    Kind.ENDS: "stop",
}


@dataclass(frozen=True)
class Reader:
    """What a reader may do and see of an enrollment."""

    may_edit: bool
    sees_progress: bool
    sees_requirements: bool


# From so long before a year a program without its terms is said to end.
UNDECIDED = timedelta(days=30)
# Who may do everything an Incentives admin may.
ADMIN = Reader(may_edit=True, sees_progress=True, sees_requirements=True)


@dataclass
class Facts:
    """What is known of one enrollment's next year, for the words of its reasons."""

    enrollment: Enrollment
    into: FiscalYear
    payouts: list[FollowingPayout] = field(default_factory=list)
    # By the requirement's key; the agreement has none.
    checks: dict[int | None, RequirementCheck] = field(default_factory=dict)

    def lacking(self, code: str) -> FollowingPayout | None:
        """The payment that lacks what a code of GAPS stands for."""
        return next(
            (
                one
                for one in self.payouts
                if code in (one.bank_gap, one.tax_gap, one.currency_gap)
            ),
            None,
        )


# --- Which, and when ---------------------------------------------------------


def foreseen(
    enrollments: QuerySet[Enrollment], *, into: FiscalYear, on: date
) -> QuerySet[Enrollment]:
    """Annotate what becomes of those under way, as far as it is known.

    Known is what next year's terms say, and that a program ends. Until its terms are
    written nobody can say what becomes of an enrollment; from UNDECIDED before the first
    day, and once a plan is approved, it is said that it ends, for so it will.
    """
    under_way = enrollments.filter(status__in=FOLLOWS_PROFILES)
    foretold = renewal.with_outcome(under_way, into=into, on=on)
    if into.starts_on - on <= UNDECIDED:
        return foretold
    return foretold.filter(
        Q(next_terms__isnull=False)
        | Q(terms__program__discontinued_at__isnull=False)
        | Exists(RenewalPlan.objects.in_force().filter(into=into))
    )


def found(
    enrollments: QuerySet[Enrollment],
    years: Mapping[FiscalYear, date],
) -> dict[UUID, "Found"]:
    """Return outcome, reasons, next terms and year of enrollments, by their keys.

    `years` are those of FiscalCalendar.objects.days_at(): one question for all.
    """
    parts = []
    for into, on in years.items():
        parts.append(
            foreseen(enrollments, into=into, on=on)
            .order_by()
            .values_list(
                "pk",
                "outcome",
                "reasons",
                "next_terms",
                "terms__succession__fiscal_year",
            )
        )
    if not parts:
        return {}
    rows = parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]
    return {key: Found(*facts) for key, *facts in rows.order_by("outcome", "pk")}


@dataclass(frozen=True)
class Found:
    """What the rule says of one enrollment."""

    outcome: str
    reasons: list[str]
    next_terms: int | None
    into: int


# --- Of some enrollments, for a reader ---------------------------------------


def forecasts_of(
    enrollments: Iterable[Enrollment],
    *,
    years: Mapping[FiscalYear, date],
    reader: Callable[[Enrollment], Reader],
) -> dict[UUID, Forecast]:
    """Return what the next year brings, by key; nothing where it is not known yet.

    The enrollments come with what for_pages() adds; `years` are those that people read
    of, from six months before their first day to the day before it.
    """
    by_key = {one.pk: one for one in enrollments if one.status in FOLLOWS_PROFILES}
    calendars = {into.calendar_id for into in years}
    some = [
        one.pk
        for one in by_key.values()
        if one.terms.fiscal_year.calendar_id in calendars
    ]
    if not some:
        return {}
    rows = found(Enrollment.objects.filter(pk__in=some), years)
    return told({by_key[key]: row for key, row in rows.items()}, years, reader=reader)


def told(
    rows: Mapping[Enrollment, Found],
    years: Iterable[FiscalYear],
    *,
    reader: Callable[[Enrollment], Reader],
) -> dict[UUID, Forecast]:
    """Put into words what the rule says of enrollments, for a reader."""
    return in_words(rows, facts_of(rows, years), reader=reader)


def in_words(
    rows: Mapping[Enrollment, Found],
    facts: Mapping[UUID, Facts],
    *,
    reader: Callable[[Enrollment], Reader],
) -> dict[UUID, Forecast]:
    """The same in the active language, of what facts_of() found once for all readers."""
    forecasts = {}
    for enrollment, row in rows.items():
        who, outcome = reader(enrollment), Outcome(row.outcome)
        if _is_veiled(enrollment, outcome, who):
            continue
        forecasts[enrollment.pk] = Forecast(
            outcome=outcome,
            into=facts[enrollment.pk].into,
            risks=risks_of(outcome, row.reasons, facts[enrollment.pk], who),
            next_terms=row.next_terms,
        )
    return forecasts


def _is_veiled(enrollment: Enrollment, outcome: Outcome, who: Reader) -> bool:
    """Whether it would tell Action required from Validating enrollment (R42)."""
    return (
        not who.sees_progress
        and enrollment.status != EnrollmentStatus.ENROLLED
        and KINDS[outcome] != Kind.ENDS
    )


def facts_of(
    rows: Mapping[Enrollment, Found], years: Iterable[FiscalYear]
) -> dict[UUID, Facts]:
    """Ask for what the reasons are about: at most two questions."""
    by_key = {into.pk: into for into in years}
    facts = {
        one.pk: Facts(enrollment=one, into=by_key[row.into])
        for one, row in rows.items()
    }
    lacking = [one.pk for one, row in rows.items() if _is_gap(row)]
    if lacking:
        for payout in payouts_of(lacking):
            facts[payout.enrollment_id].payouts.append(payout)
    failing = {one: row for one, row in rows.items() if _is_unmet(row)}
    if failing:
        _add_checks(failing, facts)
    return facts


def _is_gap(row: Found) -> bool:
    return KINDS[Outcome(row.outcome)] == Kind.RISK


def _is_unmet(row: Found) -> bool:
    return row.outcome in (Outcome.NO_AGREEMENT, Outcome.NOT_ELIGIBLE)


def payouts_of(keys: Iterable[UUID]) -> QuerySet[FollowingPayout]:
    """What payments take over into the next year, with what they lack on its first day."""
    first_day = F("enrollment__terms__succession__fiscal_year__starts_on")
    return (
        FollowingPayout.objects.filter(enrollment__in=list(keys))
        .annotate(tax_gap=tax_gap(on=first_day))
        .select_related("earning_type__terms", "assignment__standing")
        .order_by("enrollment", "-earning_type__share", "id")
    )


def _add_checks(rows: Mapping[Enrollment, Found], facts: Mapping[UUID, Facts]) -> None:
    by_place = defaultdict(list)
    for enrollment, row in rows.items():
        by_place[enrollment.location_id, row.next_terms].append(facts[enrollment.pk])
    last_signed = Agreement.objects.filter(
        partner_account=OuterRef("location__partner_account")
    ).order_by("-starts_on", "-pk")
    checks = (
        RequirementCheck.objects.filter(
            location__in={location for location, _terms in by_place},
            terms__in={terms for _location, terms in by_place},
        )
        .annotate(
            signed_on=Subquery(last_signed.values("starts_on")[:1]),
            ends_on=Subquery(last_signed.values("ends_on")[:1]),
            terminated_on=Subquery(last_signed.values("terminated_on")[:1]),
        )
        .select_related("criterion")
        .order_by("position", "pk")
    )
    for check in checks:
        for one in by_place.get((check.location_id, check.terms_id), ()):
            # Without a requirement it is the agreement.
            one.checks[check.requirement_id] = check


# --- Reasons in words --------------------------------------------------------


def risks_of(
    outcome: Outcome, reasons: Iterable[str], facts: Facts, who: Reader
) -> list[Risk]:
    """Say each reason of an outcome, with the one thing that clears it."""
    if outcome in (Outcome.AT_RISK, Outcome.ACTION_REQUIRED):
        if not who.sees_progress:
            return [_for_the_admin("profiles", _("bank or tax details lack something"))]
        return [_gap_risk(code, facts, who) for code in reasons]
    if outcome == Outcome.NOT_ELIGIBLE:
        return [_requirement_risk(code, facts, who) for code in reasons]
    if outcome == Outcome.NO_AGREEMENT:
        return [Risk("agreement", _agreement_phrase(facts), _with_the_owner())]
    if outcome == Outcome.PROGRAM_ENDED:
        return [Risk("program", _program_phrase(facts), _program_remedy(facts))]
    return []


def _gap_risk(code: str, facts: Facts, who: Reader) -> Risk:
    payout = facts.lacking(code)
    phrase = _GAP_PHRASES[code](facts, payout)
    if not who.may_edit:
        return Risk(code, phrase, Remedy(sentence=_by_the_admin()))
    return Risk(code, phrase, _gap_remedy(code, facts, payout))


def _gap_remedy(code: str, facts: Facts, payout: FollowingPayout | None) -> Remedy:
    if code == "method_refused":
        return _with_the_owner()
    if facts.enrollment.is_editable:
        return Remedy(_("Fix"), "enrollment:profiles", {"pk": facts.enrollment.pk})
    if code.startswith("tax") and payout is not None and payout.used_tax:
        label = _("Renew the tax form") if code == "tax_expired" else _("Complete it")
        return Remedy(label, "profiles:change_tax", {"pk": payout.used_tax})
    if code.startswith("bank") and payout is not None and payout.used_bank:
        return Remedy(
            _("Change the bank profile"),
            "profiles:change_bank",
            {"pk": payout.used_bank},
        )
    return Remedy(
        sentence=_("From %(day)s the enrollment asks you for it.")
        % {"day": written(facts.into.starts_on)}
    )


def _no_words(sentence: str) -> Callable[[Facts, FollowingPayout | None], str]:
    return lambda facts, payout: str(sentence)


def _tax_expired(facts: Facts, payout: FollowingPayout | None) -> str:
    if payout is None or payout.tax_expires_on is None:
        return _("the tax form has expired by then")
    day = {"day": written(payout.tax_expires_on)}
    if payout.tax_expires_on < timezone.localdate():
        return _("tax form expired %(day)s") % day
    return _("tax form expires %(day)s") % day


def _tax_incomplete(facts: Facts, payout: FollowingPayout | None) -> str:
    provided = _standing(payout, "tax_provided") or []
    asked = payout.earning_type.terms.required_tax_details if payout else []
    lacking = [key for key in asked if key not in provided]
    if not lacking:
        return _("the tax profile lacks details that this program needs")
    labels = tax_details(lacking, country=facts.enrollment.location.country)
    return _("the tax profile lacks: %(details)s") % {"details": labels}


def _bank_country(facts: Facts, payout: FollowingPayout | None) -> str:
    country = _standing(payout, "bank_country")
    if not country:
        return _("the program does not pay to that bank's country any more")
    return _("the program does not pay to banks in %(country)s any more") % {
        "country": country_name(country)
    }


def _currency_refused(facts: Facts, payout: FollowingPayout | None) -> str:
    if payout is None or not payout.used_currency:
        return _("the program or the bank does not accept the currency any more")
    return _("the program does not pay in %(currency)s any more") % {
        "currency": payout.used_currency
    }


def _standing(payout: FollowingPayout | None, name: str):
    """What is known of the profiles a payment takes over, if it takes over any."""
    assignment = payout.assignment if payout is not None else None
    return getattr(getattr(assignment, "standing", None), name, None)


_GAP_PHRASES: dict[str, Callable[[Facts, FollowingPayout | None], str]] = {
    "bank_missing": _no_words(gettext_lazy("a bank profile is missing")),
    "bank_archived": _no_words(gettext_lazy("the bank profile is archived")),
    "bank_returned": _no_words(gettext_lazy("the bank profile was returned to you")),
    "bank_country": _bank_country,
    "tax_missing": _no_words(gettext_lazy("a tax profile is missing")),
    "tax_archived": _no_words(gettext_lazy("the tax profile is archived")),
    "tax_returned": _no_words(gettext_lazy("the tax profile was returned to you")),
    "tax_expired": _tax_expired,
    "tax_incomplete": _tax_incomplete,
    "currency_missing": _no_words(gettext_lazy("a currency is not chosen")),
    "currency_refused": _currency_refused,
    "method_refused": _no_words(
        gettext_lazy("the program pays by credit note, which its owner arranges")
    ),
}


def _requirement_risk(code: str, facts: Facts, who: Reader) -> Risk:
    if code == renewal.LOCATION_CLOSED:
        return Risk(code, _("the location is closed"))
    if code == renewal.NOT_IN_COUNTRY:
        return Risk(
            code,
            _("the program is not offered in %(country)s any more")
            % {"country": country_name(facts.enrollment.location.country)},
        )
    if not who.sees_requirements:
        return _for_the_admin(code, _("a requirement of the next year is not met"))
    key = code.removeprefix(renewal.REQUIREMENT)
    check = facts.checks.get(int(key)) if key.isdecimal() else None
    if check is None:
        return Risk(code, _("a requirement of the next year is not met"))
    row_id = f"{check.terms_id}-{check.location_id}"
    return Risk(
        code,
        _check_phrase(check),
        Remedy(
            _("See requirements"),
            "enrollment:why",
            {"pk": row_id},
            sentence=check.criterion.how_to_fix,
        ),
    )


def _check_phrase(check: RequirementCheck) -> str:
    criterion = check.criterion
    facts = {"name": criterion.name}
    if criterion.kind != criterion.Kind.NUMBER:
        return _("“%(name)s” is asked for and not in place") % facts
    facts["needed"] = amount(check.needed, criterion.unit)
    if check.value is None:
        return _("“%(name)s” has to be %(needed)s, and is not known now") % facts
    facts["yours"] = amount(check.value, criterion.unit)
    return _("“%(name)s” has to be %(needed)s, and is %(yours)s") % facts


def _agreement_phrase(facts: Facts) -> str:
    signed = facts.checks.get(None)
    words = {"company": facts.enrollment.location.partner_account.name}
    if signed is None or signed.signed_on is None:
        return _("%(company)s has no partner agreement") % words
    today = timezone.localdate()
    if signed.terminated_on is not None:
        words["day"] = written(signed.terminated_on)
        if signed.terminated_on <= today:
            return _("the agreement of %(company)s was terminated %(day)s") % words
        return _("the agreement of %(company)s is terminated %(day)s") % words
    if signed.ends_on is None:
        return _("%(company)s has no active partner agreement") % words
    words["day"] = written(signed.ends_on)
    if signed.ends_on < today:
        return _("the agreement of %(company)s ended %(day)s") % words
    return _("the agreement of %(company)s ends %(day)s") % words


def _program_phrase(facts: Facts) -> str:
    terms = facts.enrollment.terms
    words = {"day": written(terms.fiscal_year.ends_on)}
    if terms.program.discontinued_at is None:
        return _("the program has no terms yet for the time after %(day)s") % words
    return _("the program is not offered after %(day)s") % words


def _program_remedy(facts: Facts) -> Remedy | None:
    """Who can write the terms of a program that is not withdrawn."""
    is_open = facts.enrollment.terms.program.discontinued_at is None
    return _with_the_owner() if is_open else None


def _for_the_admin(code: str, phrase: str) -> Risk:
    return Risk(code, phrase, Remedy(sentence=_by_the_admin()))


def _by_the_admin() -> str:
    return _("Your Incentives admin can mend it.")


def _with_the_owner() -> Remedy:
    if settings.SUPPORT_ADDRESS:
        return Remedy(
            sentence=_("Only the program owner can change it: write to %(address)s.")
            % {"address": settings.SUPPORT_ADDRESS}
        )
    return Remedy(sentence=_("Only the program owner can change it."))


# --- What the year end found, afterwards ---------------------------------------


# Why an enrollment does not continue, where no requirement and no gap stands for it.
_RENEWAL_REASONS = {
    renewal.LOCATION_CLOSED: gettext_lazy("The location is closed."),
    renewal.NOT_IN_COUNTRY: gettext_lazy(
        "The program does not take locations of the country."
    ),
}


def reason_words(
    codes: Iterable[str], *, criteria: Mapping[str, Criterion]
) -> list[str]:
    """Say reasons of renewal.with_outcome() in sentences, in their order.

    `criteria` are what renewal.criteria_of() found of them.
    """
    return [_reason(code, criteria) for code in codes]


def _reason(code: str, criteria: Mapping[str, Criterion]) -> str:
    if code in criteria:
        return _("Requirement not met: %(name)s.") % {"name": criteria[code].name}
    if code in GAPS:
        return str(GAPS[code].sentence)
    return str(_RENEWAL_REASONS.get(code, code))


# --- What the terms say otherwise --------------------------------------------


def changes_of(forecasts: Mapping[Enrollment, Forecast]) -> dict[UUID, list[Change]]:
    """Say what the next terms change for each enrollment; five questions for all."""
    compared = Compared.of(
        {one: told.next_terms for one, told in forecasts.items() if told.next_terms}
    )
    return {
        one.pk: compared.changes(one, continues=not forecasts[one].is_end)
        for one in compared.following
    }


@dataclass(frozen=True)
class Compared:
    """Two years of programs and what enrollments use of them, asked once for all."""

    following: Mapping[Enrollment, int]
    terms: Mapping[int, ProgramTerms]
    uses: Mapping[UUID, Use]

    @classmethod
    def of(cls, following: Mapping[Enrollment, int]) -> "Compared":
        """Ask about enrollments and their next terms, given by key."""
        if not following:
            return cls({}, {}, {})
        keys = {one.terms_id for one in following} | set(following.values())
        terms = ProgramTerms.objects.prefetch_related(
            "earning_types", "requirements__criterion"
        )
        return cls(following, terms.in_bulk(keys), _uses(following))

    def changes(self, enrollment: Enrollment, *, continues: bool) -> list[Change]:
        """Say in the active language what changes for one of them."""
        return changes_between(
            self.terms[enrollment.terms_id],
            self.terms[self.following[enrollment]],
            use=replace(self.uses[enrollment.pk], continues=continues),
        )


def _uses(following: Mapping[Enrollment, int]) -> dict[UUID, Use]:
    payouts = defaultdict(list)
    for payout in payouts_of(one.pk for one in following):
        payouts[payout.enrollment_id].append(payout)
    values = defaultdict(dict)
    measured = MeasuredValue.objects.filter(
        location__in={one.location_id for one in following},
        criterion__requirements__terms__in=set(following.values()),
    ).order_by("pk")
    for value in measured.distinct():
        values[value.location_id][value.criterion_id] = value.value
    uses = {}
    for one in following:
        paid = [
            (row, getattr(row.assignment, "standing", None)) for row in payouts[one.pk]
        ]
        known = [(row, standing) for row, standing in paid if standing is not None]
        uses[one.pk] = Use(
            country=one.location.country,
            paid_in=[
                (row.used_currency, standing.bank_currency or "")
                for row, standing in known
                if row.used_currency
            ],
            bank_countries=[
                standing.bank_country
                for _row, standing in known
                if standing.bank_country
            ],
            tax_details={
                key for _row, standing in known for key in standing.tax_provided or ()
            },
            methods=[row.assignment.method for row, _standing in known],
            values=values[one.location_id],
        )
    return uses


# --- Days --------------------------------------------------------------------


def written(day: date) -> str:
    """A day as people say it, with its year unless that goes without saying."""
    is_near = abs((day - timezone.localdate()).days) < 300
    return date_format(day, "j F" if is_near else "j F Y")
