"""Which directory speaks for a company, and which of its app roles hold which role."""

from collections.abc import Iterable
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import emails
from accounts.models import (
    AuditAction,
    CompanyTenant,
    IncentiveProgram,
    Location,
    PartnerAccount,
    RoleAssignment,
    TenantDomain,
    TenantRoleMapping,
    User,
)
from accounts.roles import Role
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.leaving import end_sessions
from accounts.services.roles import check_revoking, check_scopes, end_assignments
from accounts.services.second_person import check_second_person
from accounts.text import normalize_domain

MAY_REGISTER = "accounts.add_companytenant"
MAY_CHANGE = "accounts.change_companytenant"
# Of what is told of a tenant: what another operator looked at who approved its lines.
DECIDING_WHO_SPEAKS = ("issuer", "client", "domains")


@transaction.atomic
def register_tenant(
    account: PartnerAccount,
    *,
    tenant_id: str,
    client_id: str,
    client_secret: str,
    domains: Iterable[str],
    issuer: str = "",
    mfa_context: str = "",
    by: User,
) -> CompanyTenant:
    """Let a directory of Microsoft Entra ID sign people of a company in.

    The secret is sealed for its own row. Raises ValidationError when `by` is no operator
    who may, the tenant or a domain is registered already, or a domain is not one of the
    company's (R14): the directory would add guests.
    """
    lock_companies(account.pk)
    _refuse_unless(MAY_REGISTER, by)
    if not client_secret:
        raise ValidationError({"client_secret": _("Enter the client secret.")})
    if CompanyTenant.objects.filter(tenant_id=tenant_id).exists():
        raise ValidationError({"tenant_id": _("This tenant is registered already.")})
    tenant = CompanyTenant(
        partner_account=account,
        tenant_id=tenant_id,
        issuer=issuer,
        client_id=client_id,
        mfa_context=mfa_context,
        set_up_by=by,
    )
    tenant.client_secret = client_secret
    tenant.full_clean()
    tenant.save()
    _set_domains(tenant, domains)
    record_audit_event(
        tenant,
        action=AuditAction.TENANT_REGISTERED,
        by=by,
        partner_account=account,
        after=_described(tenant),
    )
    emails.company_sign_in_changed(tenant, news="registered")
    return tenant


@transaction.atomic
def change_tenant(
    tenant: CompanyTenant,
    *,
    client_id: str,
    client_secret: str = "",
    domains: Iterable[str],
    issuer: str = "",
    mfa_context: str = "",
    by: User,
) -> CompanyTenant:
    """Change how a directory is asked; no new secret keeps the one there is.

    Another issuer, app or domain was not what a second operator approved: lines that
    needed it wait again, and end nothing that is held. Raises ValidationError as
    register_tenant does, and for another issuer once somebody has connected it: another
    server would speak for people who never agreed to it.
    """
    lock_companies(tenant.partner_account_id)
    _refuse_unless(MAY_CHANGE, by)
    tenant = CompanyTenant.objects.select_for_update(of=("self",)).get(pk=tenant.pk)
    before = _described(tenant)
    tenant.client_id, tenant.issuer = client_id, issuer
    tenant.mfa_context = mfa_context
    if client_secret:
        tenant.client_secret = client_secret
    tenant.full_clean()
    if tenant.issuer != before["issuer"] and _links_of(tenant).exists():
        raise ValidationError(
            {
                "issuer": _(
                    "People sign in through this issuer already. Leave it as it is."
                )
            },
            code="in_use",
        )
    tenant.save()
    _set_domains(tenant, domains)
    after = _described(tenant)
    if after != before or client_secret:
        tenant.set_up_by = by
        tenant.save(update_fields=["set_up_by"])
        if any(after[name] != before[name] for name in DECIDING_WHO_SPEAKS):
            tenant.role_mappings.update(approved_at=None, approved_by=None)
        record_audit_event(
            tenant,
            action=AuditAction.TENANT_CHANGED,
            by=by,
            partner_account=tenant.partner_account,
            before=before,
            after=after | {"has_new_credential": bool(client_secret)},
        )
        emails.company_sign_in_changed(tenant, news="changed")
    return tenant


