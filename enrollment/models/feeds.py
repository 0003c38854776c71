"""The secret address of a person's calendar: only its fingerprint is kept."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.link_tokens import CALENDAR, token_matching


class CalendarFeedQuerySet(models.QuerySet):
    def live(self) -> Self:
        """Addresses that open, of people who may sign in."""
        return self.filter(ended_at=None, user__is_active=True)


class CalendarFeed(models.Model):
    """An address that a person's calendar program reads, without signing in.

    The address is the credential (security.md T4): made of 256 bits that only the
    keeper of the key can make, kept as a fingerprint, ended by a newer one. What it
    shows is asked anew each time, so it shows nothing that the person no longer sees.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="calendar_feeds",
        verbose_name=_("person"),
    )
    secret_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    made_at = models.DateTimeField(_("made at"))
    read_at = models.DateTimeField(_("last read at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects = CalendarFeedQuerySet.as_manager()

    class Meta:
        verbose_name = _("calendar address")
        verbose_name_plural = _("calendar addresses")
        ordering = ("-made_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(secret_sha256__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_keeps_a_fingerprint",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(ended_at=None),
                name="%(app_label)s_%(class)s_one_per_person",
            ),
        ]

    def __str__(self) -> str:
        return f"calendar {self.pk}"

    @property
    def token(self) -> str:
        """What its address ends with; for its owner's page alone.

        Raises ValueError when no key that is known makes it.
        """
        return token_matching(self.pk, fingerprint=self.secret_sha256, purpose=CALENDAR)
