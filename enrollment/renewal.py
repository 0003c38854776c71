"""What a fiscal year's end means for each enrollment: one annotated QuerySet.

Forecast, rehearsal and run ask the same annotation, so that what partners are told for
months is the rule of the night (domain.md §10.2). Each asks it of what is known on its
own day: what changes between, changes the answer. Nothing here changes anything.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    Case,
    CharField,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce, NullIf

from enrollment.eligibility import is_offered_in, tax_gap, waits_for_part
from enrollment.models import (
    Agreement,
    Criterion,
    Enrollment,
    FiscalYear,
    Requirement,
    RequirementCheck,
    TakenOverPayout,
)
from enrollment.states import FOLLOWS_PROFILES, EnrollmentStatus, Outcome

FOLLOWING = "terms__succession__following"
# Reasons of "not eligible" that no requirement stands for.
LOCATION_CLOSED = "location_closed"
NOT_IN_COUNTRY = "country"
REQUIREMENT = "requirement-"


def ending(enrollments: QuerySet[Enrollment], *, into: FiscalYear) -> QuerySet:
    """Return the enrollments that a fiscal year's beginning ends.

    They are those of the year before in the same calendar that did not end already.
    """
    return enrollments.filter(terms__succession__fiscal_year=into).exclude(
        status=EnrollmentStatus.EXPIRED
    )


def years_ending(
    at: datetime, *, ahead: timedelta, behind: timedelta
) -> list[FiscalYear]:
    """Return the years that begin so soon, or began so lately, and end something.

    Each is looked at on the day that it is in its own calendar (R66).
    """
    years = (
        FiscalYear.objects.filter(
            successions__isnull=False,
            starts_on__gte=at.date() - behind - timedelta(days=1),
            starts_on__lte=at.date() + ahead + timedelta(days=1),
        )
        .distinct()
        .select_related("calendar")
        .order_by("starts_on", "pk")
    )
    return [
        year
        for year in years
        if -behind <= year.starts_on - year.calendar.day_at(at) <= ahead
        and ending(Enrollment.objects.all(), into=year).exists()
    ]


def criteria_of(codes: Iterable[str]) -> dict[str, Criterion]:
    """Return what the requirements among some reasons ask for, by reason."""
    keys = {code.removeprefix(REQUIREMENT) for code in codes if REQUIREMENT in code}
    found = Requirement.objects.filter(pk__in=keys).select_related("criterion")
    return {f"{REQUIREMENT}{one.pk}": one.criterion for one in found.order_by("pk")}


def with_outcome(
    enrollments: QuerySet[Enrollment],
    *,
    into: FiscalYear,
    on: date,
    companies: tuple[int, int] | None = None,
) -> QuerySet[Enrollment]:
    """Annotate each ending enrollment with what becomes of it (domain.md §10.2).

    `next_terms` are the program's terms in the year, if any; `outcome` is a code of
    Outcome, which states.RENEWALS explains; `reasons` are codes of why: of GAPS,
    `requirement-` with the key of an unmet requirement, LOCATION_CLOSED or
    NOT_IN_COUNTRY.

    Agreements and tax profiles are held against the new year's first day, which they
    have to reach, however late somebody asks. Measured values are held against `on`,
    the day of asking: the newest counts. Only what is known not to be met ends
    anything; what was never measured, or is too old by then, does not (experience.md
    P7).

    `companies`, the first key and the last, says that no others are among the
    enrollments: nothing is asked of theirs then.
    """
    first_day = into.starts_on
    unmet = _unmet(on=on)
    lacking = _lacking(on=first_day)
    conditions = {
        Outcome.PROGRAM_ENDED: Q(terms__program__discontinued_at__isnull=False)
        | Q(**{FOLLOWING: None}),
        Outcome.NO_AGREEMENT: _IS_UNDER_WAY
        & ~_is_agreed(on=first_day, companies=companies),
        Outcome.NOT_ELIGIBLE: _IS_UNDER_WAY
        & (_IS_CLOSED | ~_IS_IN_COUNTRY | Q(Exists(unmet))),
        Outcome.AT_RISK: _IS_ENROLLED & Q(Exists(lacking)),
        # Never Enrolled with what was not validated.
        Outcome.VALIDATING: Q(status=EnrollmentStatus.VALIDATING)
        | (_IS_ENROLLED & Q(waits_for_part("bank", "tax"))),
        Outcome.ENROLLED: _IS_ENROLLED,
        Outcome.ACTION_REQUIRED: Q(status=EnrollmentStatus.ACTION_REQUIRED),
        Outcome.UNANSWERED: Q(
            status__in=[EnrollmentStatus.INVITED, EnrollmentStatus.DECLINED]
        ),
    }
    return (
        ending(enrollments, into=into)
        .annotate(
            next_terms=F(FOLLOWING),
            outcome=Case(
                *(When(met, then=Value(code)) for code, met in conditions.items()),
                default=Value(Outcome.OVER),
                output_field=CharField(),
            ),
        )
        .annotate(reasons=_reasons(unmet=unmet, lacking=lacking))
    )


def with_reasons(
    enrollments: QuerySet[Enrollment], *, outcome: str, into: FiscalYear, on: date
) -> QuerySet[Enrollment]:
    """Annotate enrollments whose outcome is known already with their `reasons`.

    with_outcome() asks for outcome and reasons at once, which asks for the outcome twice:
    right for a page, too slow for a million. Raises KeyError for an outcome outside
    of REASONED.
    """
    first_day = into.starts_on
    whys = _whys(unmet=_unmet(on=on), lacking=_lacking(on=first_day))
    return enrollments.annotate(reasons=whys[outcome])


# The outcomes that have reasons, and those whose reasons are asked alike.
ALIKE = ((Outcome.NOT_ELIGIBLE,), (Outcome.AT_RISK, Outcome.ACTION_REQUIRED))
REASONED = tuple(outcome for outcomes in ALIKE for outcome in outcomes)


_CODES = ArrayField(CharField())
_NOTHING = Value([], output_field=_CODES)
_IS_ENROLLED = Q(status=EnrollmentStatus.ENROLLED)
_IS_UNDER_WAY = Q(status__in=FOLLOWS_PROFILES)
_IS_CLOSED = Q(location__closed_at__isnull=False)
_IS_IN_COUNTRY = is_offered_in(F("location__country"), terms=f"{FOLLOWING}__")


def _reasons(*, unmet: QuerySet, lacking: QuerySet) -> Func:
    """Why, by the outcome that was annotated before.

    CASE outcome WHEN ...: the outcome and what is missing are asked for once each.
    Django's Case() writes them out for each line, and planning that takes longer than
    the answer.
    """
    why = _whys(unmet=unmet, lacking=lacking)
    # These two have the same reasons.
    outcome = Coalesce(
        NullIf(F("outcome"), Value(Outcome.ACTION_REQUIRED)), Value(Outcome.AT_RISK)
    )
    lines = [
        Func(
            Value(code), why[code], template="WHEN %(expressions)s", arg_joiner=" THEN "
        )
        for code in (Outcome.AT_RISK, Outcome.NOT_ELIGIBLE)
    ]
    return Func(
        outcome,
        *lines,
        Func(_NOTHING, template="ELSE %(expressions)s"),
        template="CASE %(expressions)s END",
        arg_joiner=" ",
        output_field=_CODES,
    )


def _whys(*, unmet: QuerySet, lacking: QuerySet) -> dict[str, Func | ArraySubquery]:
    """Why, for each outcome of REASONED."""
    missing = _what_is_missing(lacking)
    return {
        Outcome.NOT_ELIGIBLE: _why_not_eligible(unmet),
        Outcome.AT_RISK: missing,
        Outcome.ACTION_REQUIRED: missing,
    }


def _is_agreed(*, on: date, companies: tuple[int, int] | None) -> Q:
    agreements = Agreement.objects.active(on).filter(
        partner_account=OuterRef("location__partner_account")
    )
    if companies is not None:
        # PostgreSQL does not see by itself that a range of one is a range of the other.
        first, last = companies
        agreements = agreements.filter(
            partner_account__gte=first, partner_account__lte=last
        )
    return Q(**{f"{FOLLOWING}__needs_agreement": False}) | Q(Exists(agreements))


def _unmet(*, on: date) -> QuerySet[RequirementCheck]:
    """The requirements of the new year's terms that are known not to be met."""
    return RequirementCheck.objects.filter(
        location=OuterRef("location"), terms=OuterRef(FOLLOWING)
    ).known_unmet(on)


