"""Questions asked of several models at once; nothing here changes anything.

Is a location eligible? What is missing before an enrollment can be submitted? Both
are annotations of a QuerySet, so that one row and a million are the same question.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache, reduce
from operator import or_
from types import MappingProxyType

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Location
from accounts.prepared import Given, planned, prepared
from enrollment.models import (
    Agreement,
    CheckState,
    Enrollment,
    PayoutAssignment,
    PayoutStanding,
    ProgramTerms,
    RequirementCheck,
    SetAside,
)
from enrollment.states import FOLLOWS_PROFILES, EnrollmentStatus
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    TaxProfile,
    TaxProfileVersion,
)
from profiles.paying import why_not_paid
from profiles.states import CANDIDATE, HELD, PayoutMethod, ProfileStatus


class _IsIn(Func):
    """value = ANY(array)"""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY("
    output_field = BooleanField()


def eligible_locations(
    terms: ProgramTerms, *, on: date, after: int = 0, upto: int | None = None
) -> QuerySet[Location]:
    """Return the locations that meet every requirement of the terms (R18, R28).

    With keys, those of a range: what is asked of each is asked of no other location.
    """
    within = {"gt": after} if after else {}
    if upto is not None:
        within["lte"] = upto
    return _eligible(terms.pk, on=on, within=within)


def locations_to_invite(terms: ProgramTerms, *, on: date) -> QuerySet[Location]:
    """Return the eligible locations without an enrollment for the terms (R29).

    What the year end has still to continue is invited by nobody (R61).
    """
    return _to_invite(terms.pk, on=on)


def continuing(
    terms: int | OuterRef, *, within: Mapping[str, int] = MappingProxyType({})
) -> QuerySet[Enrollment]:
    """Return what continues in the terms, by key, without anybody's doing (R61).

    That is what is under way or in force in the year before, at the location of the
    query around it, and that no year end has decided. With keys, of a range.
    """
    left = SetAside.objects.filter(enrollment=OuterRef("pk"), decided_at__isnull=False)
    return Enrollment.objects.filter(
        ~Exists(left),
        terms__succession__following=terms,
        location=OuterRef("pk"),
        status__in=FOLLOWS_PROFILES,
        **{f"location__{one}": key for one, key in within.items()},
    )


def count_locations_to_invite(keys: Iterable[int], *, on: date) -> dict[int, int]:
    """Count locations_to_invite() for several terms, given by key, in one query."""
    counted = (
        _to_invite(OuterRef(OuterRef("pk")), on=on)
        .order_by()
        .annotate(all_of_them=Value(1))
        .values("all_of_them")
        .annotate(locations=Count("pk"))
        .values("locations")
    )
    return dict(
        ProgramTerms.objects.filter(pk__in=list(keys))
        .order_by()
        .annotate(to_invite=Coalesce(Subquery(counted), 0))
        .values_list("pk", "to_invite")
    )


def _to_invite(terms: int | OuterRef, *, on: date) -> QuerySet[Location]:
    enrolled = Enrollment.objects.filter(terms=terms, location=OuterRef("pk"))
    # Each by itself: of the two in one condition PostgreSQL makes no join.
    return (
        _eligible(terms, on=on)
        .exclude(Exists(enrolled))
        .exclude(Exists(continuing(terms)))
    )


def _eligible(
    terms: int | OuterRef, *, on: date, within: Mapping[str, int] = MappingProxyType({})
) -> QuerySet[Location]:
    """The key of the terms, or a reference to it from two queries further in."""
    here = ProgramTerms.objects.filter(is_offered_in(OuterRef("country")), pk=terms)
    # failing(), with the agreement asked by itself: looked up for each location along with
    # what is measured there it takes most of the time. Each follows a change of the other.
    without = ProgramTerms.objects.filter(pk=terms, needs_agreement=False)
    agreed = Agreement.objects.active(on).filter(
        partner_account=OuterRef("partner_account")
    )
    # PostgreSQL does not see by itself that a range of one is a range of the other.
    failing = (
        RequirementCheck.objects.filter(
            location=OuterRef("pk"),
            terms=terms,
            **{f"location__{one}": key for one, key in within.items()},
        )
        .measured(on)
        .exclude(state=CheckState.MET)
    )
    locations = Location.objects.active().filter(
        Exists(here),
        Exists(without) | Exists(agreed),
        **{f"pk__{one}": key for one, key in within.items()},
    )
    return locations.exclude(Exists(failing))


def is_offered_in(country: F | OuterRef, *, terms: str = "") -> Q:
    """Whether terms, at a path, take locations of a country; no list takes all."""
    countries = f"{terms}countries"
    return Q(**{countries: []}) | Q(_IsIn(country, F(countries)))


def not_eligible_any_more(terms: ProgramTerms, *, on: date) -> QuerySet[Enrollment]:
    """Return what is under way or in force though a requirement is not met on a day."""
    unmet = RequirementCheck.objects.filter(
        location=OuterRef("location"), terms=terms.pk
    ).unmet(on)
    return Enrollment.objects.open().filter(Exists(unmet), terms=terms)


def eligible_again(
    terms: ProgramTerms, *, on: date, under: ProgramTerms | None = None
) -> QuerySet[Enrollment]:
    """Return what is Not eligible though every requirement is known to be met on a day.

    Those of the terms, or those `under` other terms.
    """
    failing = RequirementCheck.objects.filter(
        location=OuterRef("location"), terms=(under or terms).pk
    ).failing(on)
    return Enrollment.objects.filter(
        ~Exists(failing), terms=terms, status=EnrollmentStatus.INELIGIBLE
    )


def why_not_inviting(terms: ProgramTerms, *, on: date) -> str:
    """Say why nobody is invited to a program's year on a day; "" if they are (R26)."""
    if terms.is_open_to_all and terms.program.discontinued_at is None:
        return gettext(
            "%(program)s is open to all: partners find it in their Overview, nobody "
            "is invited."
        ) % {"program": terms.program.name}
    return why_not_enrolling(terms, on=on)


