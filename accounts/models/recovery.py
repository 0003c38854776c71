"""Recovery: somebody asks the program owner for an admin when nobody can give roles."""

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.assignments import RoleAssignment
from accounts.models.companies import PartnerAccount
from accounts.models.people import Membership, User
from accounts.roles import Permission, Role
from accounts.scoping import Scope, ScopedQuerySet

# How long the company's people can object before anybody is appointed (as T1).
TIME_TO_OBJECT = timedelta(days=3)


class RecoveryState(models.TextChoices):
    """How far a request for recovery has come."""

    WAITING = "waiting", _("Waiting for evidence")
    REVIEWED = "reviewed", _("Evidence checked")
    GRANTED = "granted", _("Appointed")
    DECLINED = "declined", _("Declined")
    # A Global admin of the company said that it is not needed.
    STOPPED = "stopped", _("Stopped by an admin")
    LAPSED = "lapsed", _("No longer needed")


OPEN_STATES = (RecoveryState.WAITING, RecoveryState.REVIEWED)


class RecoveryRequestQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.ROLE_ASSIGN

    def open(self) -> Self:
        """Requests that can be decided: not answered, not overtaken."""
        return self.filter(self._is_needed(), state__in=OPEN_STATES)

    def overtaken(self) -> Self:
        """Requests nobody answered and nobody needs: the clock closes them."""
        return self.filter(~self._is_needed(), state__in=OPEN_STATES)

    def _is_needed(self) -> Q:
        """The person is of the company still and not its Global admin."""
        of_them = {
            "user": OuterRef("user"),
            "partner_account": OuterRef("partner_account"),
        }
        members = Membership.objects.current().filter(**of_them)
        admins = (
            RoleAssignment.objects.live()
            .filter(role=Role.GLOBAL_ADMIN, **of_them)
            .order_by()
        )
        return Q(Exists(members)) & ~Q(Exists(admins))


class RecoveryRequest(models.Model):
    """One person asks to become Global admin of a company that has nobody to ask.

    One operator checks the evidence, another appoints, and not before the company's
    people had time to object; the database holds to all three.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="recovery_requests",
        verbose_name=_("company"),
    )
    user = models.ForeignKey(
        User, models.PROTECT, related_name="recovery_requests", verbose_name=_("person")
    )
    reason = models.CharField(_("reason"), max_length=500)
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=RecoveryState,
        default=RecoveryState.WAITING,
    )
    asked_at = models.DateTimeField(_("asked at"), default=timezone.now)
    reviewed_at = models.DateTimeField(_("checked at"), null=True, blank=True)
    reviewed_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("checked by"),
    )
    # Which documents and records were seen, in words; never the documents.
    evidence = models.CharField(_("evidence"), max_length=500, blank=True)
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    answered_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("answered by"),
    )
    answer = models.CharField(_("answer"), max_length=500, blank=True)

    objects = RecoveryRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request for recovery")
        verbose_name_plural = _("requests for recovery")
        ordering = ("asked_at", "pk")
        permissions = (("decide_recovery", "Can check and decide recovery requests"),)
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state=RecoveryState.WAITING, reviewed_by=None, answered_at=None
                )
                | Q(
                    state=RecoveryState.REVIEWED,
                    reviewed_by__isnull=False,
                    answered_at=None,
                )
                | Q(
                    state=RecoveryState.GRANTED,
                    reviewed_by__isnull=False,
                    answered_by__isnull=False,
                    answered_at__isnull=False,
                )
                | Q(
                    state__in=[RecoveryState.DECLINED, RecoveryState.STOPPED],
                    answered_by__isnull=False,
                    answered_at__isnull=False,
                )
                | Q(
                    state=RecoveryState.LAPSED,
                    answered_by=None,
                    answered_at__isnull=False,
                ),
                name="%(app_label)s_%(class)s_answered_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(reviewed_by=None) | ~Q(evidence=""),
                name="%(app_label)s_%(class)s_checked_with_evidence",
            ),
            models.CheckConstraint(
                condition=~Q(state=RecoveryState.DECLINED) | ~Q(answer=""),
                name="%(app_label)s_%(class)s_declined_with_a_reason",
            ),
            models.CheckConstraint(
                condition=~Q(state=RecoveryState.GRANTED)
                | ~Q(answered_by=F("reviewed_by")),
                name="%(app_label)s_%(class)s_two_operators",
            ),
            models.CheckConstraint(
                condition=~Q(state=RecoveryState.GRANTED)
                | Q(answered_at__gte=F("asked_at") + TIME_TO_OBJECT),
                name="%(app_label)s_%(class)s_time_to_object",
            ),
            models.UniqueConstraint(
                fields=["partner_account"],
                condition=Q(state__in=OPEN_STATES),
                name="%(app_label)s_%(class)s_one_open_per_company",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner_account_id} ({self.pk})"

    @property
    def decided_from(self) -> datetime:
        """From when on somebody may be appointed."""
        return self.asked_at + TIME_TO_OBJECT

    @property
    def record(self) -> str:
        """What a TXT record of the company's domain says to prove who it belongs to."""
        return f"partner-recovery={self.pk.hex[:20]}"
