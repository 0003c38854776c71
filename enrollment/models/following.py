"""Database views: which terms follow which, and what payouts lack under any terms.

The year end, its forecast and drafts of terms ask them; nothing writes them
(docs/adr/0003-database-views-ask.md).
"""

from django.db import models

from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.enrollments import Enrollment, PayoutAssignment
from enrollment.models.terms import EarningType, FiscalYear, ProgramTerms


class FollowingTerms(models.Model):
    """The year after a program's year, and its terms once they are written."""

    terms = models.OneToOneField(
        ProgramTerms,
        models.DO_NOTHING,
        primary_key=True,
        related_name="succession",
    )
    fiscal_year = models.ForeignKey(
        FiscalYear, models.DO_NOTHING, related_name="successions"
    )
    following = models.ForeignKey(
        ProgramTerms, models.DO_NOTHING, null=True, related_name="preceded_by"
    )

    class Meta:
        managed = False
        db_table = "enrollment_followingterms"
        ordering = ("terms",)

    def __str__(self) -> str:
        return str(self.pk)


class FollowingPayoutQuerySet(ScopedQuerySet):
    scope = Scope(
        account="enrollment__location__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.PROFILE_KNOW


class FollowingPayout(models.Model):
    """What one payment of the following year takes over, and lacks under its terms.

    `assignment` is the one it takes over from. The gaps mean what they mean in
    PayoutStanding.
    """

    id = models.CharField(primary_key=True, max_length=60)
    enrollment = models.ForeignKey(
        Enrollment, models.DO_NOTHING, related_name="following_payouts"
    )
    earning_type = models.ForeignKey(
        EarningType, models.DO_NOTHING, related_name="following_payouts"
    )
    assignment = models.ForeignKey(
        PayoutAssignment, models.DO_NOTHING, null=True, related_name="following"
    )
    used_bank = models.UUIDField(null=True)
    used_tax = models.UUIDField(null=True)
    used_currency = models.CharField(max_length=3, null=True)  # noqa: DJ001 - a view's
    bank_gap = models.CharField(max_length=20)
    currency_gap = models.CharField(max_length=20)
    lasting_tax_gap = models.CharField(max_length=20)
    tax_expires_on = models.DateField(null=True)

    objects = FollowingPayoutQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_followingpayout"
        ordering = ("enrollment", "earning_type")

    def __str__(self) -> str:
        return self.pk


class PayoutUnderTerms(models.Model):
    """What one payment lacks under any terms: ask of an enrollment and of terms, both named.

    For who asks what a draft would do. The gaps mean what they mean in PayoutStanding,
    and are made of the same text.
    """

    pk = models.CompositePrimaryKey("assignment_id", "terms_id")
    assignment = models.ForeignKey(
        PayoutAssignment, models.DO_NOTHING, related_name="+"
    )
    terms = models.ForeignKey(ProgramTerms, models.DO_NOTHING, related_name="+")
    enrollment = models.ForeignKey(Enrollment, models.DO_NOTHING, related_name="+")
    bank_gap = models.CharField(max_length=20)
    currency_gap = models.CharField(max_length=20)
    lasting_tax_gap = models.CharField(max_length=20)
    tax_expires_on = models.DateField(null=True)

    objects = FollowingPayoutQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_payoutunderanyterms"
        ordering = ("assignment", "terms")

    def __str__(self) -> str:
        return str(self.pk)


class TakenOverPayout(models.Model):
    """The same under any terms: ask of an enrollment and of terms, both named.

    For who knows which terms follow, as the year end does. Of neither named, PostgreSQL
    would work out each payment under all the terms there are.
    """

    id = models.CharField(primary_key=True, max_length=60)
    enrollment = models.ForeignKey(Enrollment, models.DO_NOTHING, related_name="+")
    terms = models.ForeignKey(ProgramTerms, models.DO_NOTHING, related_name="+")
    bank_gap = models.CharField(max_length=20)
    currency_gap = models.CharField(max_length=20)
    lasting_tax_gap = models.CharField(max_length=20)
    tax_expires_on = models.DateField(null=True)

    objects = FollowingPayoutQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "enrollment_takenoverpayout"
        ordering = ("enrollment", "id")

    def __str__(self) -> str:
        return self.pk
