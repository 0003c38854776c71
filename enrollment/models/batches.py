"""Many enrollments that one person submits together, and what became of each."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import Enrollment


class BatchOutcome(models.TextChoices):
    """What is to be done with a row, or became of it."""

    LISTED = "listed", _("Not sent")
    TO_SUBMIT = "to_submit", _("Waits")
    TO_ACCEPT = "to_accept", _("Waits")
    SUBMITTED = "submitted", _("Submitted")
    ACCEPTED = "accepted", _("Accepted, something is missing")
    REFUSED = "refused", _("Not submitted")


TO_DO = (BatchOutcome.TO_SUBMIT, BatchOutcome.TO_ACCEPT)


class EnrollmentBatchQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.ENROLLMENT_EDIT

    def where_user_may(self, user, permission: Permission) -> Self:
        """A selection is its maker's alone, while they still may enroll."""
        return super().where_user_may(user, permission).filter(by=user.pk)

    def to_run(self) -> Self:
        """Sent, and not whole yet: rows wait, or people to be told."""
        return self.filter(sent_at__isnull=False, finished_at=None)


class EnrollmentBatch(models.Model):
    """Rows that one person ticked; `sent_at` is when they chose Submit, once.

    Whoever works on it takes the company's lock, does the next rows in one transaction
    and writes down what became of each. `told_to` is the last person, by key, whose
    mail is queued; with the last one it is finished.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="enrollment_batches",
        verbose_name=_("company"),
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="enrollment_batches",
        verbose_name=_("by"),
    )
    created_at = models.DateTimeField(_("created at"))
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    told_to = models.BigIntegerField(_("last person told"), default=0)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    objects = EnrollmentBatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("enrollments submitted together")
        verbose_name_plural = _("enrollments submitted together")
        ordering = ("created_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(sent_at__isnull=False),
                name="%(app_label)s_%(class)s_finished_was_sent",
            ),
        ]
        indexes = [
            models.Index(
                fields=["sent_at"],
                condition=Q(sent_at__isnull=False, finished_at=None),
                name="enrollment_batch_to_run",
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("enrollment:batch", kwargs={"pk": self.pk})

    @property
    def is_sent(self) -> bool:
        return self.sent_at is not None

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


class BatchRowQuerySet(ScopedQuerySet):
    scope = Scope(
        account="batch__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.ENROLLMENT_EDIT

    def to_do(self) -> Self:
        return self.filter(outcome__in=TO_DO)


class BatchRow(models.Model):
    """One enrollment among many; `seen` notes what its maker had before them.

    `agreement` is the version of the agreement to accept, or "" where it is accepted
    already; `why` says why it was refused, in the maker's language.
    """

    batch = models.ForeignKey(
        EnrollmentBatch, models.CASCADE, related_name="rows", verbose_name=_("batch")
    )
    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="batch_rows",
        verbose_name=_("enrollment"),
    )
    outcome = models.CharField(
        _("outcome"),
        max_length=10,
        choices=BatchOutcome,
        default=BatchOutcome.LISTED,
    )
    seen = models.TextField(_("what was shown"), blank=True)
    agreement = models.CharField(_("agreement"), max_length=20, blank=True)
    why = models.TextField(_("why it was refused"), blank=True)

    objects = BatchRowQuerySet.as_manager()

    class Meta:
        verbose_name = _("enrollment submitted with others")
        verbose_name_plural = _("enrollments submitted with others")
        ordering = ("batch", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "enrollment"], name="%(app_label)s_%(class)s_once"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=BatchOutcome.values),
                name="%(app_label)s_%(class)s_outcome_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(outcome=BatchOutcome.REFUSED) | ~Q(why=""),
                name="%(app_label)s_%(class)s_refusal_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"row {self.pk}"
