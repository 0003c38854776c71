"""Access somebody asked for, and recovery when nobody is left who could give it."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.assignments import RoleAssignment, scope_words
from accounts.models.companies import IncentiveProgram, Location, PartnerAccount
from accounts.models.people import Membership, User
from accounts.roles import (
    COMPANY_WIDE_ROLES,
    REQUESTABLE_ROLES,
    Permission,
    Role,
    roles_covering,
)
from accounts.scoping import Scope, ScopedQuerySet


class RequestState(models.TextChoices):
    """What came of a request; only a waiting one can be answered."""

    WAITING = "waiting", _("Waiting")
    GRANTED = "granted", _("Given")
    DECLINED = "declined", _("Declined")
    # The person left or got the role otherwise.
    LAPSED = "lapsed", _("No longer needed")


class AccessRequestQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.ROLE_ASSIGN

    def waiting(self) -> Self:
        """Requests that can be answered: not answered, not overtaken."""
        return self.filter(self._is_needed(), state=RequestState.WAITING)

    def overtaken(self) -> Self:
        """Requests nobody answered and nobody needs: the clock closes them."""
        return self.filter(~self._is_needed(), state=RequestState.WAITING)

    def _is_needed(self) -> Q:
        """The person is of the company still and does not hold what was asked for."""
        members = Membership.objects.current().filter(
            user=OuterRef("user"), partner_account=OuterRef("partner_account")
        )
        places = (
            RoleAssignment.objects.live()
            .covering(OuterRef("location"), OuterRef("program"))
            .filter(user=OuterRef("user"), partner_account=OuterRef("partner_account"))
            .order_by()
        )
        is_held = Q()
        for role in REQUESTABLE_ROLES:
            held = places.filter(role__in=roles_covering(role))
            is_held |= Q(role=role) & Q(Exists(held))
        return Q(Exists(members)) & ~is_held & Q(location__closed_at=None)


class AccessRequest(models.Model):
    """One person asks for one role in one scope; an admin gives or declines it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        User, models.PROTECT, related_name="access_requests", verbose_name=_("person")
    )
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="access_requests",
        verbose_name=_("company"),
    )
    role = models.CharField(_("role"), max_length=20, choices=Role)
    # The composite key (location, company) of the migration checks this one.
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="access_requests",
        verbose_name=_("location"),
    )
    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="access_requests",
        verbose_name=_("program"),
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    state = models.CharField(
        _("state"), max_length=10, choices=RequestState, default=RequestState.WAITING
    )
    asked_at = models.DateTimeField(_("asked at"), default=timezone.now)
    # A colleague who hands something over and asks for them; mostly they ask themselves.
    asked_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="access_requests_for_others",
        verbose_name=_("asked by"),
    )
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    answered_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="access_requests_answered",
        verbose_name=_("answered by"),
    )
    answer = models.CharField(_("answer"), max_length=500, blank=True)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request for access")
        verbose_name_plural = _("requests for access")
        ordering = ("asked_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in REQUESTABLE_ROLES]),
                name="%(app_label)s_%(class)s_role_can_be_asked_for",
            ),
            models.CheckConstraint(
                condition=Q(program=None) | Q(location__isnull=False),
                name="%(app_label)s_%(class)s_program_needs_location",
            ),
            models.CheckConstraint(
                condition=Q(location=None)
                | ~Q(role__in=[role.value for role in sorted(COMPANY_WIDE_ROLES)]),
                name="%(app_label)s_%(class)s_company_roles_are_company_wide",
            ),
            models.CheckConstraint(
                condition=Q(
                    state=RequestState.WAITING, answered_at=None, answered_by=None
                )
                | Q(
                    state=RequestState.LAPSED,
                    answered_at__isnull=False,
                    answered_by=None,
                )
                | Q(
                    state__in=[RequestState.GRANTED, RequestState.DECLINED],
                    answered_at__isnull=False,
                    answered_by__isnull=False,
                ),
                name="%(app_label)s_%(class)s_answered_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(asked_by=None) | ~Q(asked_by=F("user")),
                name="%(app_label)s_%(class)s_asked_by_is_somebody_else",
            ),
            models.CheckConstraint(
                condition=~Q(state=RequestState.DECLINED) | ~Q(answer=""),
                name="%(app_label)s_%(class)s_declined_with_a_reason",
            ),
            models.UniqueConstraint(
                fields=["user", "partner_account", "role", "location", "program"],
                condition=Q(state=RequestState.WAITING),
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_one_waiting_per_scope",
            ),
        ]
        indexes = [
            models.Index(
                fields=["partner_account"],
                condition=Q(state=RequestState.WAITING),
                name="accounts_waiting_request",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} ({self.pk})"

    @property
    def where(self) -> str:
        """Where the role would hold, in words."""
        return scope_words(self.location, self.program)
