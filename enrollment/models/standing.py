"""Database views: what each payment uses now, or the next one will, and what it lacks.

The one place where "can this be submitted?" is asked, for one enrollment and for a
million alike (docs/adr/0003-database-views-ask.md). Nothing writes them.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import Location
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import PayoutAssignment


class PayoutStandingQuerySet(ScopedQuerySet):
    scope = Scope(
        account="assignment__partner_account",
        location="assignment__location",
        program="assignment__enrollment__terms__program",
    )
    view_permission = Permission.PROFILE_KNOW


class PayoutStanding(models.Model):
    """What one payout assignment uses: chosen, or else the location's default.

    `bank_gap`, `currency_gap` and `lasting_tax_gap` are codes of eligibility.GAPS, or
    "": one per part, the one to mend first. `accepted_currencies` are what both the
    program and the bank accept: this is the one place that says so.
    """

    assignment = models.OneToOneField(
        PayoutAssignment,
        models.DO_NOTHING,
        primary_key=True,
        related_name="standing",
    )
    used_bank = models.UUIDField(null=True)
    used_tax = models.UUIDField(null=True)
    used_currency = models.CharField(max_length=3, null=True)  # noqa: DJ001 - a view's
    newest_bank_version = models.UUIDField(null=True)
    bank_status = models.CharField(max_length=20, null=True)  # noqa: DJ001
    bank_country = models.CharField(max_length=2, null=True)  # noqa: DJ001
    bank_currency = models.CharField(max_length=3, null=True)  # noqa: DJ001
    bank_only_local = models.BooleanField(null=True)
    newest_tax_version = models.UUIDField(null=True)
    tax_status = models.CharField(max_length=20, null=True)  # noqa: DJ001
    tax_provided = ArrayField(models.CharField(max_length=40), null=True)
    tax_expires_on = models.DateField(null=True)
    bank_gap = models.CharField(max_length=20)
    currency_gap = models.CharField(max_length=20)
    lasting_tax_gap = models.CharField(max_length=20)
    accepted_currencies = ArrayField(models.CharField(max_length=3))

    objects = PayoutStandingQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_payoutstanding"
        ordering = ("assignment",)

    def __str__(self) -> str:
        return str(self.pk)


class NextStandingQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_KNOW


class NextStanding(models.Model):
    """What the next enrollment at a location would begin with, and lack.

    `bank` and `tax` are the default bank profile and the newest tax profile; the gaps are
    codes of eligibility.GAPS, or "". PayoutStanding says the same once it is begun.
    """

    location = models.OneToOneField(
        Location,
        models.DO_NOTHING,
        primary_key=True,
        related_name="next_standing",
    )
    bank = models.UUIDField(null=True)
    tax = models.UUIDField(null=True)
    bank_gap = models.CharField(max_length=20)
    lasting_tax_gap = models.CharField(max_length=20)
    tax_expires_on = models.DateField(null=True)
    currency_gap = models.CharField(max_length=20)

    objects = NextStandingQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_nextstanding"
        ordering = ("location",)

    def __str__(self) -> str:
        return str(self.pk)