@transaction.atomic
def set_tenant_active(
    tenant: CompanyTenant, *, is_active: bool, by: User
) -> CompanyTenant:
    """Let a tenant sign people in, or stop it: then the roles it gave end at once.

    Whoever connected it is signed out everywhere, for it may have been in wrong hands.
    The last Global admin of the company stays one (rule 75). Doing it twice changes
    nothing. Raises ValidationError when `by` is no operator who may.
    """
    lock_companies(tenant.partner_account_id)
    _refuse_unless(MAY_CHANGE, by)
    tenant = CompanyTenant.objects.select_for_update(of=("self",)).get(pk=tenant.pk)
    if tenant.is_active == is_active:
        return tenant
    tenant.is_active = is_active
    tenant.save(update_fields=["is_active"])
    kept = [] if is_active else end_roles_from(tenant, roles_given_by(tenant))
    if not is_active:
        connected = User.objects.filter(socialaccount__in=_links_of(tenant))
        for person in connected.order_by("pk"):
            end_sessions(person)
    record_audit_event(
        tenant,
        action=AuditAction.TENANT_CHANGED,
        by=by,
        partner_account=tenant.partner_account,
        before={"is_active": not is_active},
        after={"is_active": is_active} | _kept(kept),
    )
    emails.company_sign_in_changed(tenant, news="started" if is_active else "stopped")
    return tenant


@transaction.atomic
def map_app_role(
    tenant: CompanyTenant,
    *,
    app_role: str,
    role: Role | str,
    location: Location | None = None,
    program: IncentiveProgram | None = None,
    by: User,
) -> TenantRoleMapping:
    """Let whoever has an app role hold a role here, from their next sign-in on.

    A role that gives roles waits for approve_app_role: one operator alone makes nobody
    an admin of a company (T3). Doing it twice changes nothing. Raises ValidationError when `by` is no operator who
    may, and when the scope is not of the company.
    """
    lock_companies(tenant.partner_account_id)
    _refuse_unless(MAY_CHANGE, by)
    account, role = tenant.partner_account, Role(role)
    check_scopes(
        role,
        account=account,
        locations=[location] if location else [],
        programs=[program] if program else [],
        by=None,
    )
    held = tenant.role_mappings.filter(
        app_role=app_role, role=role, location=location, program=program
    ).first()
    if held is not None:
        return held
    mapping = TenantRoleMapping(
        tenant=tenant,
        partner_account=account,
        app_role=app_role,
        role=role,
        location=location,
        program=program,
        mapped_by=by,
    )
    mapping.full_clean()
    mapping.save()
    record_audit_event(
        mapping,
        action=AuditAction.APP_ROLE_MAPPED
        if mapping.is_in_force
        else AuditAction.APP_ROLE_ASKED,
        by=by,
        partner_account=account,
        after=_mapping_described(mapping),
    )
    news = "mapped" if mapping.is_in_force else "asked"
    emails.company_sign_in_changed(tenant, news=news, mapping=mapping)
    return mapping


@transaction.atomic
def approve_app_role(mapping: TenantRoleMapping, *, by: User) -> TenantRoleMapping:
    """Let a line give a role that gives roles: the second operator's decision.

    Doing it twice changes nothing, nor does it for a line that needs none. Raises
    ValidationError as check_second_person does: for who connected the app role, for who
    set the directory up, and for everybody who does not manage company sign-ins.
    """
    lock_companies(mapping.partner_account_id)
    mapping = TenantRoleMapping.objects.select_for_update(of=("self",)).get(
        pk=mapping.pk
    )
    if mapping.is_in_force:
        return mapping
    tenant = mapping.tenant
    check_second_person(
        by,
        rights=[MAY_CHANGE],
        first=[
            (
                mapping.mapped_by_id,
                ValidationError(
                    _("You connected this app role. Another operator approves it."),
                    code="same_person",
                ),
            ),
            (
                tenant.set_up_by_id,
                ValidationError(
                    _(
                        "You set this directory up. Another operator approves what it "
                        "may give."
                    ),
                    code="same_person",
                ),
            ),
        ],
    )
    mapping.approved_at, mapping.approved_by = timezone.now(), by
    mapping.save(update_fields=["approved_at", "approved_by"])
    record_audit_event(
        mapping,
        action=AuditAction.APP_ROLE_MAPPED,
        by=by,
        partner_account=mapping.partner_account,
        after=_mapping_described(mapping),
    )
    emails.company_sign_in_changed(tenant, news="mapped", mapping=mapping)
    return mapping


