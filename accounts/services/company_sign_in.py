"""Signing in through a company's directory: whom it means, and what its table gives.

What the directory says has been proved before (id_tokens.py); here it is decided what
follows from it. Roles are re-read at each sign-in: what the table gives for the app roles
of this moment is held, what it gave before and does not now is ended, and nothing else is
touched.
"""

from allauth.socialaccount.models import SocialAccount
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import emails
from accounts.identities import Identity, SignInRefused
from accounts.models import (
    AuditAction,
    CompanyTenant,
    Membership,
    RoleAssignment,
    RoleSource,
    TenantRoleMapping,
    User,
)
from accounts.scoping import today
from accounts.services.audit import acting_as, record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.granting import assign_roles
from accounts.services.people import add_person
from accounts.services.roles import refuse_guest
from accounts.services.tenants import end_roles_from, roles_given_by
from accounts.text import clean_line, normalize_email

# Who acts where a directory does, in the trail.
MACHINE = "Microsoft Entra ID"
NAME_LENGTH = 120


@transaction.atomic
def sign_in_by_tenant(
    tenant: CompanyTenant, identity: Identity, *, language: str = "en"
) -> User:
    """Return whom a directory's identity is, with the roles the table gives now.

    A person is known by the link to the directory's own key, never by an address.
    Somebody new is added when the table gives them a role and their address is of a
    domain the tenant answers for; they read `language`. Raises SignInRefused with the reason "known" when the
    address is somebody's who has not connected it, "no_role" or "guest" when nobody is
    added, "left" when the person does not belong to the company any more, "elsewhere"
    when other companies depend on the account too, "operator" and "inactive".
    """
    lock_companies(tenant.partner_account_id)
    tenant = CompanyTenant.objects.active().filter(pk=tenant.pk).first()
    if tenant is None:
        raise SignInRefused("tenant", "not active")
    with acting_as(MACHINE):
        link = _link(tenant, identity)
        user = (
            _added(tenant, identity, language=language) if link is None else link.user
        )
        refuse_stranger(tenant, user)
        _sync_roles(tenant, user, identity)
        if link is not None:
            # When it was last used.
            link.save(update_fields=["last_login"])
    return user


@transaction.atomic
def connect_sign_in(
    tenant: CompanyTenant, identity: Identity, *, by: User
) -> SocialAccount:
    """Let a directory sign a person in who has just proved who they are here.

    Connecting twice changes nothing; another account there takes the place of the one
    before. Raises ValidationError when the account there is somebody else's here, and
    SignInRefused as sign_in_by_tenant does.
    """
    lock_companies(tenant.partner_account_id)
    refuse_stranger(tenant, by)
    link = _link(tenant, identity)
    if link is not None and link.user_id != by.pk:
        raise ValidationError(
            _("This Microsoft account is connected with somebody else's account here."),
            code="taken",
        )
    if link is not None:
        return link
    _links_of(by, tenant).delete()
    return _connected(tenant, by, identity, by=by)


@transaction.atomic
def disconnect_sign_in(tenant: CompanyTenant, *, by: User) -> None:
    """Let a directory no longer sign a person in; the roles it gave them end.

    Doing it twice changes nothing. Raises ValidationError when that would leave the
    company without a Global admin (rule 75).
    """
    lock_companies(tenant.partner_account_id)
    if not _links_of(by, tenant).exists():
        return
    if end_roles_from(tenant, roles_given_by(tenant, by)):
        raise ValidationError(
            _(
                "You are the last Global admin, and your company's directory made you "
                "one. Give somebody else the role first, without a last day."
            ),
            code="last_global_admin",
        )
    _links_of(by, tenant).delete()
    record_audit_event(
        by,
        action=AuditAction.SIGN_IN_DISCONNECTED,
        by=by,
        partner_account=tenant.partner_account,
        before={"person": by.pk, "tenant": str(tenant.tenant_id)},
    )
    emails.second_factor_changed(by, news="company_disconnected", name=tenant.label)


@transaction.atomic
def note_refused_sign_in(
    tenant: CompanyTenant, refusal: SignInRefused, identity: Identity | None
) -> None:
    """Write down that a directory's word was not believed, or that it let nobody in.

    `identity` is whom it proved to mean, if it did; the trail keeps its own key of them.
    """
    with acting_as(MACHINE):
        record_audit_event(
            tenant,
            action=AuditAction.SIGN_IN_REFUSED,
            by=None,
            partner_account=tenant.partner_account,
            after={
                "reason": refusal.reason,
                "detail": refusal.detail,
                "object_id": identity.oid if identity else "",
            },
        )


