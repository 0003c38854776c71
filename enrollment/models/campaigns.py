"""Campaigns: who is invited to a program's year, with which words, and when."""

import hashlib
import json
import uuid
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts.models import OutgoingEmail
from enrollment.models.terms import ProgramTerms

# After "Send" nothing happens for so long: time to take it back (experience.md §3.1).
HOLD = timedelta(seconds=60)


class CampaignStatus(models.TextChoices):
    """Where a campaign stands."""

    DRAFT = "draft", _("Draft")
    SCHEDULED = "scheduled", _("About to be sent")
    RUNNING = "running", _("Being sent")
    PAUSED = "paused", _("Paused")
    STOPPED = "stopped", _("Stopped")
    FINISHED = "finished", _("Finished")


class CampaignStep(models.TextChoices):
    """What a campaign that runs is at."""

    LOCATIONS = "locations", _("Inviting locations")
    PEOPLE = "people", _("Addressing people")
    ADMINS = "admins", _("Telling admins where nobody can enroll")
    MAILS = "mails", _("Sending mails")


# At most one of these for a program's year.
UNDER_WAY = (CampaignStatus.SCHEDULED, CampaignStatus.RUNNING, CampaignStatus.PAUSED)
_UNSENT = ("draft", "scheduled")


class CampaignQuerySet(models.QuerySet):
    def under_way(self) -> Self:
        return self.filter(status__in=UNDER_WAY)

    def unfinished(self) -> Self:
        """Drafts, and what is under way."""
        return self.filter(status__in=[CampaignStatus.DRAFT, *UNDER_WAY])

    def running(self) -> Self:
        return self.filter(status=CampaignStatus.RUNNING)

    def keeping_quiet(self) -> Self:
        """Whose invitations nobody else tells of: they do, or were stopped."""
        return self.filter(
            status__in=[
                CampaignStatus.RUNNING,
                CampaignStatus.PAUSED,
                CampaignStatus.STOPPED,
            ]
        )

    def to_confirm_anew(self) -> Self:
        """Drafts again, because they were not what was confirmed any more."""
        return self.filter(status=CampaignStatus.DRAFT, ended_because__gt="")

    def for_pages(self) -> Self:
        return self.select_related(
            "terms__program", "terms__fiscal_year__calendar", "confirmed_by"
        )


