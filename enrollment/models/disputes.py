"""What a partner says is wrong of what is known of a requirement, and the answer."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Location
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.requirements import Requirement
from enrollment.models.terms import ProgramTerms


class DisputeOutcome(models.TextChoices):
    """What became of what a partner disputed."""

    CORRECTED = "corrected", _("Corrected")
    KEPT = "kept", _("It stays as it is")


class RequirementDisputeQuerySet(ScopedQuerySet):
    scope = Scope(
        account="location__partner_account",
        location="location",
        program="terms__program",
    )
    view_permission = Permission.REQUIREMENT_VIEW

    def open(self) -> Self:
        """Waiting for the program owner's answer."""
        return self.filter(answered_at=None)


class RequirementDispute(models.Model):
    """A request to look again at one requirement at one location (experience.md P7).

    A row without `requirement` is about the partner agreement. `needed`, `yours` and
    `known_on` are what the partner saw.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="disputes",
        verbose_name=_("location"),
    )
    terms = models.ForeignKey(
        ProgramTerms,
        models.PROTECT,
        related_name="disputes",
        verbose_name=_("program terms"),
    )
    requirement = models.ForeignKey(
        Requirement,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="disputes",
        verbose_name=_("requirement"),
    )
    needed = models.DecimalField(
        _("needed"), max_digits=16, decimal_places=2, null=True
    )
    yours = models.DecimalField(_("yours"), max_digits=16, decimal_places=2, null=True)
    known_on = models.DateField(_("as of"), null=True)
    text = models.CharField(_("what is wrong"), max_length=1000)
    asked_at = models.DateTimeField(_("asked at"))
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="disputes",
        verbose_name=_("asked by"),
    )
    outcome = models.CharField(
        _("outcome"), max_length=10, choices=DisputeOutcome, blank=True
    )
    answer = models.CharField(_("answer"), max_length=1000, blank=True)
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="disputes_answered",
        verbose_name=_("answered by"),
    )

    objects = RequirementDisputeQuerySet.as_manager()

    class Meta:
        verbose_name = _("disputed requirement")
        verbose_name_plural = _("disputed requirements")
        ordering = ("asked_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["location", "terms", "requirement"],
                condition=Q(answered_at=None),
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_one_waits",
            ),
            models.CheckConstraint(
                condition=Q(answered_at=None, answered_by=None, outcome="", answer="")
                | Q(
                    answered_at__isnull=False,
                    answered_by__isnull=False,
                    outcome__in=DisputeOutcome.values,
                    answer__gt="",
                ),
                name="%(app_label)s_%(class)s_answer_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"dispute {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.answered_at is None

    @property
    def place_id(self) -> str:
        """The key of the program at the location, as its pages are addressed."""
        return f"{self.terms_id}-{self.location_id}"