def why_not_enrolling(terms: ProgramTerms, *, on: date) -> str:
    """Say why nobody can begin to enroll in a program's year on a day; "" if they can."""
    program, year = terms.program.name, terms.fiscal_year
    if terms.program.discontinued_at is not None:
        return gettext("%(program)s is discontinued.") % {"program": program}
    if on < year.starts_on:
        return gettext(
            "Fiscal year %(year)s of %(program)s has not begun. It begins on %(day)s."
        ) % {"year": year, "program": program, "day": _written(year.starts_on)}
    if on > year.ends_on:
        return gettext("Fiscal year %(year)s of %(program)s ended on %(day)s.") % {
            "year": year,
            "program": program,
            "day": _written(year.ends_on),
        }
    if on > terms.last_day_for(on):
        return gettext("The last day to enroll in %(program)s was %(day)s.") % {
            "program": program,
            "day": _written(terms.last_day_for(on)),
        }
    return ""


def _written(day: date) -> str:
    return date_format(day, "j F Y")


# --- What is missing before Submit -------------------------------------------


@dataclass(frozen=True)
class Gap:
    """One thing that keeps an enrollment from being submitted."""

    code: str
    part: str
    sentence: str


GAPS: dict[str, Gap] = {
    gap.code: gap
    for gap in (
        Gap("bank_missing", "bank", _("A bank profile is missing.")),
        Gap("bank_archived", "bank", _("The bank profile is archived.")),
        Gap("bank_returned", "bank", _("The bank profile was returned to you.")),
        Gap(
            "bank_country",
            "bank",
            _("This program cannot pay to banks in that country."),
        ),
        Gap("tax_missing", "tax", _("A tax profile is missing.")),
        Gap("tax_archived", "tax", _("The tax profile is archived.")),
        Gap("tax_returned", "tax", _("The tax profile was returned to you.")),
        Gap("tax_expired", "tax", _("The tax profile has expired.")),
        Gap(
            "tax_incomplete",
            "tax",
            _("The tax profile lacks details that this program needs."),
        ),
        Gap("currency_missing", "currency", _("A currency is not chosen.")),
        Gap(
            "currency_refused",
            "currency",
            _("This program or the bank does not accept the currency."),
        ),
        Gap(
            "method_refused",
            "bank",
            _("This program pays by credit note, which the program owner arranges."),
        ),
    )
}


