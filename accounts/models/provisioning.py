"""What a company's directory tells the portal by SCIM: people, groups, and its keys."""

from datetime import date
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.models.companies import IncentiveProgram, Location, PartnerAccount
from accounts.models.people import User
from accounts.roles import COMPANY_WIDE_ROLES, Permission, Role
from accounts.scoping import Scope, ScopedQuerySet

# What RFC 7643 leaves open; Entra's own limit for these is 256.
NAME_LENGTH = 256


class ProvisioningTokenQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PROVISIONING_EDIT

    def live(self, on: date) -> Self:
        """Tokens that open the door: not revoked, not past their last day."""
        return self.filter(Q(expires_on=None) | Q(expires_on__gte=on), revoked_at=None)


class ProvisioningToken(models.Model):
    """A key with which a company's directory may change the company's own people.

    Only the SHA-256 of its 32 random bytes is kept: whoever reads the database cannot
    use it.
    """

    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="provisioning_tokens",
        verbose_name=_("company"),
    )
    name = models.CharField(_("name"), max_length=80)
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    expires_on = models.DateField(
        _("last day"), null=True, blank=True, help_text=_("Empty: no end.")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    created_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="provisioning_tokens_created",
        verbose_name=_("created by"),
    )
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    revoked_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="provisioning_tokens_revoked",
        verbose_name=_("revoked by"),
    )

    objects = ProvisioningTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("provisioning token")
        verbose_name_plural = _("provisioning tokens")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                "partner_account",
                Lower("name"),
                condition=Q(revoked_at=None),
                name="%(app_label)s_%(class)s_name_once",
            ),
            models.CheckConstraint(
                condition=Q(token_sha256__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_holds_a_hash",
            ),
            models.CheckConstraint(
                condition=Q(revoked_by=None) | Q(revoked_at__isnull=False),
                name="%(app_label)s_%(class)s_revoked_by_needs_revoked_at",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def is_over(self, on: date) -> bool:
        """Revoked, or past its last day."""
        return self.revoked_at is not None or (
            self.expires_on is not None and self.expires_on < on
        )


class DirectoryPersonQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PROVISIONING_EDIT


class DirectoryPerson(models.Model):
    """What one company's directory says of a person; other companies never see it.

    The directory keeps its own names here, also when the person's account in the portal
    is not this company's alone and stays as it is.
    """

    partner_account = models.ForeignKey(
        PartnerAccount, models.PROTECT, related_name="directory_people"
    )
    user = models.ForeignKey(
        User, models.PROTECT, related_name="directory_entries", verbose_name=_("person")
    )
    user_name = models.CharField(max_length=NAME_LENGTH)
    external_id = models.CharField(max_length=NAME_LENGTH, blank=True)
    # Name, displayName, emails and preferredLanguage as they were sent; nothing else
    # that a directory could tell is kept.
    facts = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = DirectoryPersonQuerySet.as_manager()

    class Meta:
        verbose_name = _("person of a directory")
        verbose_name_plural = _("people of directories")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["partner_account", "user"],
                name="%(app_label)s_%(class)s_once_per_company",
            ),
            models.UniqueConstraint(
                "partner_account",
                Lower("user_name"),
                condition=Q(removed_at=None),
                name="%(app_label)s_%(class)s_user_name_once",
            ),
            models.UniqueConstraint(
                fields=["partner_account", "external_id"],
                condition=Q(removed_at=None) & ~Q(external_id=""),
                name="%(app_label)s_%(class)s_external_id_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} in {self.partner_account_id}"


class DirectoryGroupQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PROVISIONING_EDIT

    def current(self) -> Self:
        """Groups the directory has not removed."""
        return self.filter(removed_at=None)


class DirectoryGroup(models.Model):
    """A group of a company's directory. It gives nothing unless it is mapped."""

    partner_account = models.ForeignKey(
        PartnerAccount, models.PROTECT, related_name="directory_groups"
    )
    display_name = models.CharField(_("group"), max_length=NAME_LENGTH)
    external_id = models.CharField(max_length=NAME_LENGTH, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = DirectoryGroupQuerySet.as_manager()

    class Meta:
        verbose_name = _("group of a directory")
        verbose_name_plural = _("groups of directories")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                "partner_account",
                Lower("display_name"),
                condition=Q(removed_at=None),
                name="%(app_label)s_%(class)s_display_name_once",
            ),
            models.UniqueConstraint(
                fields=["partner_account", "external_id"],
                condition=Q(removed_at=None) & ~Q(external_id=""),
                name="%(app_label)s_%(class)s_external_id_once",
            ),
        ]

    def __str__(self) -> str:
        return self.display_name


class DirectoryGroupMember(models.Model):
    """Somebody is in a group of the directory, whether active in the company or not."""

    group = models.ForeignKey(
        DirectoryGroup, models.CASCADE, related_name="group_members"
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="directory_groups")

    class Meta:
        verbose_name = _("member of a group")
        verbose_name_plural = _("members of groups")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["group", "user"], name="%(app_label)s_%(class)s_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.group_id}"


class GroupMappingQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PROVISIONING_EDIT


class GroupMapping(models.Model):
    """Members of a group of this name or external id hold a role; as RoleAssignment.

    It may stand here before the directory sends the group.
    """

    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="group_mappings",
        verbose_name=_("company"),
    )
    group_name = models.CharField(_("group"), max_length=NAME_LENGTH)
    role = models.CharField(_("role"), max_length=20, choices=Role)
    # The composite key (location, company) of the migration checks this one.
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="group_mappings",
        verbose_name=_("location"),
    )
    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="group_mappings",
        verbose_name=_("program"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    created_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="group_mappings_created",
        verbose_name=_("created by"),
    )

    objects = GroupMappingQuerySet.as_manager()

    class Meta:
        verbose_name = _("group with a role")
        verbose_name_plural = _("groups with roles")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=Role.values),
                name="%(app_label)s_%(class)s_role_is_known",
            ),
            models.CheckConstraint(
                condition=Q(program=None) | Q(location__isnull=False),
                name="%(app_label)s_%(class)s_program_needs_location",
            ),
            models.CheckConstraint(
                condition=Q(location=None)
                | ~Q(role__in=[role.value for role in sorted(COMPANY_WIDE_ROLES)]),
                name="%(app_label)s_%(class)s_company_roles_are_company_wide",
            ),
            models.UniqueConstraint(
                "partner_account",
                Lower("group_name"),
                "role",
                "location",
                "program",
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group_name}: {self.get_role_display()}"

    def names(self, group: DirectoryGroup) -> bool:
        """Whether a group is the one meant, by its name or its external id."""
        return self.group_name in (group.external_id, group.display_name) or (
            self.group_name.casefold() == group.display_name.casefold()
        )
