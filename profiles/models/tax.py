"""Tax profiles, their versions, drafts and documents."""

import uuid
from datetime import date
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.encryption import (
    EncryptedBytesField,
    EncryptedJSONField,
    EncryptedTextField,
    sealed_check,
    sealed_start_check,
)
from accounts.models import Location, PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from profiles.countries.tax_forms import DOCUMENTS
from profiles.models.versions import (
    Profile,
    ProfileQuerySet,
    ProfileVersion,
    VersionQuerySet,
)
from profiles.papers import EXTENSIONS
from profiles.states import (
    ProfileStatus,
)


class TaxProfileQuerySet(ProfileQuerySet):
    scope = Scope(account="location__partner_account", location="location")


class TaxProfile(Profile):
    """The tax details of one location, used by its enrollments."""

    part = "tax"
    account_path = "location__partner_account"

    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="tax_profiles",
        verbose_name=_("location"),
    )

    objects = TaxProfileQuerySet.as_manager()

    class Meta(Profile.Meta):
        verbose_name = _("tax profile")
        verbose_name_plural = _("tax profiles")
        constraints = [
            *Profile.Meta.constraints,
            models.UniqueConstraint(
                "location",
                Lower("name"),
                name="%(app_label)s_%(class)s_name_once_per_location",
                violation_error_message=_(
                    "This location has a tax profile with this name. Choose another."
                ),
            ),
            models.UniqueConstraint(
                fields=["id", "location"],
                name="%(app_label)s_%(class)s_with_its_location",
            ),
        ]

    def get_absolute_url(self) -> str:
        return reverse("profiles:tax", kwargs={"pk": self.pk})

    @property
    def account(self) -> PartnerAccount:
        return self.location.partner_account


class TaxVersionQuerySet(VersionQuerySet, ScopedQuerySet):
    scope = Scope(account="partner_account", location="profile__location")
    view_permission = Permission.PROFILE_VIEW


class TaxProfileVersion(ProfileVersion):
    """One state of a tax profile; never edited once sent."""

    part = "tax"
    account_path = "partner_account"

    profile = models.ForeignKey(
        TaxProfile,
        models.PROTECT,
        related_name="versions",
        verbose_name=_("tax profile"),
    )
    # Its location's company. The database says it, whatever is written.
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="+",
        verbose_name=_("company"),
        editable=False,
        db_constraint=False,
        db_index=False,
    )
    form = models.CharField(_("form"), max_length=20)
    # Which details are filled in, so that a program's needs can be asked of many
    # rows without opening any.
    provided = ArrayField(
        models.CharField(max_length=40), verbose_name=_("provided"), default=list
    )
    expires_on = models.DateField(_("expires on"), null=True, blank=True)
    # The answers that decided on the form, and what the form asks; no numbers.
    setup = models.JSONField(_("answers"), default=dict, blank=True)

    objects = TaxVersionQuerySet.as_manager()

    class Meta(ProfileVersion.Meta):
        verbose_name = _("tax profile version")
        verbose_name_plural = _("tax profile versions")
        constraints = [
            *ProfileVersion.Meta.constraints,
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]
        indexes = [
            models.Index(
                fields=["blind_index", "partner_account"],
                name="profiles_tax_number_of_company",
            ),
            models.Index(
                Coalesce("promised_from", "submitted_at"),
                "id",
                condition=Q(status=ProfileStatus.PENDING),
                name="profiles_tax_pending",
            ),
            models.Index(
                fields=["expires_on", "id"],
                condition=Q(status=ProfileStatus.APPROVED, expires_on__isnull=False),
                name="profiles_tax_expiring",
            ),
        ]

    def is_expired(self, on: date) -> bool:
        """Past its last day (R54)."""
        return self.expires_on is not None and self.expires_on < on


class TaxProfileDraftQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_EDIT

    def unsent(self) -> Self:
        """Those to go on with."""
        return self.filter(sent_as=None)


