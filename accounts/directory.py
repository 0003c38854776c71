"""Whom a company's directory sees: its people, who is in which group, who signs in."""

from dataclasses import dataclass

from allauth.socialaccount.models import SocialAccount
from django.db.models import (
    CharField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce

from accounts.models import (
    CompanyTenant,
    DirectoryGroup,
    DirectoryGroupMember,
    DirectoryPerson,
    GroupMapping,
    Membership,
    PartnerAccount,
    User,
)
from accounts.models.tenants import CompanyTenantQuerySet
from accounts.roles import INCENTIVE_ROLES, Role


@dataclass(frozen=True)
class RoleByGroup:
    """A role in one scope that somebody holds for being in a group."""

    user_id: int
    role: Role
    location_id: int | None
    program_id: int | None


def linked_tenants(user: User, *, oid: str = "") -> CompanyTenantQuerySet:
    """Return the tenants a person has connected; of one account there, if it is said."""
    links = SocialAccount.objects.filter(user=user)
    if oid:
        links = links.filter(uid=oid)
    keys = list(links.order_by("pk").values_list("provider", flat=True))
    return CompanyTenant.objects.filter(pk__in=keys)


def directory_people(account: PartnerAccount) -> QuerySet[Membership]:
    """Return one membership a person: the first one in the company, whose key stays.

    Everybody who belongs or belonged to the company is there, added by whomever, except
    for those the directory removed. `is_here` tells who belongs to it now; `user_name`
    and `external_id` are what the directory calls them, else their address.
    """
    same_person = Membership.objects.of_company(account).filter(user=OuterRef("user"))
    entries = DirectoryPerson.objects.of_company(account).filter(user=OuterRef("user"))
    return (
        Membership.objects.of_company(account)
        .annotate(
            is_here=Exists(same_person.filter(ended_at=None)),
            user_name=Coalesce(
                Subquery(entries.values("user_name")),
                F("user__email"),
                output_field=CharField(),
            ),
            external_id=Coalesce(Subquery(entries.values("external_id")), Value("")),
        )
        .filter(
            Q(is_here=True) | ~Exists(entries.filter(removed_at__isnull=False)),
            ~Exists(same_person.filter(pk__lt=OuterRef("pk"))),
        )
        .select_related("user")
        .order_by("pk")
    )


def roles_by_group(account: PartnerAccount) -> dict[RoleByGroup, set[int | None]]:
    """Return the roles that the groups give to those who belong to the company now.

    With each, the keys of who connected the groups that give it with the role.
    """
    mappings = list(GroupMapping.objects.of_company(account))
    if not mappings:
        return {}
    meant = {
        group.pk: [mapping for mapping in mappings if mapping.names(group)]
        for group in DirectoryGroup.objects.of_company(account).current()
    }
    members = DirectoryGroupMember.objects.filter(
        group__in=[key for key, found in meant.items() if found],
        user__in=Membership.objects.current().of_company(account).values("user"),
    )
    given: dict[RoleByGroup, set[int | None]] = {}
    for group, user in members.values_list("group_id", "user_id"):
        for one in meant[group]:
            role = RoleByGroup(user, Role(one.role), one.location_id, one.program_id)
            given.setdefault(role, set()).add(one.created_by_id)
    return given


def guests_without_their_role(account: PartnerAccount) -> list[Membership]:
    """Return the people in groups with an incentive role that guests cannot hold (R14)."""
    wanting = {
        wanted.user_id
        for wanted in roles_by_group(account)
        if wanted.role in INCENTIVE_ROLES
    }
    members = Membership.objects.current().of_company(account).filter(user__in=wanting)
    return [
        member
        for member in members.select_related("user").order_by(
            "user__full_name", "user_id"
        )
        if not account.welcomes(member.user.email)
    ]
