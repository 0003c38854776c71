"""Lost second factors: somebody asks for a reset, two other people say yes."""

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.companies import PartnerAccount
from accounts.models.people import User
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet

# How long whoever asked can say that it was not them, before anything is reset (T7).
TIME_TO_STOP = timedelta(days=1)
# Nobody vouched for somebody for this long: nobody in the company seems to be there.
UNANSWERED = timedelta(days=7)
# What was asked, and vouched for, longer ago than this says nothing any more.
LASTS = timedelta(days=30)


class ResetState(models.TextChoices):
    """How far a request to reset second factors has come."""

    WAITING = "waiting", _("Waiting for a first yes")
    VOUCHED = "vouched", _("One of two has said yes")
    GRANTED = "granted", _("Reset")
    DECLINED = "declined", _("Declined")
    # By the link in the mail, or by using a second factor after all.
    STOPPED = "stopped", _("Stopped by the person")
    LAPSED = "lapsed", _("Lapsed")


OPEN_STATES = (ResetState.WAITING, ResetState.VOUCHED)


class FactorResetQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.ROLE_ASSIGN

    def open(self) -> Self:
        """Requests that can be decided: not answered, not overtaken, not too old."""
        return self.filter(self._is_needed(), state__in=OPEN_STATES)

    def overtaken(self) -> Self:
        """Requests nobody answered that can be no more: the clock closes them."""
        return self.filter(~self._is_needed(), state__in=OPEN_STATES)

    def unrenewed(self) -> Self:
        """Resets after which nothing new was set up yet."""
        return self.filter(state=ResetState.GRANTED, renewed_at=None)

    def for_pages(self) -> Self:
        """With everybody that a page about it names."""
        return self.select_related(
            "partner_account", "user", "vouched_by", "answered_by"
        )

    def _is_needed(self) -> Q:
        """The person may sign in, has something to reset, and asked not long ago."""
        people = User.objects.filter(
            pk=OuterRef("user"), is_active=True, authenticator__isnull=False
        )
        return Q(Exists(people.order_by()), asked_at__gt=timezone.now() - LASTS)


class FactorReset(models.Model):
    """One person has lost every second factor and asks to begin anew (T7).

    Two others say yes: an admin of the person's company and then an operator, or two
    operators; and not before the person had time to stop it. The link that stops it is
    in the mail only: here is its fingerprint.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        User, models.PROTECT, related_name="factor_resets", verbose_name=_("person")
    )
    # Whose admins are asked first; operators belong to none.
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="factor_resets",
        verbose_name=_("company"),
    )
    reason = models.CharField(_("reason"), max_length=500)
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    state = models.CharField(
        _("state"), max_length=10, choices=ResetState, default=ResetState.WAITING
    )
    asked_at = models.DateTimeField(_("asked at"), default=timezone.now)
    vouched_at = models.DateTimeField(_("vouched at"), null=True, blank=True)
    vouched_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("vouched by"),
    )
    # How they made sure that it is the person, in words.
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
    # When the person had a second factor again.
    renewed_at = models.DateTimeField(_("set up anew at"), null=True, blank=True)

    objects = FactorResetQuerySet.as_manager()

    class Meta:
        verbose_name = _("reset of second factors")
        verbose_name_plural = _("resets of second factors")
        ordering = ("asked_at", "pk")
        permissions = (
            ("decide_factorreset", "Can vouch for people and reset second factors"),
        )
        constraints = [
            models.CheckConstraint(
                condition=Q(state=ResetState.WAITING, vouched_by=None, answered_at=None)
                | Q(
                    state=ResetState.VOUCHED,
                    vouched_by__isnull=False,
                    answered_at=None,
                )
                | Q(
                    state=ResetState.GRANTED,
                    vouched_by__isnull=False,
                    answered_by__isnull=False,
                    answered_at__isnull=False,
                )
                | Q(
                    state=ResetState.DECLINED,
                    answered_by__isnull=False,
                    answered_at__isnull=False,
                )
                | Q(
                    state=ResetState.STOPPED,
                    answered_by=F("user"),
                    answered_at__isnull=False,
                )
                | Q(
                    state=ResetState.LAPSED,
                    answered_by=None,
                    answered_at__isnull=False,
                ),
                name="%(app_label)s_%(class)s_answered_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(vouched_by=F("user"))
                & (~Q(state=ResetState.GRANTED) | ~Q(answered_by=F("user"))),
                name="%(app_label)s_%(class)s_never_by_the_person",
            ),
            models.CheckConstraint(
                condition=~Q(state=ResetState.GRANTED)
                | ~Q(answered_by=F("vouched_by")),
                name="%(app_label)s_%(class)s_two_people",
            ),
            models.CheckConstraint(
                condition=~Q(state=ResetState.GRANTED)
                | Q(answered_at__gte=F("asked_at") + TIME_TO_STOP),
                name="%(app_label)s_%(class)s_time_to_stop",
            ),
            models.CheckConstraint(
                condition=Q(vouched_by=None) | ~Q(evidence=""),
                name="%(app_label)s_%(class)s_vouched_with_evidence",
            ),
            models.CheckConstraint(
                condition=~Q(state=ResetState.DECLINED) | ~Q(answer=""),
                name="%(app_label)s_%(class)s_declined_with_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(renewed_at=None) | Q(state=ResetState.GRANTED),
                name="%(app_label)s_%(class)s_renewed_after_a_reset",
            ),
            models.CheckConstraint(
                condition=Q(token_sha256__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_keeps_a_fingerprint",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(state__in=OPEN_STATES),
                name="%(app_label)s_%(class)s_one_open_per_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} ({self.pk})"

    @property
    def decided_from(self) -> datetime:
        """From when on the second factors may be reset."""
        return self.asked_at + TIME_TO_STOP
