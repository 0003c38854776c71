"""Who was told that tax forms are about to expire, or invitations are."""

from django.db import models
from django.utils.translation import gettext_lazy as _


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


class ReminderNotice(models.Model):
    """One time that people are reminded of invitations with the same last day.

    So many days before it. People are taken in the order of their keys; `last_person`
    moves in the transaction that queues their mails.
    """

    last_day = models.DateField(_("last day to enroll"))
    days_before = models.PositiveSmallIntegerField(_("days before"))
    part = models.PositiveSmallIntegerField(_("part"))
    last_person = models.BigIntegerField(_("last person told"), default=0)
    mails = models.PositiveIntegerField(_("mails"), default=0)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("reminder of invitations")
        verbose_name_plural = _("reminders of invitations")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["last_day", "days_before", "part"],
                name="%(app_label)s_%(class)s_once_per_step",
            ),
        ]

    def __str__(self) -> str:
        return f"reminder {self.pk}"
