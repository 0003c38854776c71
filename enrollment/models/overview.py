"""Two database views: every program at every location, and every requirement there.

They are the one place where "is this requirement met?" and "what is at this
location?" are asked; pages, invitations and the year end read them, for one row and for
a million alike. Nothing writes them. Who is eligible asks for the agreement beside them
(enrollment.eligibility), as as_of() does.
"""

from collections.abc import Mapping
from datetime import date
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, Exists, F, Func, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import IncentiveProgram, Location, PartnerAccount
from accounts.prepared import Given
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import Enrollment
from enrollment.models.imports import ValueImport
from enrollment.models.requirements import Agreement, Criterion, Requirement
from enrollment.models.terms import (
    FiscalYear,
    Keys,
    ProgramTerms,
    on_its_day,
)
from enrollment.states import STATUS_ORDER, VEILED


class CheckState(models.TextChoices):
    """Whether a location meets a requirement; old data is not a "no"."""

    MET = "met", _("Met")
    UNMET = "unmet", _("Not met")
    UNKNOWN = "unknown", _("Not known")


def check_state(day: date) -> Case:
    """Return whether something measured is met on a day.

    What is missing, or too old, is not known: never a "no".
    """
    lasts = Q(valid_until=None) | Q(valid_until__gte=day)
    return Case(
        When(is_met=None, then=Value("unknown")),
        When(~(Q(valid_from__lte=day) & lasts), then=Value("unknown")),
        When(is_met=True, then=Value("met")),
        default=Value("unmet"),
        output_field=models.CharField(),
    )


class RequirementCheckQuerySet(ScopedQuerySet):
    scope = Scope(
        account="location__partner_account",
        location="location",
        program="terms__program",
    )
    view_permission = Permission.REQUIREMENT_VIEW

    def as_of(
        self,
        day: date | Given,
        *,
        company: str | OuterRef = "location__partner_account",
    ) -> Self:
        """Annotate `state` as it is on a day.

        A company can have several agreements, one after the other: any that is active
        on the day counts. `company` is where a row says whose it is; rows that are asked
        about know it themselves.
        """
        agreed = Agreement.objects.active(day).filter(partner_account=OuterRef(company))
        return self.annotate(
            state=Case(
                When(Q(requirement=None) & Exists(agreed), then=Value("met")),
                When(requirement=None, then=Value("unmet")),
                default=check_state(day),
                output_field=models.CharField(),
            )
        )

    def measured(self, day: date) -> Self:
        """Annotate `state` as it is on a day; without agreements."""
        return self.filter(requirement__isnull=False).annotate(state=check_state(day))

    def failing(self, day: date, **whose) -> Self:
        """Requirements that are not met, or not known to be met, on a day; as as_of()."""
        return self.as_of(day, **whose).exclude(state=CheckState.MET)

    def unmet(self, day: date) -> Self:
        """Requirements that are known not to be met on a day, and a missing agreement.

        What moves an enrollment to Not eligible; what is not known moves nothing.
        """
        return self.as_of(day).filter(state=CheckState.UNMET)

    def known_unmet(self, day: date) -> Self:
        """What is measured and known not to be met on a day.

        What was never measured, or is too old, is not among it: who takes part already
        loses nothing by what others did not measure.
        """
        return (
            self.filter(requirement__isnull=False)
            .alias(state=check_state(day))
            .filter(state=CheckState.UNMET)
        )


class RequirementCheck(models.Model):
    """One requirement of a program's year held against one location.

    A row without `requirement` is the partner agreement the program needs.
    """

    id = models.CharField(primary_key=True, max_length=60)
    location = models.ForeignKey(
        Location, models.DO_NOTHING, related_name="requirement_checks"
    )
    terms = models.ForeignKey(
        ProgramTerms, models.DO_NOTHING, related_name="requirement_checks"
    )
    requirement = models.ForeignKey(
        Requirement, models.DO_NOTHING, null=True, related_name="checks"
    )
    criterion = models.ForeignKey(
        Criterion, models.DO_NOTHING, null=True, related_name="checks"
    )
    position = models.IntegerField()
    needed = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    value = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    is_met = models.BooleanField(null=True)
    valid_from = models.DateField(null=True)
    valid_until = models.DateField(null=True)
    source = models.CharField(max_length=80)

    objects = RequirementCheckQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_requirementcheck"
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.pk


class ImportedCheckQuerySet(ScopedQuerySet):
    scope = Scope(
        account="location__partner_account",
        location="location",
        program="terms__program",
    )
    view_permission = Permission.REQUIREMENT_VIEW

    def as_of(self, day: date) -> Self:
        """Annotate `state` with what a file says of each requirement on a day."""
        return self.annotate(state=check_state(day))


class ImportedCheck(models.Model):
    """One requirement held against a new or changed value of a file."""

    id = models.CharField(primary_key=True, max_length=60)
    value_import = models.ForeignKey(
        ValueImport, models.DO_NOTHING, related_name="checks"
    )
    location = models.ForeignKey(Location, models.DO_NOTHING, related_name="+")
    terms = models.ForeignKey(ProgramTerms, models.DO_NOTHING, related_name="+")
    requirement = models.ForeignKey(Requirement, models.DO_NOTHING, related_name="+")
    is_met = models.BooleanField(null=True)
    valid_from = models.DateField(null=True)
    valid_until = models.DateField(null=True)

    objects = ImportedCheckQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_importedcheck"
        ordering = ("id",)

    def __str__(self) -> str:
        return self.pk


