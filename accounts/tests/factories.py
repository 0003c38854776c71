"""Companies, places, people and roles for tests: valid by default, minimal."""

import factory

from accounts.models import (
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Role

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
        Membership.objects.get_or_create(
            user=assignment.user,
            partner_account=assignment.partner_account,
            ended_at=None,
        )
