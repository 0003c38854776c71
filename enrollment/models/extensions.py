"""What a partner asks who needs more time to enroll, and the answer."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import Enrollment


class ExtensionRequestQuerySet(ScopedQuerySet):
    scope = Scope(
        account="enrollment__location__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.ENROLLMENT_EDIT

    def open(self) -> Self:
        """Waiting for the program owner's answer."""
        return self.filter(answered_at=None)


class ExtensionRequest(models.Model):
    """A wish for a later last day to enroll one location (experience.md §4.5).

    `enroll_by` is the last day it was asked about; `until` the one that was granted,
    empty when it stays.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="extension_requests",
        verbose_name=_("enrollment"),
    )
    enroll_by = models.DateField(_("last day when asked"))
    text = models.CharField(_("why"), max_length=1000)
    asked_at = models.DateTimeField(_("asked at"))
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="extensions_asked",
        verbose_name=_("asked by"),
    )
    until = models.DateField(_("extended until"), null=True, blank=True)
    answer = models.CharField(_("answer"), max_length=1000, blank=True)
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="extensions_answered",
        verbose_name=_("answered by"),
    )

    objects = ExtensionRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request for more time")
        verbose_name_plural = _("requests for more time")
        ordering = ("asked_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["enrollment"],
                condition=Q(answered_at=None),
                name="%(app_label)s_%(class)s_one_waits",
            ),
            models.CheckConstraint(
                condition=Q(answered_at=None, answered_by=None, answer="", until=None)
                | Q(
                    answered_at__isnull=False, answered_by__isnull=False, answer__gt=""
                ),
                name="%(app_label)s_%(class)s_answer_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"request {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.answered_at is None
