"""Bank profiles, their versions and drafts, changes that are held, defaults."""

import uuid
from datetime import date
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.encryption import (
    EncryptedJSONField,
    sealed_check,
)
from accounts.models import Location, PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from profiles.models.versions import Profile, ProfileQuerySet, ProfileVersion
from profiles.states import (
    ProfileStatus,
)


class BankProfileQuerySet(ProfileQuerySet):
    scope = Scope(account="partner_account")

    def where_user_may(self, user, permission: Permission) -> Self:
        """As everywhere; but a change reaches every location that is paid there.

        Who may change a bank profile may do so at all the locations that use it: an
        Incentives admin of one location does not redirect another's payments.
        """
        rows = super().where_user_may(user, permission)
        if permission != Permission.PROFILE_EDIT:
            return rows
        reached = Location.objects.where_user_may(user, permission)
        out_of_reach = Location.objects.filter(
            Q(default_bank_profile__bank_profile=OuterRef("pk"))
            | Q(payout_assignments__bank_profile=OuterRef("pk"))
        ).exclude(pk__in=reached.order_by().values("pk"))
        return rows.exclude(Exists(out_of_reach))


class BankProfile(Profile):
    """A bank account of a company, for any of its locations and programs (R46)."""

    part = "bank"
    account_path = "partner_account"

    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="bank_profiles",
        verbose_name=_("company"),
    )

    objects = BankProfileQuerySet.as_manager()

    class Meta(Profile.Meta):
        verbose_name = _("bank profile")
        verbose_name_plural = _("bank profiles")
        constraints = [
            *Profile.Meta.constraints,
            models.UniqueConstraint(
                "partner_account",
                Lower("name"),
                name="%(app_label)s_%(class)s_name_once_per_company",
                violation_error_message=_(
                    "Your company has a bank profile with this name. Choose another."
                ),
            ),
            models.UniqueConstraint(
                fields=["id", "partner_account"],
                name="%(app_label)s_%(class)s_with_its_company",
            ),
        ]

    def get_absolute_url(self) -> str:
        return reverse("profiles:bank", kwargs={"pk": self.pk})

    @property
    def account(self) -> PartnerAccount:
        return self.partner_account


