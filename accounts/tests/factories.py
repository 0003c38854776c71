"""Companies, places, people and roles for tests: valid by default, minimal."""

import uuid
from datetime import timedelta

import factory
from django.utils import timezone

from accounts.link_tokens import fingerprint_of, token_for
from accounts.models import (
    AccessRequest,
    ColleagueInvitation,
    CompanyTenant,
    FactorReset,
    GroupMapping,
    IncentiveProgram,
    Location,
    Membership,
    OfferedPlace,
    PartnerAccount,
    ProvisioningToken,
    RecoveryRequest,
    RoleAssignment,
    User,
)
from accounts.roles import Role
from accounts.tests.second_factors import give_app

PASSWORD = "correct horse battery staple"


class PartnerAccountFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PartnerAccount

    partner_id = factory.Sequence(lambda n: f"50{n:05}")
    name = factory.Sequence(lambda n: f"Company {n}")
    legal_name = factory.LazyAttribute(lambda account: f"{account.name} AB")
    country = "SE"
    email_domains = ["partner.example"]


class LocationFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Location

    partner_account = factory.SubFactory(PartnerAccountFactory)
    partner_id = factory.Sequence(lambda n: f"61{n:05}")
    name = factory.Sequence(lambda n: f"Location {n}")
    legal_name = factory.LazyAttribute(lambda row: row.partner_account.legal_name)
    country = "SE"


class IncentiveProgramFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = IncentiveProgram

    code = factory.Sequence(lambda n: f"PROG-{n}")
    name = factory.Sequence(lambda n: f"Program {n}")


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@partner.example")
    full_name = factory.Sequence(lambda n: f"Person Number{n}")
    language = "en"
    password = factory.django.Password(PASSWORD)

    class Params:
        operator = factory.Trait(is_staff=True)


class MembershipFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    partner_account = factory.SubFactory(PartnerAccountFactory)


def belongs(user: User, company: PartnerAccount) -> None:
    """Make somebody a member of a company, who may be one already: one statement."""
    Membership.objects.bulk_create(
        [Membership(user=user, partner_account=company)], ignore_conflicts=True
    )


class CompanyTenantFactory(factory.django.DjangoModelFactory):
    """A tenant in the public cloud, with a secret and without domains."""

    class Meta:
        model = CompanyTenant

    partner_account = factory.SubFactory(PartnerAccountFactory)
    tenant_id = factory.LazyFunction(uuid.uuid4)
    issuer = factory.LazyAttribute(
        lambda row: f"https://login.microsoftonline.com/{row.tenant_id}/v2.0"
    )
    client_id = "portal"
    client_secret = "a secret"


class RoleAssignmentFactory(factory.django.DjangoModelFactory):
    """A role; its holder becomes a member of the company."""

    class Meta:
        model = RoleAssignment
        skip_postgeneration_save = True

    user = factory.SubFactory(UserFactory)
    role = Role.INCENTIVES_ADMIN
    partner_account = factory.SubFactory(PartnerAccountFactory)

    @factory.post_generation
    def membership(assignment, create, extracted, **kwargs):
        belongs(assignment.user, assignment.partner_account)


class ColleagueInvitationFactory(factory.django.DjangoModelFactory):
    """An open invitation for the whole company, by a Global admin of it."""

    class Meta:
        model = ColleagueInvitation
        skip_postgeneration_save = True

    partner_account = factory.SubFactory(PartnerAccountFactory)
    email = factory.Sequence(lambda n: f"colleague{n}@partner.example")
    full_name = factory.Sequence(lambda n: f"Colleague Number{n}")
    role = Role.INCENTIVES_ADMIN
    created_by = factory.LazyAttribute(
        lambda row: (
            RoleAssignmentFactory(
                role=Role.GLOBAL_ADMIN, partner_account=row.partner_account
            ).user
        )
    )
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=7))
    token_sha256 = factory.LazyAttribute(lambda row: fingerprint_of(token_for(row.id)))
    id = factory.LazyFunction(uuid.uuid4)

    @factory.post_generation
    def places(invitation, create, extracted, **kwargs):
        for location, program in extracted or [(None, None)]:
            OfferedPlace.objects.create(
                invitation=invitation, location=location, program=program
            )


class ProvisioningTokenFactory(factory.django.DjangoModelFactory):
    """A token in use; nobody knows what its hash is of."""

    class Meta:
        model = ProvisioningToken

    partner_account = factory.SubFactory(PartnerAccountFactory)
    name = factory.Sequence(lambda n: f"Directory {n}")
    token_sha256 = factory.Sequence(lambda n: f"{n:064x}")


class GroupMappingFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = GroupMapping

    partner_account = factory.SubFactory(PartnerAccountFactory)
    group_name = factory.Sequence(lambda n: f"Group {n}")
    role = Role.USER_ADMIN


class AccessRequestFactory(factory.django.DjangoModelFactory):
    """Somebody of a company asks for it as a whole."""

    class Meta:
        model = AccessRequest
        skip_postgeneration_save = True

    user = factory.SubFactory(UserFactory)
    partner_account = factory.SubFactory(PartnerAccountFactory)
    role = Role.INCENTIVES_USER

    @factory.post_generation
    def membership(request, create, extracted, **kwargs):
        belongs(request.user, request.partner_account)


class RecoveryRequestFactory(factory.django.DjangoModelFactory):
    """Somebody of a company asks the program owner to become Global admin."""

    class Meta:
        model = RecoveryRequest
        skip_postgeneration_save = True

    user = factory.SubFactory(UserFactory)
    partner_account = factory.SubFactory(PartnerAccountFactory)
    reason = "The last admin has left."

    @factory.post_generation
    def membership(recovery, create, extracted, **kwargs):
        belongs(recovery.user, recovery.partner_account)


class FactorResetFactory(factory.django.DjangoModelFactory):
    """Somebody of a company has lost every second factor."""

    class Meta:
        model = FactorReset
        skip_postgeneration_save = True

    user = factory.SubFactory(UserFactory)
    partner_account = factory.SubFactory(PartnerAccountFactory)
    reason = "The phone is gone."
    token_sha256 = factory.LazyFunction(lambda: fingerprint_of(uuid.uuid4().hex))

    @factory.post_generation
    def belongings(reset, create, extracted, **kwargs):
        if reset.partner_account is not None:
            belongs(reset.user, reset.partner_account)
        if not reset.user.authenticator_set.exists():
            give_app(reset.user)
