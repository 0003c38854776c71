"""What somebody without the role fills in for an Incentives admin."""

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.encryption import (
    EncryptedJSONField,
    sealed_check,
)
from accounts.models import Language, Location, PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from profiles import countries
from profiles.countries import CountrySchema


class Section(models.TextChoices):
    """What of a profile a colleague fills in for an Incentives admin: one, not both."""

    BANK = "bank", _("Bank details")
    TAX = "tax", _("Tax details")


class PartState(models.TextChoices):
    """What came of a part that somebody fills in for an Incentives admin."""

    OPEN = "open", _("Asked for, not handed in")
    FILLED = "filled", _("To be checked")
    USED = "used", _("Gone on with")
    ENDED = "ended", _("Put aside")
    EXPIRED = "expired", _("Expired")


class PreparedPartQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_EDIT

    def addressed_to(self, user) -> Self:
        """Parts that a person may fill in now: bound to their address, not over."""
        return self.open_at(timezone.now()).filter(email=user.email)

    def open_at(self, at: datetime) -> Self:
        """Parts that can be filled in, whether the clock has been by or not."""
        return self.filter(state=PartState.OPEN, expires_at__gt=at)

    def filled(self) -> Self:
        """Parts that wait for an Incentives admin."""
        return self.filter(state=PartState.FILLED)

    def overdue(self, at: datetime) -> Self:
        """Parts whose time is over and that nobody has closed yet."""
        return self.filter(
            state__in=[PartState.OPEN, PartState.FILLED], expires_at__lte=at
        )

    def for_pages(self) -> Self:
        return self.select_related("location__partner_account", "asked_by", "filled_by")


class PreparedPart(models.Model):
    """The bank or the tax details of one location, filled in by somebody without the
    role and checked by somebody with it (experience.md §3.1).

    It is bound to an address, shows nothing but itself and ends by itself. It is no
    profile: an Incentives admin goes on with it as with an own draft and sends that, so
    that everything which protects accounts holds (docs/adr/0017). What was filled in is
    sealed, and emptied when the part is closed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="prepared_parts",
        verbose_name=_("location"),
    )
    section = models.CharField(_("section"), max_length=4, choices=Section)
    email = models.EmailField(_("e-mail address"))
    full_name = models.CharField(_("full name"), max_length=120)
    language = models.CharField(
        _("language"), max_length=2, choices=Language, default=Language.ENGLISH
    )
    # Nobody where a colleague who sees the enrollment prepares of their own accord;
    # then there is no link either.
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="parts_asked_for",
        verbose_name=_("asked by"),
    )
    token_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    note = models.CharField(_("note"), max_length=400, blank=True)
    state = models.CharField(
        _("state"), max_length=8, choices=PartState, default=PartState.OPEN
    )
    asked_at = models.DateTimeField(_("asked at"))
    expires_at = models.DateTimeField(_("works until"))
    country = models.CharField(_("country"), max_length=2, blank=True)
    details = EncryptedJSONField(_("details"), default="")
    filled_at = models.DateTimeField(_("filled in at"), null=True, blank=True)
    filled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="parts_filled",
        verbose_name=_("filled in by"),
    )
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    objects = PreparedPartQuerySet.as_manager()

    class Meta:
        verbose_name = _("prepared part of a profile")
        verbose_name_plural = _("prepared parts of profiles")
        ordering = ("-asked_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(email=Lower("email")),
                name="%(app_label)s_%(class)s_email_is_lower_case",
            ),
            models.CheckConstraint(
                condition=Q(asked_by=None, token_sha256="")
                | Q(asked_by__isnull=False, token_sha256__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_keeps_a_fingerprint",
            ),
            models.UniqueConstraint(
                fields=["token_sha256"],
                condition=~Q(token_sha256=""),
                name="%(app_label)s_%(class)s_token_once",
            ),
            models.UniqueConstraint(
                fields=["location", "section", "email"],
                condition=Q(state="open"),
                name="%(app_label)s_%(class)s_one_open_for_each",
            ),
            models.CheckConstraint(
                condition=Q(
                    state="open", filled_at=None, filled_by=None, closed_at=None
                )
                | Q(
                    state="filled",
                    filled_at__isnull=False,
                    filled_by__isnull=False,
                    closed_at=None,
                )
                | Q(
                    state__in=["used", "ended", "expired"],
                    closed_at__isnull=False,
                ),
                name="%(app_label)s_%(class)s_state_has_its_moments",
            ),
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]

    def __str__(self) -> str:
        return f"part {self.pk}"

    @property
    def company(self) -> PartnerAccount:
        return self.location.partner_account

    @property
    def schema(self) -> CountrySchema | None:
        """What the country asks of this section."""
        if self.section == Section.BANK:
            return countries.bank_schema(self.country)
        return countries.tax_schema(self.country)

    @property
    def is_bank(self) -> bool:
        return self.section == Section.BANK

    def is_open(self, at: datetime) -> bool:
        """Whether it can be filled in."""
        return self.state == PartState.OPEN and at < self.expires_at