# What of PayoutStanding every answer carries.
_STANDING = (
    "used_bank",
    "used_tax",
    "used_currency",
    "newest_bank_version",
    "bank_status",
    "accepted_currencies",
    "newest_tax_version",
    "tax_status",
    "bank_gap",
    "currency_gap",
)
# A tax profile's own faults come before its age (R54).
_BEFORE_EXPIRY = ("tax_missing", "tax_archived", "tax_returned")


def with_gaps(
    assignments: QuerySet[PayoutAssignment], *, on: date | Given
) -> QuerySet[PayoutAssignment]:
    """Join each payout assignment with what it uses and what it lacks on a day.

    `used_bank`, `used_currency`, `used_tax`: chosen, or else the location's default.
    `bank_gap`, `tax_gap`, `currency_gap`: a code of GAPS, or "". One gap per part, the
    one to mend first.
    """
    return assignments.annotate(
        **{name: F(f"standing__{name}") for name in _STANDING},
        tax_gap=tax_gap(on=on, standing="standing__"),
    )


def tax_gap(*, on: date | F | Given, standing: str = "") -> Case:
    """Return what a tax profile lacks on a day: a code of GAPS, or "" (R54)."""
    lasting = f"{standing}lasting_tax_gap"
    return Case(
        When(**{f"{lasting}__in": _BEFORE_EXPIRY}, then=F(lasting)),
        When(**{f"{standing}tax_expires_on__lt": on}, then=Value("tax_expired")),
        default=F(lasting),
    )


def why_not_paid_to(profile: BankProfile, *, terms: ProgramTerms) -> str:
    """Say why nothing can be paid to a bank profile under these terms; "" if it can.

    The answer before a profile is chosen; PayoutStanding gives the same after it.
    """
    version = profile.current_version
    if profile.is_archived:
        return gettext("This bank profile is archived. Choose another.")
    if version.is_returned:
        return gettext("It was returned to you. Fix it first, or choose another.")
    return why_not_paid(version, terms=terms)


def with_next_gaps(locations: QuerySet[Location], *, on: date) -> QuerySet[Location]:
    """Annotate what the next enrollment at each location would begin with, and lack.

    `next_bank`, `next_tax`: the default bank profile and the newest tax profile.
    `next_bank_gap`, `next_tax_gap`, `next_currency_gap`: a code of GAPS, or "". The
    answer before anything is begun; PayoutStanding gives the same once it is.
    """
    here = "next_standing__"
    return locations.annotate(
        next_bank=F(f"{here}bank"),
        next_tax=F(f"{here}tax"),
        next_bank_gap=F(f"{here}bank_gap"),
        next_tax_gap=Case(
            When(
                Q(**{f"{here}lasting_tax_gap": "", f"{here}tax_expires_on__lt": on}),
                then=Value("tax_expired"),
            ),
            default=F(f"{here}lasting_tax_gap"),
        ),
        next_currency_gap=F(f"{here}currency_gap"),
    )


def gaps_of(assignments: Iterable[PayoutAssignment]) -> list[Gap]:
    """Return what the annotated assignments of one enrollment lack, once each."""
    codes = dict.fromkeys(
        code
        for assignment in assignments
        for code in (assignment.bank_gap, assignment.tax_gap, assignment.currency_gap)
        if code
    )
    return [GAPS[code] for code in codes]


def gap_codes(enrollments: Iterable[object], *, on: date) -> dict[str, tuple[str, ...]]:
    """Return the codes of gaps_of() for each of some enrollments, by the key as text.

    What lacks nothing is left out.
    """
    codes: dict[str, tuple[str, ...]] = {}
    for key, *gaps in _gaps().ask(enrollments=list(enrollments), on=on):
        codes[key] = _together(*codes.get(key, ()), *gaps)
    return {key: some for key, some in codes.items() if some}


