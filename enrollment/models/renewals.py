"""The year end: a plan, its ranges, what it says of each enrollment, what it left.

A plan is asked for, rehearsed, proposed, approved by its digest and run, range by range.
Its rows are written once, by the rehearsal; what the run found different stands beside
them.
"""

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import Enrollment
from enrollment.models.terms import FiscalYear
from enrollment.states import EnrollmentStatus, Outcome

# Instead of an earlier outcome: the rehearsal before did not have the row.
NEWCOMER = "new"


class RenewalPlanStatus(models.TextChoices):
    """Where a plan stands: rehearsed, proposed, approved, run."""

    ASKED = "asked", _("Waiting for a worker")
    REHEARSING = "rehearsing", _("Being rehearsed")
    REHEARSED = "rehearsed", _("Rehearsed")
    PROPOSED = "proposed", _("Waiting for approval")
    APPROVED = "approved", pgettext_lazy("renewal plan", "Approved")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    FINISHED = "finished", _("Finished")
    UNDOING = "undoing", _("Being undone")
    UNDONE = "undone", _("Undone")
    WITHDRAWN = "withdrawn", _("Withdrawn")


# One of these per year: what will run, runs, or ran.
IN_FORCE = ("approved", "running", "paused", "finished", "undoing")
# A worker writes its rows down, or is about to.
UNFINISHED = ("asked", "rehearsing")
_PLANNED = (*UNFINISHED, "rehearsed", "proposed", "withdrawn")


class RenewalPlanQuerySet(models.QuerySet):
    def in_force(self) -> Self:
        """What will run, runs, or ran."""
        return self.filter(status__in=IN_FORCE)

    def unfinished(self) -> Self:
        """Asked for or being rehearsed."""
        return self.filter(status__in=UNFINISHED)

    def whole(self) -> Self:
        """Rehearsed to the end, whatever became of it."""
        return self.exclude(digest="")


