"""Who was told that tax forms, or times to enroll, are about to end."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import OutgoingEmail
from enrollment.models.enrollments import Enrollment


class TaxExpiryNotice(models.Model):
    """One time that people are told of tax forms with the same last day.

    So many days before it. People are taken in the order of their keys; `last_person`
    moves in the transaction that queues their mails, and any number of workers share
    the parts.
    """

    last_day = models.DateField(_("last day of the forms"))
    days_before = models.PositiveSmallIntegerField(_("days before"))
    part = models.PositiveSmallIntegerField(_("part"))
    last_person = models.BigIntegerField(_("last person told"), default=0)
    mails = models.PositiveIntegerField(_("mails"), default=0)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("notice of expiring tax forms")
        verbose_name_plural = _("notices of expiring tax forms")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["last_day", "days_before", "part"],
                name="%(app_label)s_%(class)s_once_per_step",
            ),
        ]

    def __str__(self) -> str:
        return f"notice {self.pk}"


class Reminder(models.Model):
    """That somebody was reminded of an invitation, so many days before its last day.

    Once for each person, step and last day, however often the clock asks: who is invited
    anew is reminded anew.
    """

    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="reminders",
        verbose_name=_("enrollment"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="reminders",
        verbose_name=_("person"),
    )
    days_before = models.PositiveSmallIntegerField(_("days before"))
    last_day = models.DateField(_("last day"), null=True)
    email = models.ForeignKey(
        OutgoingEmail,
        models.PROTECT,
        related_name="reminders",
        verbose_name=_("mail"),
    )

    class Meta:
        verbose_name = _("reminder")
        verbose_name_plural = _("reminders")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["enrollment", "user", "days_before", "last_day"],
                name="%(app_label)s_%(class)s_once_per_step",
            ),
        ]

    def __str__(self) -> str:
        return f"reminder {self.pk}"


class StandingNotice(models.Model):
    """That somebody was told where an enrollment went: not eligible, ended, discontinued.

    Once for each person and each time it went there. `is_over` is whether they were
    told that it came back, or are told so otherwise.
    """

    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="standing_notices",
        verbose_name=_("enrollment"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="standing_notices",
        verbose_name=_("person"),
    )
    since = models.DateTimeField(_("since"))
    email = models.ForeignKey(
        OutgoingEmail,
        models.PROTECT,
        related_name="standing_notices",
        verbose_name=_("mail"),
    )
    is_over = models.BooleanField(_("told that it came back"), default=False)

    class Meta:
        verbose_name = _("notice of where an enrollment went")
        verbose_name_plural = _("notices of where enrollments went")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["enrollment", "user", "since"],
                name="%(app_label)s_%(class)s_once_each_time",
            ),
        ]

    def __str__(self) -> str:
        return f"notice of standing {self.pk}"