def _lacking(*, on: date) -> QuerySet[TakenOverPayout]:
    """The payments of the new year that lack something on a day."""
    return (
        TakenOverPayout.objects.filter(
            enrollment=OuterRef("pk"), terms=OuterRef(FOLLOWING)
        )
        .order_by()
        .alias(tax_gap=tax_gap(on=on))
        .exclude(bank_gap="", tax_gap="", currency_gap="")
    )


def _what_is_missing(lacking: QuerySet[TakenOverPayout]) -> ArraySubquery:
    """A code of GAPS for each thing that payments lack, once each."""
    gaps = Func(
        F("bank_gap"),
        F("tax_gap"),
        F("currency_gap"),
        template="ARRAY_REMOVE(ARRAY[%(expressions)s]::text[], '')",
        output_field=_CODES,
    )
    each = Func(gaps, function="UNNEST", output_field=CharField())
    return _array(lacking.values(gap=each).distinct().order_by("gap"))


def _array(codes: QuerySet) -> ArraySubquery:
    return ArraySubquery(codes, output_field=_CODES)


def _why_not_eligible(unmet: QuerySet[RequirementCheck]) -> Func:
    code = Func(
        Value(REQUIREMENT),
        F("requirement"),
        function="CONCAT",
        output_field=CharField(),
    )
    unmet = unmet.order_by("position", "requirement").annotate(code=code)
    return Func(
        _one_if(_IS_CLOSED, LOCATION_CLOSED),
        _one_if(~_IS_IN_COUNTRY, NOT_IN_COUNTRY),
        _array(unmet.values("code")),
        template="(%(expressions)s)",
        arg_joiner=" || ",
        output_field=_CODES,
    )


def _one_if(condition: Q, code: str) -> Case:
    return Case(
        When(condition, then=Value([code], output_field=_CODES)), default=_NOTHING
    )