class BankProfileVersion(ProfileVersion):
    """One state of a bank profile; never edited once sent."""

    part = "bank"
    account_path = "profile__partner_account"

    profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        related_name="versions",
        verbose_name=_("bank profile"),
    )
    bank_name = models.CharField(_("bank"), max_length=120, blank=True)
    local_currency = models.CharField(_("local currency"), max_length=3)
    takes_only_local = models.BooleanField(
        _("takes only the local currency"), default=False
    )
    # When it came into force. Kept for good: a later account is a change (domain.md
    # §10.7).
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    # Of a change of the account in force: nobody is paid there before (security.md T1).
    usable_from = models.DateTimeField(
        _("usable from"), null=True, blank=True, editable=False
    )
    # The fingerprint of the link by which the previous contact can stop the change.
    stop_sha256 = models.CharField(
        max_length=64, blank=True, db_default="", editable=False
    )
    # The first of two approvals, where one operator is not enough (domain.md §10.7).
    seconded_at = models.DateTimeField(_("first approval at"), null=True, blank=True)
    seconded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bank_versions_seconded",
        verbose_name=_("first approval by"),
    )
    # What the first approval was given for; it counts for nothing else.
    seconded_digest = models.CharField(
        max_length=64, blank=True, db_default="", editable=False
    )

    class Meta(ProfileVersion.Meta):
        verbose_name = _("bank profile version")
        verbose_name_plural = _("bank profile versions")
        constraints = [
            *ProfileVersion.Meta.constraints,
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.APPROVED)
                | Q(approved_at__isnull=False),
                name="%(app_label)s_%(class)s_approved_has_its_moment",
            ),
            models.CheckConstraint(
                condition=Q(seconded_at=None, seconded_by=None)
                | Q(seconded_at__isnull=False, seconded_by__isnull=False),
                name="%(app_label)s_%(class)s_first_approval_is_paired",
            ),
            models.CheckConstraint(
                condition=~Q(seconded_by=F("decided_by"), status="approved")
                & ~Q(seconded_by=F("submitted_by")),
                name="%(app_label)s_%(class)s_six_eyes_on_a_change",
            ),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.PENDING, seconded_by__isnull=False)
                | Q(seconded_digest__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_first_approval_of_something",
            ),
            models.CheckConstraint(
                condition=Q(usable_from=None) | Q(usable_from__gte=F("submitted_at")),
                name="%(app_label)s_%(class)s_cooling_off_after_the_request",
            ),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.COOLING)
                | Q(usable_from__isnull=False),
                name="%(app_label)s_%(class)s_cooling_off_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(usable_from=None)
                | ~Q(status__in=[ProfileStatus.COOLING, ProfileStatus.APPROVED])
                | Q(seconded_by__isnull=False) & ~Q(seconded_by=F("decided_by")),
                name="%(app_label)s_%(class)s_change_takes_two",
            ),
            models.UniqueConstraint(
                fields=["stop_sha256"],
                condition=~Q(stop_sha256=""),
                name="%(app_label)s_%(class)s_link_stops_one",
            ),
        ]
        indexes = [
            models.Index(fields=["blind_index"], name="profiles_bank_blind_index"),
            models.Index(
                Coalesce("promised_from", "submitted_at"),
                "id",
                condition=Q(status=ProfileStatus.PENDING),
                name="profiles_bank_pending",
            ),
            models.Index(
                fields=["usable_from"],
                condition=Q(status=ProfileStatus.COOLING),
                name="profiles_bank_cooling",
            ),
        ]
        permissions = [
            ("review_profiles", "Can see bank details that wait for a decision"),
            ("validate_profiles", "Can validate bank and tax profiles"),
            ("approve_bank_accounts", "Can give the second approval of bank accounts"),
        ]

    @property
    def account_before(self) -> "BankProfileVersion | None":
        """The version that was last in force before this one, whatever became of it.

        Where none was, the one that was sent before it; of an account that is stopped
        from the start, what the change was to take the place of that was stopped first.
        """
        before = type(self).objects.filter(
            profile=self.profile_id, number__lt=self.number
        )
        found = (
            before.filter(approved_at__isnull=False).order_by("-number").first()
            or before.order_by("-number").first()
        )
        if found is not None:
            return found
        again = self.stops.exclude(follows=None).select_related("follows__version")
        stop = again.first()
        return stop.follows.version.account_before if stop else None

    def is_expired(self, on: date) -> bool:
        """Bank details do not expire."""
        return False


class BankChangeStopQuerySet(ScopedQuerySet):
    scope = Scope(account="version__profile__partner_account")
    view_permission = Permission.PROFILE_KNOW

    def open(self) -> Self:
        return self.filter(released_at=None)

    def standing_against(self, version: "BankProfileVersion") -> Self:
        """Those of a version's account, at its company, that nobody released since.

        Whatever became of the change: who withdraws it, or archives its profile,
        releases nothing (docs/adr/0010). The newest first.
        """
        if not version.blind_index:
            return self.none()
        of_account = self.filter(
            version__blind_index=version.blind_index,
            version__profile__partner_account=version.profile.partner_account_id,
        )
        released_since = of_account.filter(released_at__gte=OuterRef("stopped_at"))
        return (
            of_account.open()
            .exclude(Exists(released_since.order_by()))
            .select_related("stopped_by", "follows")
            .order_by("-stopped_at", "pk")
        )


