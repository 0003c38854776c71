"""Files of measured values: what came in, what each line says, what it would change."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Greatest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Location
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import Enrollment
from enrollment.models.requirements import Criterion
from enrollment.models.terms import ProgramTerms
from enrollment.states import OPEN, EnrollmentStatus
from enrollment.value_files import (
    DELIMITERS,
    FIELDS,
    LINE_PROBLEMS,
    LONGEST_TOLD,
)


class ImportStatus(models.TextChoices):
    """Where a file stands, from the upload until it is applied."""

    UPLOADED = "uploaded", _("Waiting for its columns")
    READING = "reading", _("Being read")
    READY = "ready", _("Ready to apply")
    HELD = "held", _("Held")
    APPLYING = "applying", _("Being applied")
    APPLIED = "applied", pgettext_lazy("import", "Applied")
    UNDONE = "undone", _("Undone")
    CANCELED = "canceled", _("Canceled")
    REFUSED = "refused", _("Could not be read")


# What nobody can go on with: the same file may come again.
OVER = ("undone", "canceled", "refused")
WAITING = ("uploaded", "reading", "ready", "held", "applying")
# What workers do, now or on its day.
AT_WORK = ("reading", "applying")
# What waits for somebody, and not for a worker or a day.
WAITING_FOR_PEOPLE = ("uploaded", "ready", "held")
# After so many starts in a row that came to nothing a file waits for somebody.
MOST_STARTS = 3
# The moments at which somebody, or a worker, went on with a file.
STEPS = (
    "imported_at",
    "reading_since",
    "compared_at",
    "released_at",
    "applied_at",
    "undone_at",
)


_SET_ASIDE = Q(status__in=AT_WORK, starts__gte=MOST_STARTS)


class ValueImportQuerySet(models.QuerySet):
    def reading(self) -> Self:
        """Whose lines are being read, by whichever worker comes next."""
        return self.filter(status=ImportStatus.READING)

    def applying(self) -> Self:
        """Let through, and not carried out yet."""
        return self.filter(status=ImportStatus.APPLYING)

    def applied_after(self, value_import: "ValueImport") -> Self:
        """Applied after another one and not undone, the first of them first."""
        later = Q(applied_at=value_import.applied_at, pk__gt=value_import.pk) | Q(
            applied_at__gt=value_import.applied_at
        )
        return self.filter(later, status=ImportStatus.APPLIED).order_by(
            "applied_at", "pk"
        )

    def to_start(self) -> Self:
        """What a worker goes on with: it did not fail three times in a row."""
        return self.filter(starts__lt=MOST_STARTS)

    def being_canceled(self) -> Self:
        """Given up while a worker was at it."""
        return self.filter(cancellation__isnull=False)

    def in_force(self) -> Self:
        """On the way or applied: the same file is nothing new beside them."""
        return self.exclude(status__in=OVER)

    def waiting_for_people(self) -> Self:
        """Which go on only when an operator does something."""
        return self.filter(_SET_ASIDE | Q(status__in=WAITING_FOR_PEOPLE))

    def left_since(self, moment: datetime) -> Self:
        """Neither people nor workers went on with it since, and it has lines still."""
        lines = [
            Exists(related.objects.filter(value_import=OuterRef("pk")))
            for related in (ImportBlock, ImportProblem, ImportEffect, StagedValue)
        ]
        return (
            self.exclude(~_SET_ASIDE, status__in=AT_WORK)
            .alias(last_step=Greatest(*STEPS))
            .filter(
                Q(*lines, _connector=Q.OR) | Q(status__in=WAITING_FOR_PEOPLE),
                last_step__lt=moment,
            )
        )


class ValueImport(models.Model):
    """One file of measured values: what it is, how far it came, who let it through.

    `read_to` and `read_line` are how far it was read; a worker that was killed left
    them where the last whole batch ended. `difference` are the counts of what applying
    would change.
    """

    file_hash = models.CharField(_("hash of the file"), max_length=64)
    file_name = models.CharField(_("name of the file"), max_length=200, blank=True)
    file_size = models.BigIntegerField(_("bytes"), default=0)
    delimiter = models.CharField(
        _("between columns"),
        max_length=1,
        choices=list(DELIMITERS.items()),
        default=",",
    )
    columns = models.JSONField(_("columns"), default=dict, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=ImportStatus, default=ImportStatus.APPLIED
    )
    # A code of FILE_PROBLEMS and its parameters, where the file could not be read.
    problem = models.JSONField(_("problem"), default=dict, blank=True)
    reading_since = models.DateTimeField(_("read since"), null=True, blank=True)
    # How often imports had been written or undone when its reading began.
    writings_known = models.PositiveIntegerField(null=True, editable=False)
    read_to = models.BigIntegerField(_("bytes read"), default=0)
    read_line = models.PositiveIntegerField(_("lines read"), default=0)
    # How often in a row a worker started a step that came to nothing.
    starts = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    accepted = models.PositiveIntegerField(_("lines accepted"))
    changed = models.PositiveIntegerField(_("values new or changed"))
    rejected = models.PositiveIntegerField(_("lines rejected"))
    difference = models.JSONField(_("difference"), default=dict, blank=True)
    # Of which day, and of what the database held, the difference was worked out.
    weighed = models.JSONField(default=dict, blank=True, editable=False)
    imported_at = models.DateTimeField(_("imported at"), auto_now_add=True)
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="value_imports",
        verbose_name=_("imported by"),
    )
    compared_at = models.DateTimeField(_("compared at"), null=True, blank=True)
    effective_on = models.DateField(_("effective on"), null=True, blank=True)
    released_at = models.DateTimeField(_("let through at"), null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="value_imports_released",
        verbose_name=_("let through by"),
    )
    release_reason = models.CharField(
        _("why it was let through"), max_length=400, blank=True
    )
    apply_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="value_imports_applied",
        verbose_name=_("applied by"),
    )
    applied_at = models.DateTimeField(_("applied at"), null=True, blank=True)
    # What has a later key was written by somebody who may have seen the values.
    last_event = models.BigIntegerField(
        _("newest event of an enrollment when applied"), null=True, blank=True
    )
    undone_at = models.DateTimeField(_("undone at"), null=True, blank=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="value_imports_undone",
        verbose_name=_("undone by"),
    )

    objects = ValueImportQuerySet.as_manager()

    class Meta:
        verbose_name = _("import of measured values")
        verbose_name_plural = _("imports of measured values")
        ordering = ("-imported_at", "-pk")
        permissions = [
            ("import_values", "Can import measured values"),
            ("release_values", "Can let a held import through"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=ImportStatus.values),
                name="%(app_label)s_%(class)s_status_is_known",
            ),
            # The same file twice is nothing new.
            models.UniqueConstraint(
                fields=["file_hash"],
                condition=Q(
                    status__in=["uploaded", "reading", "ready", "held", "applying"]
                ),
                name="%(app_label)s_%(class)s_file_once",
            ),
            # Four eyes for what is held.
            models.CheckConstraint(
                condition=Q(released_by=None, released_at=None, release_reason="")
                | Q(
                    released_by__isnull=False,
                    released_at__isnull=False,
                    release_reason__gt="",
                )
                & (Q(imported_by=None) | ~Q(released_by=models.F("imported_by"))),
                name="%(app_label)s_%(class)s_released_by_somebody_else",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("ops:value_import", kwargs={"pk": self.pk})

    @property
    def is_uploaded(self) -> bool:
        return self.status == ImportStatus.UPLOADED

    @property
    def is_reading(self) -> bool:
        return self.status == ImportStatus.READING

    @property
    def is_ready(self) -> bool:
        return self.status == ImportStatus.READY

    @property
    def is_held(self) -> bool:
        return self.status == ImportStatus.HELD

    @property
    def is_applying(self) -> bool:
        return self.status == ImportStatus.APPLYING

    @property
    def is_applied(self) -> bool:
        return self.status == ImportStatus.APPLIED

    @property
    def is_undone(self) -> bool:
        return self.status == ImportStatus.UNDONE

    @property
    def is_refused(self) -> bool:
        return self.status == ImportStatus.REFUSED

    @property
    def can_be_canceled(self) -> bool:
        return self.status in WAITING

    @property
    def is_canceled(self) -> bool:
        return self.status == ImportStatus.CANCELED

    @property
    def is_being_canceled(self) -> bool:
        """Whether somebody gave it up while a worker was at it."""
        return self.can_be_canceled and hasattr(self, "cancellation")

    @property
    def is_set_aside(self) -> bool:
        """Whether three starts in a row failed, so that no worker goes on with it."""
        return self.status in AT_WORK and self.starts >= MOST_STARTS

    @property
    def waits_for_people(self) -> bool:
        return self.status in WAITING_FOR_PEOPLE or self.is_set_aside

    @property
    def last_step_at(self) -> datetime:
        """When somebody, or a worker, last went on with it."""
        return max(filter(None, (getattr(self, name) for name in STEPS)))


class ImportCancellation(models.Model):
    """That a file is given up which a worker is at; the worker holds the file's own row.

    Without a constraint of the database: it would wait for that row.
    """

    value_import = models.OneToOneField(
        ValueImport,
        models.CASCADE,
        primary_key=True,
        related_name="cancellation",
        verbose_name=_("import"),
        db_constraint=False,
    )
    asked_at = models.DateTimeField(_("asked at"), auto_now_add=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("asked by"),
    )

    class Meta:
        verbose_name = _("canceling of an import")
        verbose_name_plural = _("cancelings of imports")

    def __str__(self) -> str:
        return f"canceling of {self.value_import_id}"


class ImportBlock(models.Model):
    """A piece of a file that is being imported, packed; gone once it is not needed."""

    value_import = models.ForeignKey(
        ValueImport,
        models.CASCADE,
        related_name="blocks",
        verbose_name=_("import"),
        db_index=False,
    )
    number = models.PositiveIntegerField(_("number"))
    packed = models.BinaryField(_("content"))

    class Meta:
        verbose_name = _("block of an import")
        verbose_name_plural = _("blocks of imports")
        ordering = ("value_import", "number")
        constraints = [
            models.UniqueConstraint(
                fields=["value_import", "number"],
                name="%(app_label)s_%(class)s_numbered_once",
            )
        ]

    def __str__(self) -> str:
        return f"block {self.number} of {self.value_import_id}"


class ImportProblem(models.Model):
    """A line that was rejected: which, at which field, and why."""

    value_import = models.ForeignKey(
        ValueImport,
        models.CASCADE,
        related_name="problems",
        verbose_name=_("import"),
        db_index=False,
    )
    line = models.PositiveIntegerField(_("line"))
    code = models.CharField(
        _("reason"),
        max_length=20,
        choices=[(code, one.sentence) for code, one in LINE_PROBLEMS.items()],
    )
    field = models.CharField(
        _("field"), max_length=20, choices=list(FIELDS.items()), blank=True
    )
    cell = models.CharField(_("what stands there"), max_length=LONGEST_TOLD, blank=True)

    class Meta:
        verbose_name = _("rejected line")
        verbose_name_plural = _("rejected lines")
        ordering = ("value_import", "line")
        constraints = [
            models.UniqueConstraint(
                fields=["value_import", "line"], name="%(app_label)s_%(class)s_once"
            )
        ]

    def __str__(self) -> str:
        return f"line {self.line} of {self.value_import_id}"


class LineOutcome(models.TextChoices):
    """What an accepted line would do to what is known."""

    NEW = "new", _("New")
    CHANGED = "changed", _("Changed")
    SAME = "same", _("As known")
    OLDER = "older", _("Older than what is known")
    REPEATED = "repeated", _("Repeats another line")
    SUPERSEDED = "superseded", _("A later day is in the file")


class StagedQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.REQUIREMENT_VIEW

    def news(self) -> Self:
        """What applying would write."""
        return self.filter(outcome__in=[LineOutcome.NEW, LineOutcome.CHANGED])


class StagedValue(models.Model):
    """An accepted line, with what was known when it was read; written by COPY."""

    pk = models.CompositePrimaryKey("value_import_id", "line")
    value_import = models.ForeignKey(
        ValueImport,
        models.CASCADE,
        related_name="staged",
        verbose_name=_("import"),
        db_index=False,
        db_constraint=False,
    )
    line = models.PositiveIntegerField(_("line"))
    location = models.ForeignKey(
        Location,
        models.DO_NOTHING,
        related_name="+",
        verbose_name=_("location"),
        db_index=False,
        db_constraint=False,
    )
    criterion = models.ForeignKey(
        Criterion,
        models.DO_NOTHING,
        related_name="+",
        verbose_name=_("criterion"),
        db_index=False,
        db_constraint=False,
    )
    value = models.DecimalField(_("value"), max_digits=16, decimal_places=2)
    measured_on = models.DateField(_("measured on"))
    source = models.CharField(_("source"), max_length=80, blank=True)
    old_value = models.DecimalField(
        _("value before"), max_digits=16, decimal_places=2, null=True
    )
    old_measured_on = models.DateField(_("measured on before"), null=True)
    old_source = models.CharField(_("source before"), max_length=80, blank=True)
    outcome = models.CharField(_("outcome"), max_length=10, choices=LineOutcome)

    objects = StagedQuerySet.as_manager()

    class Meta:
        verbose_name = _("line of an import")
        verbose_name_plural = _("lines of imports")
        ordering = ("value_import", "line")

    def __str__(self) -> str:
        return f"line {self.line}"


# Of all requirements of a program at a location, as CheckState says of each.
STANDINGS = [
    ("met", _("Eligible")),
    ("unknown", _("Not known")),
    ("unmet", _("Not eligible")),
]


class ImportEffectQuerySet(ScopedQuerySet):
    scope = Scope(
        account="location__partner_account",
        location="location",
        program="terms__program",
    )
    view_permission = Permission.REQUIREMENT_VIEW

    def losing(self) -> Self:
        """What becomes not eligible and had something of it, so that an import ends it.

        It was eligible, or its enrollment is open, or was when the import moved it.
        """
        return self.filter(self._has_something(), becomes="unmet")

    def found_out(self) -> Self:
        """What is known not to be eligible now, and had nothing to lose."""
        return self.filter(~self._has_something(), becomes="unmet")

    def _has_something(self) -> Q:
        enrollments = Enrollment.objects.open().filter(
            location=OuterRef("location"), terms=OuterRef("terms")
        )
        return Q(was="met") | Q(was_status__in=OPEN) | Q(Exists(enrollments))


class ImportEffect(models.Model):
    """A program's year at a location that an import makes eligible, or not so.

    `was_status` is where the enrollment was that the import moved, if it moved one.
    """

    value_import = models.ForeignKey(
        ValueImport,
        models.CASCADE,
        related_name="effects",
        verbose_name=_("import"),
        db_index=False,
        db_constraint=False,
    )
    location = models.ForeignKey(
        Location,
        models.DO_NOTHING,
        related_name="+",
        verbose_name=_("location"),
        db_index=False,
        db_constraint=False,
    )
    terms = models.ForeignKey(
        ProgramTerms,
        models.DO_NOTHING,
        related_name="+",
        verbose_name=_("program terms"),
        db_index=False,
        db_constraint=False,
    )
    was = models.CharField(_("before"), max_length=10, choices=STANDINGS)
    becomes = models.CharField(_("after"), max_length=10, choices=STANDINGS)
    enrollment = models.ForeignKey(
        Enrollment,
        models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("enrollment"),
        db_index=False,
        db_constraint=False,
    )
    was_status = models.CharField(
        _("enrollment before"), max_length=20, choices=EnrollmentStatus, blank=True
    )

    objects = ImportEffectQuerySet.as_manager()

    class Meta:
        verbose_name = _("effect of an import")
        verbose_name_plural = _("effects of imports")
        ordering = ("value_import", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["value_import", "location", "terms"],
                name="%(app_label)s_%(class)s_once",
            )
        ]

    def __str__(self) -> str:
        return f"effect {self.pk}"