class RenewalPlan(models.Model):
    """What a fiscal year's beginning will do to every enrollment of the year before.

    `digest` stands for all its rows: who approves a plan approves exactly these.
    `known_on` is the day the rehearsal held measured values against; the run holds them
    against its own. Its rows are compared with
    the rehearsal before, if there was one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    into = models.ForeignKey(
        FiscalYear,
        models.PROTECT,
        related_name="renewal_plans",
        verbose_name=_("into the fiscal year"),
    )
    number = models.PositiveIntegerField(_("rehearsal"))
    status = models.CharField(
        _("status"),
        max_length=12,
        choices=RenewalPlanStatus,
        default=RenewalPlanStatus.ASKED,
    )
    known_on = models.DateField(_("values as known on"))
    rows_count = models.PositiveIntegerField(_("enrollments"), default=0)
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    # Counts by outcome and by reason, written by the rehearsal.
    outcomes = models.JSONField(_("outcomes"), default=dict, blank=True)
    reasons = models.JSONField(_("reasons"), default=dict, blank=True)
    compared_with = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("compared with"),
    )
    # Rows whose outcome is another one, by both: "enrolled at_risk".
    changes = models.JSONField(_("changes"), default=dict, blank=True)
    rehearsed_at = models.DateTimeField(_("rehearsed at"), auto_now_add=True)
    rehearsed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="renewals_rehearsed",
        verbose_name=_("rehearsed by"),
    )
    proposed_at = models.DateTimeField(_("proposed at"), null=True, blank=True)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="renewals_proposed",
        verbose_name=_("proposed by"),
    )
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="renewals_approved",
        verbose_name=_("approved by"),
    )
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    undo_reason = models.CharField(_("why it is undone"), max_length=400, blank=True)
    undo_asked_at = models.DateTimeField(_("undoing asked at"), null=True, blank=True)
    undo_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="renewals_to_undo",
        verbose_name=_("undoing asked by"),
    )
    undo_approved_at = models.DateTimeField(
        _("undoing approved at"), null=True, blank=True
    )
    undo_approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="renewals_undone",
        verbose_name=_("undoing approved by"),
    )
    undone_at = models.DateTimeField(_("undone at"), null=True, blank=True)

    objects = RenewalPlanQuerySet.as_manager()
    # What the audit trail says for the codes of `outcomes`.
    words_of_codes = dict(Outcome.choices)

    class Meta:
        verbose_name = _("year-end plan")
        verbose_name_plural = _("year-end plans")
        ordering = ("-into__starts_on", "-number")
        constraints = [
            models.UniqueConstraint(
                fields=["into", "number"], name="%(app_label)s_%(class)s_numbered_once"
            ),
            models.UniqueConstraint(
                fields=["into"],
                condition=Q(status__in=IN_FORCE),
                name="%(app_label)s_%(class)s_one_in_force",
            ),
            models.CheckConstraint(
                condition=Q(status__in=RenewalPlanStatus.values),
                name="%(app_label)s_%(class)s_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(approved_at=None, approved_by=None)
                | Q(approved_at__isnull=False, approved_by__isnull=False),
                name="%(app_label)s_%(class)s_approval_is_paired",
            ),
            # Four eyes (domain.md §10.7).
            models.CheckConstraint(
                condition=Q(approved_by=None)
                | (
                    ~Q(approved_by=F("proposed_by"))
                    & (Q(rehearsed_by=None) | ~Q(approved_by=F("rehearsed_by")))
                ),
                name="%(app_label)s_%(class)s_approved_by_somebody_else",
            ),
            models.CheckConstraint(
                condition=Q(status__in=_PLANNED)
                | Q(approved_at__isnull=False, digest__gt=""),
                name="%(app_label)s_%(class)s_in_force_is_approved",
            ),
            models.CheckConstraint(
                condition=Q(undo_asked_at=None, undo_asked_by=None, undo_reason="")
                | Q(
                    undo_asked_at__isnull=False,
                    undo_asked_by__isnull=False,
                    undo_reason__gt="",
                ),
                name="%(app_label)s_%(class)s_undoing_is_asked_with_reason",
            ),
            # Four eyes, as for the plan.
            models.CheckConstraint(
                condition=Q(undo_approved_at=None, undo_approved_by=None)
                | Q(undo_approved_at__isnull=False, undo_asked_by__isnull=False)
                & Q(undo_approved_by__isnull=False)
                & ~Q(undo_approved_by=F("undo_asked_by")),
                name="%(app_label)s_%(class)s_undone_by_somebody_else",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["undoing", "undone"])
                | Q(undo_approved_at__isnull=False),
                name="%(app_label)s_%(class)s_undoing_is_approved",
            ),
        ]
        permissions = [
            ("prepare_renewals", "Can rehearse, propose and run the year end"),
            ("approve_renewals", "Can approve the year end"),
        ]

    def __str__(self) -> str:
        return f"{self.into} #{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("ops:renewal", kwargs={"pk": self.pk})

    @property
    def due_at(self) -> datetime:
        """The first instant of the new year in its calendar (R66)."""
        return self.into.begins_at

    @property
    def is_in_force(self) -> bool:
        return self.status in IN_FORCE

    @property
    def is_unfinished(self) -> bool:
        return self.status in UNFINISHED

    @property
    def is_rehearsed(self) -> bool:
        return self.status == RenewalPlanStatus.REHEARSED

    @property
    def is_proposed(self) -> bool:
        return self.status == RenewalPlanStatus.PROPOSED

    @property
    def is_approved(self) -> bool:
        return self.status == RenewalPlanStatus.APPROVED

    @property
    def is_running(self) -> bool:
        return self.status == RenewalPlanStatus.RUNNING

    @property
    def is_paused(self) -> bool:
        return self.status == RenewalPlanStatus.PAUSED

    @property
    def is_finished(self) -> bool:
        return self.status == RenewalPlanStatus.FINISHED

    @property
    def is_undoing(self) -> bool:
        return self.status == RenewalPlanStatus.UNDOING

    @property
    def is_undone(self) -> bool:
        return self.status == RenewalPlanStatus.UNDONE

    @property
    def can_be_undone(self) -> bool:
        """Whether it wrote something and writes nothing any more."""
        return self.is_finished or self.is_paused


class RenewalRangeQuerySet(models.QuerySet):
    def unrehearsed(self) -> Self:
        """Whose rows are not written down yet."""
        return self.filter(rehearsed_at=None)

    def waiting(self) -> Self:
        """Not run yet."""
        return self.filter(done_at=None)

    def to_undo(self) -> Self:
        """Run, and not undone yet."""
        return self.filter(done_at__isnull=False, undone_at=None)


class RenewalRange(models.Model):
    """Whole companies, by key, that the run takes in one transaction.

    Whole companies, because a company's rows change one after the other: two workers
    never wait for each other's companies.
    """

    plan = models.ForeignKey(
        RenewalPlan,
        models.CASCADE,
        related_name="ranges",
        verbose_name=_("year-end plan"),
    )
    number = models.PositiveIntegerField(_("number"))
    first_company = models.BigIntegerField(_("first company"))
    last_company = models.BigIntegerField(_("last company"))
    rows_count = models.PositiveIntegerField(_("enrollments"), default=0)
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    rehearsed_at = models.DateTimeField(_("rehearsed at"), null=True, blank=True)
    outcomes = models.JSONField(_("outcomes"), default=dict, blank=True)
    reasons = models.JSONField(_("reasons"), default=dict, blank=True)
    changes = models.JSONField(_("changes"), default=dict, blank=True)
    done_at = models.DateTimeField(_("done at"), null=True, blank=True)
    renewed = models.PositiveIntegerField(_("continued"), default=0)
    ended = models.PositiveIntegerField(_("ended"), default=0)
    set_aside = models.PositiveIntegerField(_("set aside"), default=0)
    undone_at = models.DateTimeField(_("undone at"), null=True, blank=True)
    undone = models.PositiveIntegerField(_("enrollments put back"), default=0)
    kept = models.PositiveIntegerField(_("enrollments kept"), default=0)

    objects = RenewalRangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("range of a year-end plan")
        verbose_name_plural = _("ranges of year-end plans")
        ordering = ("plan", "number")
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "number"], name="%(app_label)s_%(class)s_numbered_once"
            ),
            models.CheckConstraint(
                condition=Q(last_company__gte=F("first_company")),
                name="%(app_label)s_%(class)s_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} {self.number}"


class RenewalRowQuerySet(ScopedQuerySet):
    scope = Scope(
        account="enrollment__location__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.ENROLLMENT_SEE_PROGRESS


class RenewalRow(models.Model):
    """What a plan says of one enrollment; written once, by the rehearsal.

    `status` is what the enrollment was then; `was` its outcome in the rehearsal before
    if that was another one, or NEWCOMER.
    """

    range = models.ForeignKey(
        RenewalRange, models.CASCADE, related_name="rows", verbose_name=_("range")
    )
    enrollment = models.ForeignKey(
        Enrollment,
        models.DO_NOTHING,
        related_name="renewal_rows",
        verbose_name=_("enrollment"),
        db_constraint=False,
        db_index=False,
    )
    outcome = models.CharField(_("outcome"), max_length=20, choices=Outcome)
    reasons = ArrayField(
        models.CharField(max_length=40), verbose_name=_("reasons"), default=list
    )
    status = models.CharField(
        _("status"),
        max_length=20,
        choices=EnrollmentStatus,
        blank=True,
        db_default="",
    )
    was = models.CharField(
        _("outcome before"),
        max_length=20,
        choices=[*Outcome.choices, (NEWCOMER, _("was not there"))],
        blank=True,
        db_default="",
    )

    objects = RenewalRowQuerySet.as_manager()

    class Meta:
        verbose_name = _("row of a year-end plan")
        verbose_name_plural = _("rows of year-end plans")
        ordering = ("range", "enrollment")
        constraints = [
            models.UniqueConstraint(
                fields=["range", "enrollment"], name="%(app_label)s_%(class)s_once"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=Outcome.values),
                name="%(app_label)s_%(class)s_outcome_is_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["", *EnrollmentStatus.values])
                & Q(was__in=["", NEWCOMER, *Outcome.values]),
                name="%(app_label)s_%(class)s_past_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.enrollment_id}: {self.outcome}"


class SetAsideQuerySet(ScopedQuerySet):
    scope = Scope(
        account="enrollment__location__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.ENROLLMENT_SEE_PROGRESS

    def undecided(self) -> Self:
        return self.filter(decided_at=None)


class SetAside(models.Model):
    """An enrollment whose outcome changed between approval and run, left for a person.

    `planned` is "" when the plan does not know the enrollment, `found` is "" when the
    run did not find it ending any more or found its place in the new year taken.
    """

    plan = models.ForeignKey(
        RenewalPlan,
        models.PROTECT,
        related_name="set_aside",
        verbose_name=_("year-end plan"),
    )
    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="set_aside",
        verbose_name=_("enrollment"),
    )
    planned = models.CharField(_("planned"), max_length=20, choices=Outcome, blank=True)
    found = models.CharField(_("found"), max_length=20, choices=Outcome, blank=True)
    reasons = ArrayField(
        models.CharField(max_length=40), verbose_name=_("reasons"), default=list
    )
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="set_aside_decided",
        verbose_name=_("decided by"),
    )
    is_applied = models.BooleanField(_("applied as found"), default=False)
    reason = models.CharField(_("reason"), max_length=400, blank=True, db_default="")

    objects = SetAsideQuerySet.as_manager()

    class Meta:
        verbose_name = _("enrollment set aside at year end")
        verbose_name_plural = _("enrollments set aside at year end")
        ordering = ("plan", "enrollment")
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "enrollment"], name="%(app_label)s_%(class)s_once"
            ),
            models.CheckConstraint(
                condition=Q(planned__in=["", *Outcome.values])
                & Q(found__in=["", *Outcome.values]),
                name="%(app_label)s_%(class)s_outcomes_are_known",
            ),
            models.CheckConstraint(
                condition=Q(decided_at=None, decided_by=None, is_applied=False)
                | Q(decided_at__isnull=False, decided_by__isnull=False),
                name="%(app_label)s_%(class)s_decision_is_paired",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.enrollment_id}: {self.planned} / {self.found}"


class YearEndNotice(models.Model):
    """One time that people are told of the year end: who was told, as far as it went.

    Either of what a year to come puts at risk, so many days before its first day, or
    of what became of everything in a run, or that the run was undone. People are taken in the order of their keys;
    `last_person` moves in the transaction that queues their mails. Notices are cut
    into parts, which any number of workers share.
    """

    plan = models.ForeignKey(
        RenewalPlan,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="notices",
        verbose_name=_("year-end plan"),
    )
    first_day = models.DateField(_("first day of the year"), null=True, blank=True)
    days_before = models.PositiveSmallIntegerField(
        _("days before"), null=True, blank=True
    )
    tells_of_undoing = models.BooleanField(_("tells of the undoing"), default=False)
    part = models.PositiveSmallIntegerField(_("part"))
    last_person = models.BigIntegerField(_("last person told"), default=0)
    mails = models.PositiveIntegerField(_("mails"), default=0)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("year-end notice")
        verbose_name_plural = _("year-end notices")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "tells_of_undoing", "part"],
                name="%(app_label)s_%(class)s_once_per_run",
            ),
            models.UniqueConstraint(
                fields=["first_day", "days_before", "part"],
                name="%(app_label)s_%(class)s_once_per_step",
            ),
            models.CheckConstraint(
                condition=Q(
                    plan=None, first_day__isnull=False, days_before__isnull=False
                )
                | Q(plan__isnull=False, first_day=None, days_before=None),
                name="%(app_label)s_%(class)s_is_of_a_run_or_a_step",
            ),
        ]

    def __str__(self) -> str:
        return f"notice {self.pk}"