class TaxProfileDraft(models.Model):
    """What somebody has filled in of a tax profile and not sent yet: one step after
    another, to go on with on another day.

    Of a new profile each person has one for a location; of a change there is one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="tax_profile_drafts",
        verbose_name=_("location"),
    )
    profile = models.ForeignKey(
        TaxProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="drafts",
        verbose_name=_("tax profile"),
    )
    # As of a bank profile.
    based_on = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("based on"),
    )
    is_mending = models.BooleanField(_("mends what was returned"), default=False)
    # What it became; whoever goes back in the browser is led there.
    sent_as = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="drafts",
        verbose_name=_("sent as"),
    )
    name = models.CharField(_("profile name"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2)
    setup = models.JSONField(_("answers"), default=dict, blank=True)
    details = EncryptedJSONField(_("details"), default="")
    # What the program that led here asks beyond the country's own (R55).
    needs = ArrayField(
        models.CharField(max_length=40), verbose_name=_("needed"), default=list
    )
    # The steps that are done, in the order of the way.
    done = ArrayField(
        models.CharField(max_length=10), verbose_name=_("done"), default=list
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="tax_profile_drafts",
        verbose_name=_("created by"),
    )

    objects = TaxProfileDraftQuerySet.as_manager()

    class Meta:
        verbose_name = _("draft of a tax profile")
        verbose_name_plural = _("drafts of tax profiles")
        ordering = ("-updated_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["location", "created_by"],
                condition=Q(profile=None, sent_as=None),
                name="%(app_label)s_%(class)s_one_new_for_each",
            ),
            models.UniqueConstraint(
                fields=["profile"],
                condition=Q(sent_as=None),
                name="%(app_label)s_%(class)s_one_change",
            ),
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("profiles:tax_draft", kwargs={"pk": self.pk})

    @property
    def title(self) -> str:
        return self.profile.name if self.profile else self.name


class TaxDocumentQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_VIEW

    def without_content(self) -> Self:
        """For lists: what is stored of each, not the file."""
        return self.defer("content")


class TaxDocument(models.Model):
    """A signed form or a certificate: of a draft first, then of the version it was sent
    with, and kept with that for good.

    Content and name are sealed; what is in a file says more than any field.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="tax_documents",
        verbose_name=_("location"),
    )
    draft = models.ForeignKey(
        TaxProfileDraft,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="documents",
        verbose_name=_("draft"),
    )
    version = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="documents",
        verbose_name=_("tax profile version"),
    )
    kind = models.CharField(_("kind"), max_length=40)
    dated_on = models.DateField(_("dated on"))
    content_type = models.CharField(_("type"), max_length=20)
    size = models.PositiveIntegerField(_("size"))
    name = EncryptedTextField(_("file name"))
    content = EncryptedBytesField(_("content"))
    added_at = models.DateTimeField(_("added at"), default=timezone.now)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="tax_documents_added",
        verbose_name=_("added by"),
    )

    objects = TaxDocumentQuerySet.as_manager()

    class Meta:
        verbose_name = _("tax document")
        verbose_name_plural = _("tax documents")
        ordering = ("kind", "-dated_on", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(draft=None, version__isnull=False)
                | Q(draft__isnull=False, version=None),
                name="%(app_label)s_%(class)s_of_a_draft_or_a_version",
            ),
            models.CheckConstraint(
                condition=Q(content_type__in=list(EXTENSIONS)),
                name="%(app_label)s_%(class)s_type_is_known",
            ),
            models.CheckConstraint(
                condition=Q(size__gt=0), name="%(app_label)s_%(class)s_is_not_empty"
            ),
            sealed_check("name", name="%(app_label)s_%(class)s_name_is_sealed"),
            sealed_start_check(
                "content", name="%(app_label)s_%(class)s_content_is_sealed"
            ),
        ]

    def __str__(self) -> str:
        return f"document {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("profiles:tax_document", kwargs={"pk": self.pk})

    @property
    def kind_label(self) -> Promise | str:
        return DOCUMENTS[self.kind].label if self.kind in DOCUMENTS else self.kind

    @property
    def last_day(self) -> date | None:
        """The last day it is good for; None where it does not expire."""
        known = DOCUMENTS.get(self.kind)
        return known.last_day(self.dated_on) if known else None

    def is_ending(self, on: date) -> bool:
        """Whether it is time to have a new one."""
        known = DOCUMENTS.get(self.kind)
        return known is not None and known.is_ending(self.dated_on, on=on)

    @property
    def type_label(self) -> str:
        return EXTENSIONS.get(self.content_type, "").upper()