CALENDAR = "fiscal_year__calendar"


class ProgramAtLocationQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account", location="location", program="program")
    view_permission = Permission.ENROLLMENT_KNOW

    def for_pages(self) -> Self:
        """With what every page says of a program at a location."""
        return self.select_related(
            "location__partner_account",
            "program",
            "terms__program",
            "terms__fiscal_year__calendar",
            "enrollment",
        )

    def current(self, running: Keys, over: Keys | None) -> Self:
        """Rows of this fiscal year, and what ended with a program's last year.

        By the keys of the terms, as ShownTerms.keys has them.
        """
        shown = Q(terms__among=running)
        if over is not None:
            shown |= Q(terms__among=over, enrollment__isnull=False)
        return self.filter(shown)

    def with_enrollment_between_years(self) -> Self:
        """Alias the key of the enrollment of the year before, if that still counts.

        Its year is over, and the year end has neither carried it over nor ended it. To
        be chosen by; of a page's rows it is asked at once.
        """
        before = Enrollment.objects.between_years().filter(
            location=OuterRef("location"),
            terms__succession__following=OuterRef("terms"),
        )
        return self.alias(
            enrollment_between_years=Case(
                When(
                    enrollment=None, then=Subquery(before.order_by().values("pk")[:1])
                ),
                output_field=models.UUIDField(),
            )
        )

    def with_status(
        self, days: Mapping[date, list[int]], *, is_veiled: bool = False
    ) -> Self:
        """Annotate `status`: the enrollment's, or open, eligible, not eligible.

        `days` come from FiscalCalendar.objects.by_day(): each program counts its days
        in its own calendar (R66). Sorted by it, what a reader sees as Enrolling stands
        together, where rows have it veiled by `sees_progress`: the place of a row would
        tell the rest (R42).
        """
        checks = RequirementCheck.objects.filter(
            location=OuterRef("location"), terms=OuterRef("terms")
        )
        # Whose it is, is the row's to say: so each row is asked about alone, where the
        # requirements of all companies would be gathered for the few not begun.
        company = OuterRef("partner_account")
        is_ineligible = on_its_day(
            days, CALENDAR, lambda day: Q(Exists(checks.failing(day, company=company)))
        )
        not_begun = {
            "open": Q(is_open_to_all=True),
            "ineligible": is_ineligible,
            "eligible": Q(),
        }
        order = {code: place for place, code in enumerate(STATUS_ORDER, start=1)}
        begun = F("enrollment_status")
        if is_veiled:
            hidden = Q(enrollment_status__in=VEILED, sees_progress=False)
            begun = Case(When(hidden, then=Value("enrolling")), default=begun)
        # To be sorted by, never read. Requirements are asked of what nobody began alone.
        return self.annotate(
            status=Coalesce(
                "enrollment_status", _first_of(not_begun, models.CharField())
            )
        ).alias(
            status_order=Coalesce(
                # One look at a list, where comparing with each takes as long as sorting.
                Func(
                    Value(list(order), ArrayField(models.TextField())),
                    begun,
                    function="array_position",
                    output_field=models.IntegerField(),
                ),
                _first_of(
                    {order[code]: holds for code, holds in not_begun.items()},
                    models.IntegerField(),
                ),
            ),
        )


def _first_of(conditions: Mapping[str | int, Q], field: models.Field) -> Case:
    """The first of some values whose condition holds; an empty one always does."""
    default = next((Value(one) for one, holds in conditions.items() if not holds), None)
    return Case(
        *(When(holds, then=Value(one)) for one, holds in conditions.items() if holds),
        default=default,
        output_field=field,
    )


class ProgramAtLocation(models.Model):
    """What a program's year is for a location, enrolled or not: a row of the Overview.

    Programs that only invite by name have a row only where a location was invited.
    """

    id = models.CharField(primary_key=True, max_length=60)
    location = models.ForeignKey(
        Location, models.DO_NOTHING, related_name="programs_here"
    )
    program = models.ForeignKey(
        IncentiveProgram, models.DO_NOTHING, related_name="at_locations"
    )
    terms = models.ForeignKey(
        ProgramTerms, models.DO_NOTHING, related_name="at_locations"
    )
    fiscal_year = models.ForeignKey(
        FiscalYear, models.DO_NOTHING, related_name="at_locations"
    )
    enrollment = models.ForeignKey(
        Enrollment, models.DO_NOTHING, null=True, related_name="at_location"
    )
    partner_account = models.ForeignKey(
        PartnerAccount, models.DO_NOTHING, related_name="+"
    )
    location_name = models.CharField(max_length=120)
    program_name = models.CharField(max_length=120)
    is_open_to_all = models.BooleanField()
    # Of the enrollment, if there is one.
    enrollment_status = models.CharField(max_length=20, null=True)  # noqa: DJ001
    enroll_by = models.DateField(null=True)
    submitted_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)

    objects = ProgramAtLocationQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_programatlocation"
        ordering = ("program_name", "location_name", "id")

    def __str__(self) -> str:
        return self.pk

    def get_absolute_url(self) -> str:
        return reverse("enrollment:program", kwargs={"pk": self.pk})