@planned
def _gaps() -> QuerySet:
    """What the payments of some enrollments lack on a day, by their key as text.

    The keys of the payments are read first, in the same question: joined with its
    enrollment, a payment is asked of all there are. Payments of an enrollment that use
    the same lack the same: one of them is asked about.
    """
    alike = ("enrollment_id", "location_id", "bank_profile_id", "tax_profile_id")
    alike += ("method", "currency")
    payments = (
        PayoutAssignment.objects.filter(enrollment__among=Given("enrollments"))
        .order_by(*alike, "-earning_type__share", "pk")
        .distinct(*alike)
    )
    return (
        PayoutStanding.objects.filter(
            assignment__among=ArraySubquery(payments.values("pk"))
        )
        .order_by(
            "assignment__enrollment_id",
            "-assignment__earning_type__share",
            "assignment_id",
        )
        .values_list(
            Cast("assignment__enrollment_id", TextField()),
            "bank_gap",
            tax_gap(on=Given("on")),
            "currency_gap",
        )
    )


def gap_codes_of_many(
    places: Iterable[tuple[str, int, int, int]], *, on: date
) -> dict[str, tuple[str, ...]]:
    """Return gap_codes() of many, given by key as text, terms, location and company.

    Where the company has no bank profile and the location no tax profile a payment can
    use none: such enrollments lack the same under the same terms, so that one of them is
    asked about.
    """
    places = list(places)
    banks = _with_bank().ask(companies=list({company for *_, company in places}))
    taxes = _with_tax().ask(locations=list({location for *_, location, _ in places}))
    has_bank, has_tax = {company for (company,) in banks}, {key for (key,) in taxes}
    asked: list[str] = []
    alike: dict[int, list[str]] = defaultdict(list)
    for key, terms, location, company in places:
        if company in has_bank or location in has_tax:
            asked.append(key)
        else:
            alike[terms].append(key)
    codes = gap_codes([*asked, *(keys[0] for keys in alike.values())], on=on)
    for first, *others in alike.values():
        if first in codes:
            codes |= dict.fromkeys(others, codes[first])
    return codes


@prepared
def _with_bank() -> QuerySet:
    """Which of some companies have a bank profile, archived or not."""
    profiles = BankProfile.objects.filter(partner_account__among=Given("companies"))
    return profiles.order_by().values_list("partner_account").distinct()


@prepared
def _with_tax() -> QuerySet:
    """Which of some locations have a tax profile, archived or not."""
    profiles = TaxProfile.objects.filter(location__among=Given("locations"))
    return profiles.order_by().values_list("location").distinct()


# Few answers are given to many questions.
@lru_cache(maxsize=512)
def _together(*codes: str) -> tuple[str, ...]:
    """Return codes once each, without those that say nothing."""
    return tuple(dict.fromkeys(filter(None, codes)))


def payout_of(
    enrollments: Iterable[Enrollment], *, on: date
) -> dict[object, list[PayoutAssignment]]:
    """Return each enrollment's annotated assignments, by the enrollment's key."""
    rows: dict[object, list[PayoutAssignment]] = {e.pk: [] for e in enrollments}
    if rows:
        for assignment in _payouts().ask(enrollments=list(rows), on=on):
            rows[assignment.enrollment_id].append(assignment)
    return rows


@planned
def _payouts() -> QuerySet[PayoutAssignment]:
    assignments = (
        PayoutAssignment.objects.filter(enrollment__among=Given("enrollments"))
        .select_related("earning_type")
        .order_by("enrollment_id", "-earning_type__share", "pk")
    )
    return with_gaps(assignments, on=Given("on"))


def accepted_currencies(assignments: Iterable[PayoutAssignment]) -> list[str]:
    """Return what the program and every bank used by an enrollment accept, in order.

    What one payment accepts is said by PayoutStanding. A payment without a bank yet
    leaves the choice to the others.
    """
    assignments = list(assignments)
    rows = [row for row in assignments if row.used_bank] or assignments
    first = rows[0].accepted_currencies if rows else []
    return [
        code for code in first if all(code in row.accepted_currencies for row in rows)
    ]


def payout_at(
    enrollments: Iterable[Enrollment], *, at: datetime
) -> dict[object, list[PayoutAssignment]]:
    """payout_of() on the day it is at a moment in each program's own calendar (R66)."""
    rows: dict[object, list[PayoutAssignment]] = {}
    for day, some in _by_its_day(enrollments, at).items():
        rows |= payout_of(some, on=day)
    return rows