class BankChangeStop(models.Model):
    """Somebody said "this was not us" of a change of a bank account (security.md T1).

    Two operators release it after checking: one says how they made sure, another one
    releases. Without a person it was the previous contact, by the link in the mail.
    The account sent again is stopped from the start: that stop `follows` the first.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(
        BankProfileVersion,
        models.PROTECT,
        related_name="stops",
        verbose_name=_("bank profile version"),
    )
    stopped_at = models.DateTimeField(_("stopped at"), default=timezone.now)
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bank_changes_stopped",
        verbose_name=_("stopped by"),
    )
    follows = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("follows"),
    )
    checked_at = models.DateTimeField(_("checked at"), null=True, blank=True)
    checked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("checked by"),
    )
    # How they made sure that the company wants the change, in words.
    evidence = models.CharField(_("evidence"), max_length=400, blank=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("released by"),
    )

    objects = BankChangeStopQuerySet.as_manager()

    class Meta:
        verbose_name = _("stopped change of a bank account")
        verbose_name_plural = _("stopped changes of bank accounts")
        ordering = ("stopped_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(released_at=None),
                name="%(app_label)s_%(class)s_one_open",
            ),
            models.CheckConstraint(
                condition=Q(checked_at=None, checked_by=None, evidence="")
                | Q(checked_at__isnull=False, checked_by__isnull=False)
                & ~Q(evidence=""),
                name="%(app_label)s_%(class)s_checked_with_evidence",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None, released_by=None)
                | Q(
                    released_at__isnull=False,
                    released_by__isnull=False,
                    checked_by__isnull=False,
                ),
                name="%(app_label)s_%(class)s_released_after_a_check",
            ),
            models.CheckConstraint(
                condition=~Q(released_by=F("checked_by")),
                name="%(app_label)s_%(class)s_released_by_two",
            ),
        ]

    def __str__(self) -> str:
        return f"stop of {self.version_id}"


class BankProfileDraftQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PROFILE_EDIT


class BankProfileDraft(models.Model):
    """What somebody has filled in of a bank profile and not sent yet.

    One step after another, to go on with on another day. Each person has one of a new
    profile at a company, and one of each change; only who began it sees it. Sent or
    discarded, it is gone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="bank_profile_drafts",
        verbose_name=_("company"),
    )
    # What is changed; nothing of a new profile.
    profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="drafts",
        verbose_name=_("bank profile"),
    )
    # The version a change was begun on, and whether it had been returned by then.
    based_on = models.ForeignKey(
        BankProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("based on"),
    )
    is_mending = models.BooleanField(_("mends what was returned"), default=False)
    name = models.CharField(_("profile name"), max_length=80)
    country = models.CharField(_("country"), max_length=2)
    details = EncryptedJSONField(_("details"), default="")
    # The steps that are done, besides the first.
    done = ArrayField(
        models.CharField(max_length=12), verbose_name=_("done"), default=list
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="bank_profile_drafts",
        verbose_name=_("created by"),
    )

    objects = BankProfileDraftQuerySet.as_manager()

    class Meta:
        verbose_name = _("draft of a bank profile")
        verbose_name_plural = _("drafts of bank profiles")
        ordering = ("-updated_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["partner_account", "created_by"],
                condition=Q(profile=None),
                name="%(app_label)s_%(class)s_one_for_each",
            ),
            models.UniqueConstraint(
                fields=["profile", "created_by"],
                name="%(app_label)s_%(class)s_one_change_for_each",
            ),
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"


class DefaultBankProfileQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account", location="location")
    view_permission = Permission.PROFILE_KNOW


class DefaultBankProfile(models.Model):
    """The bank profile and currency a location's next enrollments start with.

    At most one per location (R51); it never rewrites enrollments already submitted.
    """

    location = models.OneToOneField(
        Location,
        models.PROTECT,
        related_name="default_bank_profile",
        verbose_name=_("location"),
        db_constraint=False,
    )
    # Composite keys of the migration keep location and bank profile in one company.
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="default_bank_profiles",
        verbose_name=_("company"),
    )
    bank_profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        related_name="defaults",
        verbose_name=_("bank profile"),
        db_constraint=False,
    )
    currency = models.CharField(_("currency"), max_length=3)
    set_at = models.DateTimeField(_("set at"), auto_now=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="default_bank_profiles_set",
        verbose_name=_("set by"),
    )

    objects = DefaultBankProfileQuerySet.as_manager()

    class Meta:
        verbose_name = _("default bank profile")
        verbose_name_plural = _("default bank profiles")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"),
                name="%(app_label)s_%(class)s_currency_is_three_letters",
            )
        ]

    def __str__(self) -> str:
        return f"default of location {self.location_id}"
