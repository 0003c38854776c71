"""Which person holds which role, where, and until when."""

from datetime import date
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models.companies import IncentiveProgram, Location, PartnerAccount
from accounts.models.people import User
from accounts.roles import (
    COMPANY_WIDE_ROLES,
    Permission,
    Role,
    permissions_of,
)
from accounts.scoping import LiveAssignmentsMixin, Scope, ScopedQuerySet


class RoleSource(models.TextChoices):
    """Where a role came from; what a directory gave, only that directory takes back."""

    MANUAL = "manual", _("Given here")
    ENTRA = "entra", _("Microsoft Entra ID, at sign-in")
    SCIM = "scim", _("Microsoft Entra ID, by provisioning")


def scope_words(location: Location | None, program: IncentiveProgram | None) -> str:
    """Say where a role holds: "Göteborg, all programs"."""
    if location is None:
        return gettext("whole company")
    if program is None:
        return gettext("%(location)s, all programs") % {"location": location.name}
    return gettext("%(location)s, only %(program)s") % {
        "location": location.name,
        "program": program.name,
    }


class RoleAssignmentQuerySet(LiveAssignmentsMixin, ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PERSON_VIEW

    def given_by_others(self) -> Self:
        """Roles that people did not give themselves, by whatever road: these second.

        A role that somebody took never makes them the second person (T3).
        """
        return self.exclude(granted_by=F("user"))

    def for_pages(self) -> Self:
        """With the person, the place, and who gave it."""
        return self.select_related(
            "user", "partner_account", "location", "program", "granted_by"
        )


class RoleAssignment(models.Model):
    """A person's role: for the whole company, a location, or a program there.

    Written only by services.assign_role and services.revoke_role; an ended one stays
    as history.
    """

    user = models.ForeignKey(
        User, models.PROTECT, related_name="role_assignments", verbose_name=_("person")
    )
    role = models.CharField(_("role"), max_length=20, choices=Role)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="role_assignments",
        verbose_name=_("company"),
    )
    # The composite key (location, company) of the migration checks this one.
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="role_assignments",
        verbose_name=_("location"),
        help_text=_("Empty: every location of the company."),
    )
    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="role_assignments",
        verbose_name=_("program"),
        help_text=_("Empty: every program at the location."),
    )
    ends_on = models.DateField(
        _("last day"), null=True, blank=True, help_text=_("Empty: no end.")
    )
    source = models.CharField(
        _("source"), max_length=10, choices=RoleSource, default=RoleSource.MANUAL
    )
    # Which of the company's tenants gave it, where one did: it alone takes it back.
    tenant = models.ForeignKey(
        "accounts.CompanyTenant",
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="role_assignments",
        verbose_name=_("company sign-in"),
    )
    granted_at = models.DateTimeField(_("given at"), auto_now_add=True)
    granted_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="roles_granted",
        verbose_name=_("given by"),
    )
    revoked_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    revoked_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="roles_revoked",
        verbose_name=_("ended by"),
    )

    objects = RoleAssignmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=Role.values),
                name="%(app_label)s_%(class)s_role_is_known",
            ),
            models.CheckConstraint(
                condition=Q(source__in=RoleSource.values),
                name="%(app_label)s_%(class)s_source_is_known",
            ),
            models.CheckConstraint(
                condition=Q(tenant=None) | Q(source=RoleSource.ENTRA),
                name="%(app_label)s_%(class)s_only_entra_has_a_tenant",
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
            models.CheckConstraint(
                condition=Q(revoked_by=None) | Q(revoked_at__isnull=False),
                name="%(app_label)s_%(class)s_revoked_by_needs_revoked_at",
            ),
            models.UniqueConstraint(
                fields=["user", "role", "partner_account", "location", "program"],
                condition=Q(revoked_at=None),
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_once_per_scope",
            ),
        ]
        indexes = [
            # Who can enroll which location, without a look at the table (R6).
            models.Index(
                fields=["partner_account", "role", "location", "user"],
                include=["program", "ends_on"],
                condition=Q(revoked_at=None),
                name="accounts_live_role_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} ({self.pk})"

    def is_over(self, on: date) -> bool:
        """Ended, or past its last day."""
        return self.revoked_at is not None or (
            self.ends_on is not None and self.ends_on < on
        )

    @property
    def where(self) -> str:
        """Where the role holds, in words."""
        return scope_words(self.location, self.program)

    @property
    def permissions(self) -> frozenset[Permission]:
        """What this assignment lets its holder do inside its scope."""
        return permissions_of(Role(self.role))
