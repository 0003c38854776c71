"""Companies' own directories: which Microsoft Entra ID tenant signs whose people in."""

import uuid
from typing import Self
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.encryption import EncryptedTextField, sealed_check
from accounts.models.assignments import RoleAssignment, scope_words
from accounts.models.companies import IncentiveProgram, Location, PartnerAccount
from accounts.models.people import User
from accounts.roles import COMPANY_WIDE_ROLES, Permission, Role, roles_with
from accounts.scoping import Scope, ScopedQuerySet

# Microsoft's public cloud; another one's address is typed in.
PUBLIC_CLOUD = "https://login.microsoftonline.com"

mfa_context_format = RegexValidator(
    r"^c[1-9][0-9]?\Z", _("An authentication context is called c1 to c99.")
)


class CompanyTenantQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PERSON_VIEW

    def active(self) -> Self:
        """Tenants that sign people in now."""
        return self.filter(is_active=True)

    def of_address(self, email: str) -> Self:
        """The tenant that answers for an address, if any: by its domain."""
        return self.filter(domains__domain=email.rpartition("@")[2].lower())

    def of_member(self, user) -> Self:
        """Tenants of the companies the person belongs to."""
        return self.filter(
            partner_account__in=PartnerAccount.objects.with_member(user).values("pk")
        )

    def deciding_for(self, user) -> Self:
        """Active tenants that gave roles which the person holds now."""
        roles = RoleAssignment.objects.live().filter(user=user, tenant=OuterRef("pk"))
        return self.active().filter(Exists(roles))


class CompanyTenant(models.Model):
    """A directory of Microsoft Entra ID that signs people of one company in.

    One tenant belongs to one company; a company may have several (domain.md §1.1).
    Only the program owner's operators register them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="tenants",
        verbose_name=_("company"),
    )
    tenant_id = models.UUIDField(
        _("tenant ID"),
        unique=True,
        help_text=_("“Directory (tenant) ID” of the app registration."),
    )
    issuer = models.CharField(
        _("issuer"),
        max_length=300,
        blank=True,
        help_text=_("Empty: this tenant in Microsoft's public cloud."),
    )
    client_id = models.CharField(
        _("client ID"),
        max_length=190,
        help_text=_("“Application (client) ID” of the app registration."),
    )
    client_secret = EncryptedTextField(_("client secret"))
    mfa_context = models.CharField(
        _("authentication context for a second factor"),
        max_length=3,
        blank=True,
        validators=[mfa_context_format],
        help_text=_(
            "Such as c1, when a Conditional Access policy of the tenant asks for "
            "multifactor authentication in this context. Empty: people show a second "
            "factor here, unless the sign-in says “mfa” of itself."
        ),
    )
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("Nobody signs in through a tenant that is not."),
    )
    created_at = models.DateTimeField(_("added at"), auto_now_add=True)
    # Who registered it, or changed it last: not who approves what it may give.
    set_up_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="tenants_set_up",
        verbose_name=_("set up by"),
    )

    objects = CompanyTenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("company sign-in")
        verbose_name_plural = _("company sign-ins")
        ordering = ("partner_account__name", "pk")
        constraints = [
            sealed_check("client_secret"),
            models.CheckConstraint(
                condition=~Q(issuer=""), name="%(app_label)s_%(class)s_has_issuer"
            ),
        ]

    def __str__(self) -> str:
        return str(self.tenant_id)

    def get_absolute_url(self) -> str:
        return reverse("ops:sign_in", kwargs={"pk": self.pk})

    @property
    def provider_id(self) -> str:
        """What links of people with their accounts there are kept under."""
        return str(self.pk)

    @property
    def label(self) -> str:
        """The first of its domains, which its people know it by."""
        return next((one.domain for one in self.domains.all()), str(self.tenant_id))

    def clean(self):
        self.issuer = (
            self.issuer.strip().rstrip("/") or f"{PUBLIC_CLOUD}/{self.tenant_id}/v2.0"
        )
        if "microsoftonline" in self.issuer and str(self.tenant_id) not in self.issuer:
            raise ValidationError(
                {
                    "issuer": _(
                        "This is another tenant's address, or one that all tenants "
                        "share. Leave it empty, or give the one with the tenant ID."
                    )
                }
            )
        if urlsplit(self.issuer).scheme != "https" and not settings.DEMO:
            raise ValidationError(
                {"issuer": _("Enter an address that begins with https://.")}
            )


class TenantDomain(models.Model):
    """A tenant answers for the addresses of a domain; one tenant per domain."""

    tenant = models.ForeignKey(CompanyTenant, models.CASCADE, related_name="domains")
    domain = models.CharField(_("domain"), max_length=253, unique=True)

    class Meta:
        verbose_name = _("domain of a company sign-in")
        verbose_name_plural = _("domains of company sign-ins")
        ordering = ("domain",)

    def __str__(self) -> str:
        return self.domain


class TenantRoleMappingQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PERSON_VIEW

    def waiting(self) -> Self:
        """Lines that give nothing before a second operator approves them."""
        return self.filter(
            role__in=roles_with(Permission.ROLE_ASSIGN), approved_at=None
        )


class TenantRoleMapping(models.Model):
    """Whoever has an app role in the tenant holds a role here, as RoleAssignment does.

    One that lets people give roles holds when a second operator approved it (T3).
    """

    tenant = models.ForeignKey(
        CompanyTenant,
        models.PROTECT,
        related_name="role_mappings",
        verbose_name=_("company sign-in"),
    )
    # The company of the tenant, for the composite key (location, company).
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="tenant_role_mappings",
        verbose_name=_("company"),
    )
    app_role = models.CharField(
        _("app role"),
        max_length=120,
        help_text=_("The value of the app role in Entra, such as Incentives.Admin."),
    )
    role = models.CharField(_("role"), max_length=20, choices=Role)
    # The composite key (location, company) of the migration checks this one.
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="tenant_role_mappings",
        verbose_name=_("location"),
        help_text=_("Empty: every location of the company."),
    )
    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="tenant_role_mappings",
        verbose_name=_("program"),
        help_text=_("Empty: every program at the location."),
    )
    mapped_at = models.DateTimeField(_("connected at"), default=timezone.now)
    mapped_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="app_roles_mapped",
        verbose_name=_("connected by"),
    )
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    approved_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="app_roles_approved",
        verbose_name=_("approved by"),
    )

    objects = TenantRoleMappingQuerySet.as_manager()

    class Meta:
        verbose_name = _("app role with a role")
        verbose_name_plural = _("app roles with roles")
        ordering = ("app_role", "pk")
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
                fields=["tenant", "app_role", "role", "location", "program"],
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app_role}: {self.get_role_display()}"

    @property
    def is_in_force(self) -> bool:
        """Whether it gives its role."""
        return (
            self.role not in roles_with(Permission.ROLE_ASSIGN)
            or self.approved_at is not None
        )

    @property
    def where(self) -> str:
        return scope_words(self.location, self.program)
