"""The cast of people every test uses: a company, its locations, operators, a stranger.

conftest.py hands tests one of them at a time; a file whose tests share one world makes
all of them at once.
"""

import types

from django.contrib.auth.models import Group

from accounts.models import IncentiveProgram, Location, PartnerAccount, User
from accounts.roles import Role
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)


def nordvik() -> PartnerAccount:
    return PartnerAccountFactory(
        partner_id="5012001", name="Nordvik IT AB", legal_name="Nordvik IT AB"
    )


def goteborg(company: PartnerAccount) -> Location:
    return LocationFactory(
        partner_account=company, partner_id="6120102", name="Göteborg"
    )


def malmo(company: PartnerAccount) -> Location:
    return LocationFactory(partner_account=company, partner_id="6120103", name="Malmö")


def program() -> IncentiveProgram:
    return IncentiveProgramFactory(
        code="CSP-DB", name="Cloud Solution Provider – Direct Bill"
    )


def _person(name: str) -> User:
    return UserFactory(
        full_name=name, email=f"{name.split()[0].lower()}@partner.example"
    )


def _with_role(name: str, role: Role, company: PartnerAccount, **where) -> User:
    return RoleAssignmentFactory(
        user=_person(name), role=role, partner_account=company, **where
    ).user


def greta(company: PartnerAccount) -> User:
    return _with_role("Greta Voss", Role.GLOBAL_ADMIN, company)


def alice(company: PartnerAccount) -> User:
    return _with_role("Alice Berg", Role.ACCOUNT_ADMIN, company)


def ida(location: Location) -> User:
    return _with_role(
        "Ida Lund", Role.INCENTIVES_ADMIN, location.partner_account, location=location
    )


def uma(company: PartnerAccount) -> User:
    return _with_role("Uma Ek", Role.INCENTIVES_USER, company)


def lars(company: PartnerAccount) -> User:
    user = _person("Lars Ek")
    MembershipFactory(user=user, partner_account=company)
    return user


def sam() -> User:
    other = PartnerAccountFactory(
        name="Hanseatic Cloudworks GmbH",
        country="DE",
        email_domains=["stranger.example"],
    )
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Sam Stranger", email="sam@stranger.example"),
        role=Role.INCENTIVES_ADMIN,
        partner_account=other,
    ).user


def operator(name: str, *groups: str) -> User:
    user = UserFactory(
        full_name=name, email=f"{name.split()[0].lower()}@owner.example", operator=True
    )
    user.groups.add(*Group.objects.filter(name__in=groups))
    return user


def oscar() -> User:
    return operator("Oscar Sand", "Reader", "Validator")


def mina() -> User:
    return operator("Mina Okafor", "Reader", "Program manager")


def everybody(company: PartnerAccount, location: Location) -> types.SimpleNamespace:
    """Make all of them, but the second operator who validates."""
    return types.SimpleNamespace(
        greta=greta(company),
        alice=alice(company),
        ida=ida(location),
        uma=uma(company),
        lars=lars(company),
        sam=sam(),
        oscar=oscar(),
        mina=mina(),
    )
