"""Questions asked of several models at once; nothing here changes anything.

Is a location eligible? What is missing before an enrollment can be submitted? Both
are annotations of a QuerySet, so that one row and a million are the same question.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, NullIf
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Location
from enrollment.models import (
    Enrollment,
    PayoutAssignment,
    ProgramTerms,
    RequirementCheck,
)
from profiles.models import BankProfileVersion, TaxProfile, TaxProfileVersion
from profiles.states import CANDIDATE, CURRENT, PayoutMethod, ProfileStatus


class _IsIn(Func):
    """value = ANY(array)"""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY("
    output_field = BooleanField()


class _Lacks(Func):
    """NOT (array @> other array)"""

    template = "(NOT (%(expressions)s))"
    arg_joiner = " @> "
    output_field = BooleanField()


def eligible_locations(terms: ProgramTerms, *, on: date) -> QuerySet[Location]:
    """Return the locations that meet every requirement of the terms (R18, R28)."""
    return _eligible(terms.pk, on=on)


def locations_to_invite(terms: ProgramTerms, *, on: date) -> QuerySet[Location]:
    """Return the eligible locations without an enrollment for the terms (R29)."""
    return _to_invite(terms.pk, on=on)


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
    return _eligible(terms, on=on).exclude(Exists(enrolled))


def _eligible(terms: int | OuterRef, *, on: date) -> QuerySet[Location]:
    """The key of the terms, or a reference to it from two queries further in."""
    here = ProgramTerms.objects.filter(
        Q(countries=[]) | Q(_IsIn(OuterRef("country"), F("countries"))), pk=terms
    )
    failing = RequirementCheck.objects.filter(
        location=OuterRef("pk"), terms=terms
    ).failing(on)
    return Location.objects.active().filter(Exists(here)).exclude(Exists(failing))


def why_not_inviting(terms: ProgramTerms, *, on: date) -> str:
    """Say why nobody is invited to a program's year on a day; "" if they are (R26)."""
    program, year = terms.program.name, terms.fiscal_year
    if terms.program.discontinued_at is not None:
        return gettext("%(program)s is discontinued.") % {"program": program}
    if terms.is_open_to_all:
        return gettext(
            "%(program)s is open to all: partners find it in their Overview, nobody "
            "is invited."
        ) % {"program": program}
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


