"""Colleagues invited by e-mail: to whom, what is offered, and what came of it."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, When
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.assignments import scope_words
from accounts.models.companies import IncentiveProgram, Location, PartnerAccount
from accounts.models.people import Language, User
from accounts.roles import Permission, Role
from accounts.scoping import Scope, ScopedQuerySet


class InvitationState(models.TextChoices):
    """What came of an invitation; only an open one can be accepted."""

    OPEN = "open", _("Not answered yet")
    ACCEPTED = "accepted", _("Accepted")
    REVOKED = "revoked", _("Withdrawn")
    REPLACED = "replaced", _("Replaced by a newer one")
    EXPIRED = "expired", _("Expired")


class ColleagueInvitationQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PERSON_EDIT

    def open_at(self, at: datetime) -> Self:
        """Invitations whose link still works, whether the clock has been by or not."""
        return self.filter(state=InvitationState.OPEN, expires_at__gt=at)

    def open_for_place(self, location: Location) -> Self:
        """Open invitations that offer a role at a location."""
        places = OfferedPlace.objects.filter(
            invitation=OuterRef("pk"), location=location
        )
        return self.filter(Exists(places.order_by()), state=InvitationState.OPEN)

    def open_first(self, at: datetime) -> Self:
        """Open invitations, then the others; each the newest first."""
        is_open = Q(state=InvitationState.OPEN, expires_at__gt=at)
        return self.alias(is_open=Case(When(is_open, then=0), default=1)).order_by(
            "is_open", "-created_at", "pk"
        )

    def overdue(self, at: datetime) -> Self:
        """Invitations whose time is over and that nobody has closed yet."""
        return self.filter(state=InvitationState.OPEN, expires_at__lte=at)


class ColleagueInvitation(models.Model):
    """A role offered to an address (security.md §6.4); grants nothing until accepted.

    Without a role it offers to belong to the company, and no more.

    The link's token is in the mail only: here is its fingerprint. It is bound to the
    address, works once and for some days, which no reminder extends.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="colleague_invitations",
        verbose_name=_("company"),
    )
    email = models.EmailField(_("e-mail address"))
    full_name = models.CharField(_("full name"), max_length=120)
    language = models.CharField(
        _("language"), max_length=2, choices=Language, default=Language.ENGLISH
    )
    # Empty: to belong to the company, which gives no role (C1).
    role = models.CharField(_("role"), max_length=20, choices=Role, blank=True)
    ends_on = models.DateField(
        _("last day"), null=True, blank=True, help_text=_("Empty: no end.")
    )
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=InvitationState,
        default=InvitationState.OPEN,
    )
    created_by = models.ForeignKey(
        User,
        models.PROTECT,
        related_name="colleagues_invited",
        verbose_name=_("invited by"),
    )
    created_at = models.DateTimeField(_("invited at"), default=timezone.now)
    expires_at = models.DateTimeField(_("works until"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    # Who accepted or withdrew it; nobody when the clock or a newer one ended it.
    closed_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="colleague_invitations_closed",
        verbose_name=_("closed by"),
    )

    objects = ColleagueInvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation of a colleague")
        verbose_name_plural = _("invitations of colleagues")
        ordering = ("-created_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(email=Lower("email")),
                name="%(app_label)s_%(class)s_email_is_lower_case",
            ),
            models.CheckConstraint(
                condition=Q(language__in=Language.values),
                name="%(app_label)s_%(class)s_language_is_known",
            ),
            models.CheckConstraint(
                condition=Q(role__in=["", *Role.values]),
                name="%(app_label)s_%(class)s_role_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=InvitationState.values),
                name="%(app_label)s_%(class)s_state_is_known",
            ),
            models.CheckConstraint(
                condition=Q(token_sha256__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_keeps_a_fingerprint",
            ),
            models.CheckConstraint(
                condition=Q(state=InvitationState.OPEN, closed_at=None, closed_by=None)
                | (~Q(state=InvitationState.OPEN) & Q(closed_at__isnull=False)),
                name="%(app_label)s_%(class)s_closed_has_its_moment",
            ),
            models.CheckConstraint(
                condition=~Q(state=InvitationState.ACCEPTED)
                | Q(closed_by__isnull=False, closed_at__lt=F("expires_at")),
                name="%(app_label)s_%(class)s_accepted_in_time_by_somebody",
            ),
            models.UniqueConstraint(
                fields=["partner_account", "email"],
                condition=Q(state=InvitationState.OPEN),
                name="%(app_label)s_%(class)s_one_open_per_address",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(state=InvitationState.OPEN),
                name="accounts_open_colleague",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} ({self.pk})"

    @property
    def offered(self) -> str:
        """What it offers, in words."""
        return str(Role(self.role).label if self.role else _("No role yet"))

    def is_open(self, at: datetime) -> bool:
        """Whether its link still works."""
        return self.state == InvitationState.OPEN and at < self.expires_at


class OfferedPlaceQuerySet(ScopedQuerySet):
    scope = Scope(account="invitation__partner_account")
    view_permission = Permission.ROLE_ASSIGN


class OfferedPlace(models.Model):
    """Where the offered role would hold; the whole company is a row without location.

    So an invitation that lost its places would offer nothing, never everything.
    """

    invitation = models.ForeignKey(
        ColleagueInvitation, models.CASCADE, related_name="places"
    )
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("location"),
    )
    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("program"),
    )

    objects = OfferedPlaceQuerySet.as_manager()

    class Meta:
        verbose_name = _("offered place")
        verbose_name_plural = _("offered places")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(program=None) | Q(location__isnull=False),
                name="%(app_label)s_%(class)s_program_needs_location",
            ),
            models.UniqueConstraint(
                fields=["invitation", "location", "program"],
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_once_per_place",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invitation_id}: {self.location_id}, {self.program_id}"

    @property
    def where(self) -> str:
        """Where the role would hold, in words."""
        return scope_words(self.location, self.program)