def gaps_at(
    enrollments: Iterable[Enrollment], *, at: datetime
) -> dict[object, list[Gap]]:
    """gaps_of() what payout_at() returns, for lists that say no more of it."""
    gaps = {}
    for day, some in _by_its_day(enrollments, at).items():
        codes = gap_codes([one.pk for one in some], on=day)
        for one in some:
            if lacking := codes.get(str(one.pk)):
                gaps[one.pk] = [GAPS[code] for code in lacking]
    return gaps


def _by_its_day(
    enrollments: Iterable[Enrollment], at: datetime
) -> dict[date, list[Enrollment]]:
    by_day: dict[date, list[Enrollment]] = defaultdict(list)
    for enrollment in enrollments:
        by_day[enrollment.terms.fiscal_year.calendar.day_at(at)].append(enrollment)
    return by_day


def is_validated(assignment: PayoutAssignment) -> bool:
    """Whether the program owner validated exactly what is used now (R38-R40)."""
    return is_part_validated(assignment, "bank") and is_part_validated(
        assignment, "tax"
    )


def is_part_validated(assignment: PayoutAssignment, part: str) -> bool:
    """Whether the bank or the tax profile used now is validated for this enrollment."""
    if part == "bank" and assignment.method != PayoutMethod.BANK_TRANSFER:
        return True
    validated = getattr(assignment, f"{part}_version_id")
    return (
        validated is not None
        and validated == getattr(assignment, f"newest_{part}_version")
        and getattr(assignment, f"{part}_status") == ProfileStatus.APPROVED
    )


def waits_for_time() -> Exists:
    """Enrollments whose bank part waits for no decision: approved, or stopped."""
    return Exists(_held_payouts().filter(enrollment=OuterRef("pk")))


def _held_payouts() -> QuerySet[PayoutAssignment]:
    """Payouts to accounts that wait; one with two such accounts comes twice."""
    return PayoutAssignment.objects.filter(bank_profile__versions__status__in=HELD)


@planned
def _with_held_payouts() -> QuerySet:
    """The keys of those of some enrollments that are paid to an account that waits."""
    payouts = _held_payouts().filter(enrollment__among=Given("enrollments"))
    return payouts.order_by().values_list("enrollment_id").distinct()


def note_held(enrollments: Iterable[Enrollment]) -> None:
    """Note on enrollments that wait for nobody's decision until when they wait.

    A changed account cools off, or was stopped: an answer is not overdue then.
    """
    known = {one.pk: one for one in enrollments if one.is_validating}
    if not known:
        return
    # Few are: what else is to be known is asked of these.
    keys = {key for (key,) in _with_held_payouts().ask(enrollments=list(known))}
    if not keys:
        return
    held = BankProfileVersion.objects.filter(
        status__in=HELD, profile__payout_assignments__enrollment=OuterRef("pk")
    )
    rows = (
        Enrollment.objects.filter(pk__in=keys)
        .exclude(waits_for_part("tax"))
        .order_by()
        .annotate(
            is_stopped=Exists(held.filter(status=ProfileStatus.STOPPED)),
            until=Subquery(held.order_by("-usable_from").values("usable_from")[:1]),
        )
        .values_list("pk", "is_stopped", "until")
    )
    for key, is_stopped, until in rows:
        known[key].held_until = until
        known[key].is_held = True
        known[key].is_held_by_stop = is_stopped


def waits_for_part(*parts: str) -> Exists:
    """Whether a submitted enrollment's bank or tax part, or one of both, is not validated.

    The same question as is_part_validated(), asked of many: a condition on
    enrollments.
    """
    waits = reduce(or_, map(_waits, parts))
    return Exists(PayoutAssignment.objects.filter(waits, enrollment=OuterRef("pk")))


def _waits(part: str) -> Q:
    """A condition on payouts; who is paid by credit note waits for no bank."""
    versions = {"bank": BankProfileVersion, "tax": TaxProfileVersion}[part].objects
    newer = versions.filter(profile=OuterRef(f"{part}_profile"), status__in=CANDIDATE)
    waits = (
        Q(**{f"{part}_version": None})
        | ~Q(**{f"{part}_version__status": ProfileStatus.APPROVED})
        | Q(Exists(newer))
    )
    return Q(method=PayoutMethod.BANK_TRANSFER) & waits if part == "bank" else waits