class Campaign(models.Model):
    """Invitations to a program's year, sent together (experience.md O4).

    A draft's audience is asked for anew each time; `people_count` is what somebody
    confirmed. What it invites carries `began_at` as the moment of invitation.
    `last_key` is how far the step has come; both move in one transaction with the rows.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    terms = models.ForeignKey(
        ProgramTerms,
        models.PROTECT,
        related_name="campaigns",
        verbose_name=_("program terms"),
    )
    status = models.CharField(
        _("status"), max_length=10, choices=CampaignStatus, default=CampaignStatus.DRAFT
    )
    # Which of the eligible locations; empty is no limit.
    countries = ArrayField(
        models.CharField(max_length=2),
        verbose_name=_("countries"),
        default=list,
        blank=True,
    )
    partner_ids = ArrayField(
        models.CharField(max_length=10),
        verbose_name=_("PartnerIDs"),
        default=list,
        blank=True,
    )
    words_en = models.TextField(_("own words in English"), blank=True, max_length=2000)
    words_sv = models.TextField(_("own words in Swedish"), blank=True, max_length=2000)
    send_at = models.DateTimeField(_("not before"), null=True, blank=True)
    mails_per_hour = models.PositiveIntegerField(
        _("mails an hour, at most"), null=True, blank=True
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="campaigns_planned",
        verbose_name=_("planned by"),
    )
    people_count = models.PositiveIntegerField(_("people"), default=0)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="campaigns_confirmed",
        verbose_name=_("confirmed by"),
    )
    starts_at = models.DateTimeField(_("starts at"), null=True, blank=True)
    began_at = models.DateTimeField(_("began at"), null=True, blank=True)
    step = models.CharField(
        _("step"), max_length=10, choices=CampaignStep, default=CampaignStep.LOCATIONS
    )
    last_key = models.BigIntegerField(default=0)
    locations_count = models.PositiveIntegerField(_("locations invited"), default=0)
    uncovered_count = models.PositiveIntegerField(
        _("locations that nobody can enroll"), default=0
    )
    # Until when mails were let go, where there is a limit by the hour.
    released_until = models.DateTimeField(null=True, blank=True)
    # When the last try to go on failed; empty as soon as one succeeds.
    failed_at = models.DateTimeField(_("last failed at"), null=True, blank=True)
    # What it is for those whose mail has not left; their days begin when it does.
    last_day = models.DateField(_("last day to enroll"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    ended_because = models.CharField(_("ended because"), max_length=300, blank=True)

    objects = CampaignQuerySet.as_manager()

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        ordering = ("-created_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["terms"],
                condition=Q(status__in=UNDER_WAY),
                name="%(app_label)s_%(class)s_one_under_way",
            ),
            models.CheckConstraint(
                condition=Q(status__in=CampaignStatus.values),
                name="%(app_label)s_%(class)s_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(step__in=CampaignStep.values),
                name="%(app_label)s_%(class)s_step_is_known",
            ),
            models.CheckConstraint(
                condition=Q(status=CampaignStatus.DRAFT)
                | Q(confirmed_at__isnull=False, starts_at__isnull=False),
                name="%(app_label)s_%(class)s_sent_was_confirmed",
            ),
            models.CheckConstraint(
                condition=Q(status__in=_UNSENT) | Q(began_at__isnull=False),
                name="%(app_label)s_%(class)s_running_has_begun",
            ),
            models.CheckConstraint(
                condition=Q(mails_per_hour=None) | Q(mails_per_hour__gt=0),
                name="%(app_label)s_%(class)s_sends_something",
            ),
        ]

    def __str__(self) -> str:
        return f"campaign {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("ops:campaign", kwargs={"pk": self.pk})

    @property
    def is_draft(self) -> bool:
        return self.status == CampaignStatus.DRAFT

    @property
    def is_scheduled(self) -> bool:
        return self.status == CampaignStatus.SCHEDULED

    @property
    def is_running(self) -> bool:
        return self.status == CampaignStatus.RUNNING

    @property
    def is_paused(self) -> bool:
        return self.status == CampaignStatus.PAUSED

    @property
    def is_stopped(self) -> bool:
        return self.status == CampaignStatus.STOPPED

    @property
    def is_under_way(self) -> bool:
        return self.status in UNDER_WAY

    @property
    def has_begun(self) -> bool:
        return self.began_at is not None

    @cached_property
    def follows_a_stopped_one(self) -> bool:
        """Whether somebody may wait for a mail that another campaign did not send."""
        stopped = Campaign.objects.filter(
            terms=self.terms_id, status=CampaignStatus.STOPPED
        )
        return stopped.exclude(pk=self.pk).exists()

    @property
    def digest(self) -> str:
        """What stands for all that somebody chose and wrote."""
        chosen = [self.countries, self.partner_ids, self.words_en, self.words_sv]
        when = self.send_at and self.send_at.timestamp()
        text = json.dumps([*chosen, when, self.mails_per_hour])
        return hashlib.sha256(text.encode()).hexdigest()

    def words(self, language: str) -> str:
        """The operator's own words in a language, as they were typed."""
        return self.words_sv if language == "sv" else self.words_en


class CampaignRecipient(models.Model):
    """One person a campaign writes to, and the one mail for all their locations."""

    campaign = models.ForeignKey(
        Campaign,
        models.PROTECT,
        related_name="recipients",
        verbose_name=_("campaign"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="campaign_mails",
        verbose_name=_("person"),
    )
    email = models.OneToOneField(
        OutgoingEmail,
        models.PROTECT,
        related_name="campaign_recipient",
        verbose_name=_("mail"),
    )
    locations_count = models.PositiveIntegerField(_("locations"), default=0)

    class Meta:
        verbose_name = _("recipient of a campaign")
        verbose_name_plural = _("recipients of campaigns")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "user"],
                name="%(app_label)s_%(class)s_once_per_campaign",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} of {self.campaign_id}"