@transaction.atomic
def unmap_app_role(mapping: TenantRoleMapping, *, by: User) -> None:
    """Take a line out of the table; roles that no other line gives end at once.

    The last Global admin of the company stays one (rule 75). Raises ValidationError
    when `by` is no operator who may.
    """
    lock_companies(mapping.partner_account_id)
    _refuse_unless(MAY_CHANGE, by)
    tenant, described = mapping.tenant, _mapping_described(mapping)
    mapping_key = mapping.pk
    mapping.delete()
    mapping.pk = mapping_key
    allowed = {_scope(one) for one in tenant.role_mappings.all()}
    over = [one for one in roles_given_by(tenant) if _scope(one) not in allowed]
    kept = end_roles_from(tenant, over)
    record_audit_event(
        mapping,
        action=AuditAction.APP_ROLE_UNMAPPED,
        by=by,
        partner_account=tenant.partner_account,
        before=described,
        after=_kept(kept),
    )
    emails.company_sign_in_changed(tenant, news="unmapped", mapping=mapping)


def roles_given_by(
    tenant: CompanyTenant, user: User | None = None
) -> list[RoleAssignment]:
    """Return what a tenant gave and nobody ended, by person; of one person or all."""
    given = RoleAssignment.objects.filter(tenant=tenant, revoked_at=None)
    if user is not None:
        given = given.filter(user=user)
    return list(
        given.select_related("user", "partner_account", "location", "program").order_by(
            "user_id", "pk"
        )
    )


def end_roles_from(
    tenant: CompanyTenant, over: Iterable[RoleAssignment]
) -> list[RoleAssignment]:
    """End roles that a tenant gave; return those kept, the last Global admin's (rule 75).

    Hold the company's lock.
    """
    kept = []
    by_person: dict[int, list[RoleAssignment]] = {}
    for assignment in over:
        by_person.setdefault(assignment.user_id, []).append(assignment)
    for roles in by_person.values():
        ended = []
        for assignment in roles:
            try:
                check_revoking(assignment, by=None)
            except ValidationError:
                kept.append(assignment)
            else:
                ended.append(assignment)
        end_assignments(ended, by=None)
    return kept


def _links_of(tenant: CompanyTenant):
    return SocialAccount.objects.filter(provider=tenant.provider_id)


def _scope(
    row: RoleAssignment | TenantRoleMapping,
) -> tuple[str, int | None, int | None]:
    return row.role, row.location_id, row.program_id


def _set_domains(tenant: CompanyTenant, domains: Iterable[str]) -> None:
    wanted = {normalize_domain(domain) for domain in domains}
    if not wanted:
        raise ValidationError({"domains": _("Enter at least one domain.")})
    foreign = sorted(wanted - set(tenant.partner_account.email_domains))
    if foreign:
        raise ValidationError(
            {
                "domains": _(
                    "%(domains)s is not among the e-mail domains of %(company)s. People "
                    "with such addresses are guests, whom a directory cannot add."
                )
                % {
                    "domains": ", ".join(foreign),
                    "company": tenant.partner_account.name,
                }
            }
        )
    taken = TenantDomain.objects.filter(domain__in=wanted).exclude(tenant=tenant)
    if taken.exists():
        raise ValidationError(
            {
                "domains": _("Another sign-in answers for %(domain)s already.")
                % {"domain": taken.order_by("domain").first().domain}
            }
        )
    tenant.domains.exclude(domain__in=wanted).delete()
    held = set(tenant.domains.values_list("domain", flat=True))
    for domain in sorted(wanted - held):
        TenantDomain.objects.create(tenant=tenant, domain=domain)


def _described(tenant: CompanyTenant) -> dict[str, Any]:
    return {
        "tenant": str(tenant.tenant_id),
        "issuer": tenant.issuer,
        "client": tenant.client_id,
        "mfa_context": tenant.mfa_context,
        "domains": sorted(tenant.domains.values_list("domain", flat=True)),
    }


def _mapping_described(mapping: TenantRoleMapping) -> dict[str, Any]:
    return {
        "app_role": mapping.app_role,
        "role": mapping.role,
        "location": mapping.location_id,
        "program": mapping.program_id,
    }


def _kept(kept: list[RoleAssignment]) -> dict[str, Any]:
    """What is said of the last Global admin, who stays one."""
    return {"kept": [one.pk for one in kept]} if kept else {}


def _refuse_unless(permission: str, by: User) -> None:
    if not (by.is_staff and by.has_perm(permission)):
        raise ValidationError(
            _("Only operators who manage company sign-ins can do this."),
            code="not_managing_sign_ins",
        )