def refuse_stranger(tenant: CompanyTenant, user: User) -> None:
    """Raise SignInRefused unless a company's directory may speak for the person.

    Operators never come in through a company's tenant; and whoever belongs to another
    company too does not, for that company's data would hang on this one's directory.
    """
    if user.is_staff:
        raise SignInRefused("operator")
    if not user.is_active:
        raise SignInRefused("inactive")
    companies = set(
        Membership.objects.filter(user=user, ended_at=None).values_list(
            "partner_account_id", flat=True
        )
    )
    if tenant.partner_account_id not in companies:
        raise SignInRefused("left")
    if len(companies) > 1:
        raise SignInRefused("elsewhere")


def _link(tenant: CompanyTenant, identity: Identity) -> SocialAccount | None:
    return (
        SocialAccount.objects.filter(provider=tenant.provider_id, uid=identity.oid)
        .select_related("user")
        .first()
    )


def _links_of(user: User, tenant: CompanyTenant):
    return SocialAccount.objects.filter(provider=tenant.provider_id, user=user)


def _connected(
    tenant: CompanyTenant, user: User, identity: Identity, *, by: User | None
) -> SocialAccount:
    # Nothing the directory said of the person is kept but its key for them.
    link = SocialAccount.objects.create(
        user=user, provider=tenant.provider_id, uid=identity.oid, extra_data={}
    )
    record_audit_event(
        user,
        action=AuditAction.SIGN_IN_CONNECTED,
        by=by,
        partner_account=tenant.partner_account,
        after={"person": user.pk, "tenant": str(tenant.tenant_id)},
    )
    if by is not None:
        emails.second_factor_changed(user, news="company_connected", name=tenant.label)
    return link


def _added(tenant: CompanyTenant, identity: Identity, *, language: str) -> User:
    """Add somebody new whom the table gives a role; refuse everybody else."""
    addresses = _own_addresses(tenant, identity)
    # Of other domains it is not even said whether somebody here has the address.
    if not addresses:
        raise SignInRefused("guest")
    if User.objects.filter(email__in=addresses).exists():
        raise SignInRefused("known")
    if not _mappings(tenant, identity):
        raise SignInRefused("no_role")
    address = addresses[0]
    user = add_person(
        tenant.partner_account,
        email=address,
        full_name=_name(identity) or address.partition("@")[0],
        language=language,
        by=None,
    )
    _connected(tenant, user, identity, by=None)
    return user


def _own_addresses(tenant: CompanyTenant, identity: Identity) -> list[str]:
    """The person's addresses that the tenant answers for, the likeliest first."""
    domains = set(tenant.domains.values_list("domain", flat=True))
    return [
        address
        for address in _normalized(identity.addresses)
        if address.rpartition("@")[2] in domains
    ]


def _normalized(addresses: tuple[str, ...]) -> list[str]:
    found = []
    for address in addresses:
        try:
            found.append(normalize_email(address))
        except ValidationError:
            continue
    return found


def _name(identity: Identity) -> str:
    try:
        return clean_line(identity.full_name[:NAME_LENGTH], max_length=NAME_LENGTH)
    except ValidationError:
        return ""


def _mappings(tenant: CompanyTenant, identity: Identity) -> list[TenantRoleMapping]:
    """Return the lines that hold; what waits for a second operator gives nothing."""
    lines = (
        tenant.role_mappings.filter(app_role__in=identity.app_roles)
        .select_related("location", "program")
        .order_by("pk")
    )
    return [one for one in lines if one.is_in_force]


def _sync_roles(tenant: CompanyTenant, user: User, identity: Identity) -> None:
    """Give what the table gives and is not held; end what this tenant gave before.

    A role the person cannot hold, a guest's (R14) or at a closed location, is not given
    and the others are. Neither is what waits for a second operator. The last Global
    admin stays one (rule 75).
    """
    account, day = tenant.partner_account, today()
    wanted = {}
    for one in _mappings(tenant, identity):
        if one.location is not None and one.location.closed_at is not None:
            continue
        try:
            refuse_guest(user.email, role=one.role, account=account)
        except ValidationError:
            continue
        wanted[one.role, one.location_id, one.program_id] = one
    held = {
        (one.role, one.location_id, one.program_id)
        for one in RoleAssignment.objects.filter(
            user=user, partner_account=account, revoked_at=None
        ).order_by("pk")
        if not one.is_over(day)
    }
    # First the new ones: a Global admin may take over from another.
    for scope, one in sorted(wanted.items(), key=lambda item: str(item[0])):
        if scope in held:
            continue
        assign_roles(
            user,
            role=one.role,
            account=account,
            locations=[one.location] if one.location else [],
            programs=[one.program] if one.program else [],
            source=RoleSource.ENTRA,
            tenant=tenant,
            by=None,
        )
    # What waits again, for the directory was changed, ends nothing either.
    waiting = {
        (one.role, one.location_id, one.program_id)
        for one in tenant.role_mappings.waiting().filter(
            app_role__in=identity.app_roles
        )
    }
    over = [
        one
        for one in roles_given_by(tenant, user)
        if (one.role, one.location_id, one.program_id) not in {*wanted, *waiting}
    ]
    end_roles_from(tenant, over)