def with_gaps(
    assignments: QuerySet[PayoutAssignment], *, on: date
) -> QuerySet[PayoutAssignment]:
    """Annotate each payout assignment with what it uses and what it lacks.

    `used_bank`, `used_currency`, `used_tax`: chosen, or else the location's default.
    `bank_gap`, `tax_gap`, `currency_gap`: a code of GAPS, or "". One gap per part, the
    one to mend first.
    """
    default = "enrollment__location__default_bank_profile__"
    own_tax = TaxProfile.objects.in_use().filter(location=OuterRef("location"))
    assignments = assignments.annotate(
        used_bank=Coalesce("bank_profile_id", f"{default}bank_profile_id"),
        used_tax=Coalesce(
            "tax_profile_id",
            Subquery(own_tax.order_by("-created_at", "pk").values("pk")[:1]),
        ),
    )
    bank = BankProfileVersion.objects.filter(
        profile=OuterRef("used_bank"), status__in=CURRENT
    ).order_by("-number")
    tax = TaxProfileVersion.objects.filter(
        profile=OuterRef("used_tax"), status__in=CURRENT
    ).order_by("-number")
    assignments = assignments.annotate(
        used_currency=Coalesce(
            NullIf("currency", Value("")),
            Case(
                When(bank_profile=None, then=F(f"{default}currency")),
                When(
                    bank_profile=F(f"{default}bank_profile"),
                    then=F(f"{default}currency"),
                ),
                default=None,
            ),
            output_field=CharField(),
        ),
        bank_status=Subquery(bank.values("status")[:1]),
        bank_country=Subquery(bank.values("country")[:1]),
        bank_currency=Subquery(bank.values("local_currency")[:1]),
        bank_only_local=Subquery(bank.values("takes_only_local")[:1]),
        bank_archived_at=Subquery(bank.values("profile__archived_at")[:1]),
        newest_bank_version=Subquery(bank.values("pk")[:1]),
        tax_status=Subquery(tax.values("status")[:1]),
        tax_provided=Subquery(tax.values("provided")[:1]),
        tax_expires_on=Subquery(tax.values("expires_on")[:1]),
        tax_archived_at=Subquery(tax.values("profile__archived_at")[:1]),
        newest_tax_version=Subquery(tax.values("pk")[:1]),
    )
    no_transfer = ~Q(enrollment__terms__methods__contains=[PayoutMethod.BANK_TRANSFER])
    refused_country = Q(
        ~Q(enrollment__terms__bank_countries=[])
        & ~Q(_IsIn(F("bank_country"), F("enrollment__terms__bank_countries")))
    ) | Q(_IsIn(F("bank_country"), F("enrollment__terms__bank_countries_refused")))
    accepted_currency = Q(
        _IsIn(F("used_currency"), F("enrollment__terms__currencies"))
    ) | Q(
        enrollment__terms__pays_local_currency=True,
        used_currency=F("bank_currency"),
    )
    return assignments.annotate(
        bank_gap=Case(
            When(no_transfer, then=Value("method_refused")),
            When(used_bank=None, then=Value("bank_missing")),
            When(bank_archived_at__isnull=False, then=Value("bank_archived")),
            When(
                bank_status=ProfileStatus.ACTION_REQUIRED, then=Value("bank_returned")
            ),
            When(refused_country, then=Value("bank_country")),
            default=Value(""),
            output_field=CharField(),
        ),
        tax_gap=Case(
            When(used_tax=None, then=Value("tax_missing")),
            When(tax_archived_at__isnull=False, then=Value("tax_archived")),
            When(tax_status=ProfileStatus.ACTION_REQUIRED, then=Value("tax_returned")),
            When(tax_expires_on__lt=on, then=Value("tax_expired")),
            When(
                Q(
                    _Lacks(
                        F("tax_provided"), F("enrollment__terms__required_tax_details")
                    )
                ),
                then=Value("tax_incomplete"),
            ),
            default=Value(""),
            output_field=CharField(),
        ),
        currency_gap=Case(
            When(no_transfer, then=Value("")),
            When(used_bank=None, then=Value("")),
            When(used_currency=None, then=Value("currency_missing")),
            When(
                Q(bank_only_local=True) & ~Q(used_currency=F("bank_currency")),
                then=Value("currency_refused"),
            ),
            When(~accepted_currency, then=Value("currency_refused")),
            default=Value(""),
            output_field=CharField(),
        ),
    )


def gaps_of(assignments: Iterable[PayoutAssignment]) -> list[Gap]:
    """Return what the annotated assignments of one enrollment lack, once each."""
    codes = dict.fromkeys(
        code
        for assignment in assignments
        for code in (
            assignment.bank_gap,
            assignment.tax_gap,
            assignment.currency_gap,
        )
        if code
    )
    return [GAPS[code] for code in codes]


def payout_of(
    enrollments: Iterable[Enrollment], *, on: date
) -> dict[object, list[PayoutAssignment]]:
    """Return each enrollment's annotated assignments, by the enrollment's key."""
    rows: dict[object, list[PayoutAssignment]] = {e.pk: [] for e in enrollments}
    assignments = (
        PayoutAssignment.objects.filter(enrollment__in=list(rows))
        .select_related("earning_type")
        .order_by("enrollment", "-earning_type__share", "pk")
    )
    for assignment in with_gaps(assignments, on=on):
        rows[assignment.enrollment_id].append(assignment)
    return rows


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


def waits_for_part(part: str) -> Exists:
    """Whether a submitted enrollment's bank or tax part is not validated.

    The same question as is_part_validated(), asked of many: a condition on
    enrollments.
    """
    if part == "bank":
        versions = BankProfileVersion.objects
        rows = PayoutAssignment.objects.filter(method=PayoutMethod.BANK_TRANSFER)
    else:
        versions = TaxProfileVersion.objects
        rows = PayoutAssignment.objects.all()
    newer = versions.filter(profile=OuterRef(f"{part}_profile"), status__in=CANDIDATE)
    return Exists(
        rows.filter(
            Q(**{f"{part}_version": None})
            | ~Q(**{f"{part}_version__status": ProfileStatus.APPROVED})
            | Q(Exists(newer)),
            enrollment=OuterRef("pk"),
        )
    )
