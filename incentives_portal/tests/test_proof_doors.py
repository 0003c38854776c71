"""Every door that asks who it is anew, ten minutes after the last proof (T1, P3).

Changing where money goes, approving, giving or ending the role of all roles, and
changing how one signs in. A door that is missing here fails the last test.
"""

import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts import proof
from accounts.models import AuditEvent, TenantRoleMapping
from accounts.roles import PROVED_ROLES, Role
from accounts.tests import cast as people
from accounts.tests.factories import (
    PASSWORD,
    ColleagueInvitationFactory,
    CompanyTenantFactory,
    FactorResetFactory,
    GroupMappingFactory,
    ProvisioningTokenFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from enrollment.models import RenewalPlan, ValueImport
from enrollment.services import Effects
from enrollment.tests.factories import (
    EnrollmentFactory,
    FiscalYearFactory,
    ProgramTermsFactory,
    TermsDraftFactory,
)
from enrollment.versions import content_of
from incentives_portal.tests.addresses import every_address
from profiles.models import ReturnReason
from profiles.services import ask_partner, reason_seen, signature_of
from profiles.services.catalog import WORDS
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileDraftFactory,
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    PreparedPartFactory,
    TaxProfileFactory,
    TaxVersionFactory,
)

pytestmark = pytest.mark.django_db

START = 1_800_000_000
FRESH = timedelta(minutes=9, seconds=59)
STALE = timedelta(minutes=10, seconds=1)
ASKS = "/accounts/reauthenticate/"


@dataclass(frozen=True)
class Door:
    """An address, who posts to it, which row it is about, and what is sent."""

    name: str
    who: str
    row: Callable | None = None
    sent: Callable = lambda world: {}
    query: str = ""

    def address(self, world) -> str:
        keys = [self.row(world).pk] if self.row else []
        return reverse(self.name, args=keys) + self.query


SWEDEN = {"country": "SE"}


def approved(version) -> dict:
    return {"seen": signature_of(version)}


def evidence(world) -> dict:
    return {"evidence": "Called Maria on the number we have had since 2024."}


def returned(world) -> dict:
    return {"reason-1-reason": "street:ADDRESS_PO_BOX"}


def answered(world) -> dict:
    return {"question": world.question.pk, "answer": "It is for Göteborg."}


def reason_words() -> dict:
    words = dict.fromkeys(WORDS, "Say it better.")
    return words | {"code": "SAID_BETTER", "parts": ["bank"]}


def changed_words(world) -> dict:
    return reason_words() | {"seen": reason_seen(world.reason)}


def changed_bank(world):
    return BANK_DETAILS | SWEDEN | {"account_holder": "Nordvik Two AB"}


def highest(world):
    return {"person": world.lars.pk, "role": Role.GLOBAL_ADMIN, "width": "everywhere"}


def invited(world):
    return {
        "email": "new@partner.example",
        "full_name": "Nina New",
        "language": "en",
        **highest(world),
    }


def given_in_admin(world):
    return {
        "partner_account": world.nordvik.pk,
        "user": world.lars.pk,
        "role": Role.GLOBAL_ADMIN,
        "location": "",
        "program": "",
        "ends_on": "",
    }


# What is not sent yet leaves no trace in the trail.
DRAFTING = [
    Door(
        "profiles:new_bank", "ida", sent=lambda world: {"name": "New", "country": "SE"}
    ),
    Door("profiles:bank_account", "ida", sent=lambda world: BANK_DETAILS | SWEDEN),
    Door("profiles:bank_beneficiary", "ida", sent=lambda world: BANK_DETAILS | SWEDEN),
    Door("profiles:discard_bank", "ida"),
    Door("profiles:change_bank", "ida", lambda world: world.bank, lambda world: SWEDEN),
    Door("profiles:change_bank_account", "ida", lambda world: world.bank, changed_bank),
    Door(
        "profiles:change_bank_beneficiary",
        "ida",
        lambda world: world.bank,
        changed_bank,
    ),
    Door("profiles:discard_bank_change", "ida", lambda world: world.bank),
]
BANK_DATA = [
    Door(
        "profiles:check_bank",
        "ida",
        sent=lambda world: {"is_own_bank": "on", "is_authorized": "on"},
    ),
    Door(
        "profiles:check_bank_change",
        "ida",
        lambda world: world.bank,
        lambda world: {"is_own_bank": "on", "is_authorized": "on"},
    ),
    Door(
        "profiles:ask_part",
        "ida",
        lambda world: world.enrollment.location,
        lambda world: {
            "section": "bank",
            "full_name": "Fia",
            "email": "fia@finance.example",
            "language": "en",
        },
    ),
    Door(
        "profiles:part",
        "ida",
        lambda world: world.own_part,
        lambda world: {"bank_country": "SE"} | BANK_DETAILS,
    ),
    Door(
        "profiles:check_part",
        "ida",
        lambda world: world.filled_part,
        lambda world: {"name": "What Fia filled in"},
    ),
    Door(
        "profiles:show_bank_number",
        "ida",
        lambda world: world.bank,
        lambda world: {"reason": "Our bank asks for it."},
    ),
    Door("profiles:archive_bank", "ida", lambda world: world.spare),
    Door("profiles:withdraw_bank", "ida", lambda world: world.renamed),
    Door(
        "profiles:defaults",
        "ida",
        sent=lambda world: {
            "locations": [world.malmo.pk],
            "bank_profile": world.bank.pk,
            "currency": "SEK",
        },
    ),
    Door("profiles:remove_default", "ida", lambda world: world.default),
]
# It writes to the enrollment's own history: test_proof.py looks at what happens there.
CHOOSING = [
    Door(
        "enrollment:choose_bank",
        "ida",
        lambda world: world.unsent,
        lambda world: {"bank_profile": world.bank.pk},
    ),
    Door("enrollment:replace_bank", "ida", lambda world: world.bank),
]
APPROVING = [
    Door(
        "ops:approve_bank",
        "oscar",
        lambda world: world.bank_version,
        lambda world: approved(world.bank_version),
    ),
    Door(
        "ops:approve_tax",
        "oscar",
        lambda world: world.tax_version,
        lambda world: approved(world.tax_version),
    ),
    Door("ops:confirm", "oscar", lambda world: world.enrollment),
    Door(
        "ops:approve_renewal",
        "aino",
        lambda world: world.plan,
        lambda world: {"digest": "0" * 64},
    ),
    Door("ops:approve_undoing_renewal", "aino", lambda world: world.plan),
    Door("ops:decide_set_aside", "aino", lambda world: world.plan),
    Door("ops:release_change", "oscar", lambda world: world.bank_version),
    Door("ops:check_change", "oscar", lambda world: world.bank_version, evidence),
    # What is in force is out of force then; what waits is returned without it.
    Door("ops:return_bank", "oscar", lambda world: world.in_force, returned),
    Door("ops:return_tax", "oscar", lambda world: world.tax_in_force, returned),
    Door("ops:add_reason", "oscar", sent=lambda world: reason_words()),
    Door("ops:change_reason", "oscar", lambda world: world.reason, changed_words),
    Door(
        "ops:release_import",
        "aino",
        lambda world: world.value_import,
        lambda world: {"reason": "The owner changed what Gold asks for."},
    ),
]
ANSWERING = [
    Door("profiles:answer_bank", "ida", lambda world: world.asked.profile, answered),
    Door("profiles:answer_tax", "ida", lambda world: world.tax_asked.profile, answered),
]
# What is in force for every partner of a program, or ends it.
PROGRAMS = [
    Door(
        "ops:publish_draft",
        "mina",
        lambda world: world.terms_draft,
        lambda world: {"seen": Effects((), enrollments=0, mended=0).digest},
    ),
    Door(
        "ops:discontinue_program",
        "mina",
        lambda world: world.terms_draft.program,
        lambda world: {"seen": "0", "is_confirmed": "on"},
    ),
]
# Their role is said by what is sent, or by the row they are about.
BY_ROLE = [
    Door("accounts:assign", "greta", sent=highest),
    Door("accounts:preview", "greta", sent=highest),
    Door("accounts:invite", "greta", sent=invited),
    Door("accounts:preview_invitation", "greta", sent=invited),
    Door("accounts:resend_invitation", "greta", lambda world: world.offered),
    Door("accounts:revoke_invitation", "greta", lambda world: world.offered),
    Door("accounts:revoke", "greta", lambda world: world.second),
    Door("accounts:deactivate", "greta", lambda world: world.second_person),
]
ROLES = [
    *BY_ROLE,
    Door("admin:accounts_roleassignment_add", "greta", sent=given_in_admin),
    Door(
        "ops:review_recovery",
        "iris",
        lambda world: world.recovery,
        lambda world: {"evidence": "The company register."},
    ),
    Door("ops:appoint", "iris", lambda world: world.recovery),
    Door(
        "ops:review_recovery",
        "iris",
        lambda world: world.recovery,
        lambda world: {"evidence": "The record of their domain."},
    ),
    Door(
        "admin:accounts_roleassignment_delete",
        "greta",
        lambda world: world.second,
        lambda world: {"post": "yes"},
    ),
]
# What opens an account to whoever comes next.
FACTORS = [
    Door(
        "accounts:vouch",
        "greta",
        lambda world: world.factor_reset,
        lambda world: {"evidence": "Met her."},
    ),
    Door("ops:vouch", "iris", lambda world: world.factor_reset),
    Door("ops:reset_factors", "iris", lambda world: world.factor_reset),
]
# What can give every role without anybody pressing a button: SCIM and Entra ID.
DIRECTORY = [
    Door("accounts:create_token", "greta", sent=lambda world: {"name": "Entra"}),
    Door("accounts:replace_token", "greta", lambda world: world.token),
    Door("accounts:revoke_token", "greta", lambda world: world.token),
    Door("accounts:map_group", "greta"),
    Door("accounts:unmap_group", "greta", lambda world: world.group),
    Door("ops:register_sign_in", "iris"),
    Door("ops:change_sign_in", "iris", lambda world: world.tenant),
    Door("ops:stop_sign_in", "iris", lambda world: world.tenant),
    Door("ops:start_sign_in", "iris", lambda world: world.tenant),
    Door("ops:map_app_role", "iris", lambda world: world.tenant),
    Door("ops:approve_app_role", "iris", lambda world: world.app_role),
    Door("ops:unmap_app_role", "iris", lambda world: world.app_role),
]
SIGN_IN = [
    Door("company:connect", "ida"),
    Door("company:disconnect", "ida"),
    Door("mfa_activate_totp", "ida"),
    Door("mfa_deactivate_totp", "ida"),
    Door("mfa_add_webauthn", "ida"),
    Door("mfa_edit_webauthn", "ida", lambda world: world.passkey),
    Door("mfa_remove_webauthn", "ida", lambda world: world.passkey),
    Door("mfa_generate_recovery_codes", "ida"),
    Door("account_set_password", "ida"),
]
# A page to look at: profiles/tests/test_tax_pages.py asks who opens it.
ONLY_READ = {"profiles:tax_document"}
DOORS = [
    *DRAFTING, *BANK_DATA, *CHOOSING, *APPROVING, *ANSWERING, *PROGRAMS, *ROLES,
    *FACTORS, *DIRECTORY, *SIGN_IN,
]  # fmt: skip


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@shared
def made(db):
    """The cast and what the doors are about: made once."""
    with time_machine.travel(START, tick=False):
        return _made()


def _made():
    nordvik = people.nordvik()
    goteborg, malmo = people.goteborg(nordvik), people.malmo(nordvik)
    cast = people.everybody(nordvik, goteborg)
    RoleAssignmentFactory(user=cast.ida, partner_account=nordvik, location=malmo)
    bank = BankProfileFactory(partner_account=nordvik, created_by=cast.ida)
    waiting = BankProfileFactory(
        partner_account=nordvik, created_by=cast.ida, version__pending=True
    )
    renamed = BankProfileFactory(partner_account=nordvik, created_by=cast.ida)
    BankVersionFactory(profile=renamed, number=2, pending=True)
    tax = TaxProfileFactory(
        location=goteborg, created_by=cast.ida, version__pending=True
    )
    cast.iris = UserFactory(operator=True)
    cast.iris.groups.add(Group.objects.get(name="Identity manager"))
    cast.aino = UserFactory(operator=True)
    cast.aino.groups.add(Group.objects.get(name="Approver"))
    tenant = CompanyTenantFactory(partner_account=nordvik)
    second = RoleAssignmentFactory(
        partner_account=nordvik, role=Role.GLOBAL_ADMIN, granted_by=cast.greta
    )
    year = FiscalYearFactory()
    terms = ProgramTermsFactory(fiscal_year=year)
    asked = BankVersionFactory(
        profile__partner_account=nordvik, submitted_by=cast.ida, pending=True
    )
    tax_asked = TaxVersionFactory(
        profile__location=goteborg, submitted_by=cast.ida, pending=True
    )
    question = ask_partner(asked, text="Is it for Göteborg?", by=cast.oscar)
    ask_partner(tax_asked, text="Is it for Göteborg?", by=cast.oscar)
    BankProfileDraftFactory(partner_account=nordvik, created_by=cast.ida)
    BankProfileDraftFactory(
        partner_account=nordvik,
        profile=bank,
        name=bank.name,
        details=BANK_DETAILS | {"account_holder": "Nordvik Two AB"},
        created_by=cast.ida,
    )
    return types.SimpleNamespace(
        nordvik=nordvik,
        tenant=tenant,
        recovery=RecoveryRequestFactory(partner_account=nordvik),
        factor_reset=FactorResetFactory(partner_account=nordvik),
        app_role=TenantRoleMapping.objects.create(
            tenant=tenant,
            partner_account=nordvik,
            app_role="Incentives.Admin",
            role=Role.INCENTIVES_ADMIN,
        ),
        cast=cast,
        malmo=malmo,
        lars=cast.lars,
        bank=bank,
        renamed=renamed,
        spare=BankProfileFactory(partner_account=nordvik, created_by=cast.ida),
        bank_version=waiting.versions.get(),
        asked=asked,
        tax_asked=tax_asked,
        question=question,
        in_force=BankVersionFactory(profile__partner_account=nordvik),
        tax_in_force=TaxVersionFactory(profile__location=goteborg),
        reason=ReturnReason.objects.get(code="DOC_TOO_OLD"),
        tax_version=tax.versions.get(),
        default=DefaultBankProfileFactory(
            location=goteborg, bank_profile=bank, set_by=cast.ida
        ),
        enrollment=EnrollmentFactory(location=goteborg, submitted=True),
        unsent=EnrollmentFactory(location=goteborg, accepted=True),
        terms_draft=TermsDraftFactory(
            program=terms.program,
            fiscal_year=year,
            content=content_of(terms) | {"validation_hours": 72},
        ),
        own_part=PreparedPartFactory(location=goteborg, email=cast.ida.email),
        filled_part=PreparedPartFactory(
            location=goteborg, section="tax", filled=True, details=TAX_DETAILS
        ),
        value_import=ValueImport.objects.create(
            status="held",
            accepted=1,
            changed=1,
            rejected=0,
            difference={"ends": 1, "in_force": 4},
        ),
        plan=RenewalPlan.objects.create(into=year, number=1, known_on=year.starts_on),
        offered=ColleagueInvitationFactory(
            partner_account=nordvik, role=Role.GLOBAL_ADMIN, created_by=cast.greta
        ),
        second=second,
        second_person=second.user.memberships.get(),
        group=GroupMappingFactory(partner_account=nordvik, role=Role.GLOBAL_ADMIN),
        token=ProvisioningTokenFactory(partner_account=nordvik),
        passkey=cast.uma.authenticator_set.create(type="webauthn", data={"name": "K"}),
    )


@pytest.fixture
def world(made, clock):
    return made


@pytest.fixture
def cast(world):
    return world.cast


def is_asked(response) -> bool:
    return response.status_code == 302 and urlsplit(response.url).path == ASKS


def visit(door, cast, client_of, world, clock, after: timedelta):
    """Post to a door so long after signing in."""
    client = client_of(getattr(cast, door.who))
    clock.shift(after)
    return client.post(door.address(world), door.sent(world))


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_a_door_asks_who_it_is_and_does_nothing_before(
    door, cast, client_of, world, clock
):
    before = AuditEvent.objects.count()

    response = visit(door, cast, client_of, world, clock, STALE)

    assert is_asked(response)
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_who_just_proved_it_is_not_asked(door, cast, client_of, world, clock):
    assert not is_asked(visit(door, cast, client_of, world, clock, FRESH))


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_without_the_question_of_age_the_door_stands_open(
    door, cast, client_of, world, clock, monkeypatch
):
    # The control: nothing else asks at this door.
    monkeypatch.setattr(proof, "is_fresh", lambda request: True)

    assert not is_asked(visit(door, cast, client_of, world, clock, STALE))


@pytest.mark.parametrize(
    "door",
    [
        door
        for door in [
            *BANK_DATA,
            *APPROVING[:2],
            *APPROVING[-4:],
            *PROGRAMS,
            *ROLES[4:],
            *FACTORS,
        ]
        # They take another one's word first.
        if door.name not in ("ops:appoint", "ops:reset_factors", "ops:vouch")
    ],
    ids=lambda door: door.name,
)
def test_behind_the_door_something_happens(door, cast, client_of, world, clock):
    # Else a door that does nothing would pass the tests above.
    before = AuditEvent.objects.count()

    visit(door, cast, client_of, world, clock, FRESH)

    assert AuditEvent.objects.count() > before


@pytest.mark.parametrize("part", ["bank", "tax"])
def test_what_waits_is_returned_without_being_asked(
    cast, client_of, world, clock, part
):
    version = {"bank": world.bank_version, "tax": world.tax_version}[part]
    door = Door(f"ops:return_{part}", "oscar", lambda world: version, returned)

    assert not is_asked(visit(door, cast, client_of, world, clock, STALE))


@pytest.mark.parametrize("door", BY_ROLE, ids=lambda door: door.name)
def test_other_roles_are_given_without_being_asked(door, cast, client_of, world, clock):
    client = client_of(cast.greta)
    sent = door.sent(world)
    if "role" in sent:
        sent["role"] = Role.INCENTIVES_ADMIN
    if door.row:
        row = world.second if door.name == "accounts:deactivate" else door.row(world)
        type(row).objects.filter(pk=row.pk).update(role=Role.ACCOUNT_ADMIN)
    clock.shift(STALE)

    assert not is_asked(client.post(door.address(world), sent))


def test_the_role_of_all_roles_is_given_after_the_proof(cast, client_of, world, clock):
    lars = cast.lars
    client = client_of(cast.greta)
    page = reverse("accounts:assign")
    given = {
        "person": lars.pk,
        "role": Role.GLOBAL_ADMIN.value,
        "width": "company",
        "depth": "all",
    }
    preview = client.post(reverse("accounts:preview"), given)
    assert preview.status_code == 200, preview.context["form"].errors
    seen = preview.context["seen"]
    clock.shift(STALE)

    asked = client.post(
        page, given | {"seen": seen}, HTTP_REFERER=f"http://testserver{page}"
    )
    assert is_asked(asked)
    assert not lars.role_assignments.exists()
    done = client.post(ASKS, {"password": PASSWORD, "next": page})

    assert done.url == reverse("accounts:people")
    assert lars.role_assignments.get().role == Role.GLOBAL_ADMIN


def test_a_second_answer_does_not_hide_the_role(cast, client_of, world, clock):
    client = client_of(cast.greta)
    clock.shift(STALE)
    roles = [Role.GLOBAL_ADMIN, Role.INCENTIVES_ADMIN]

    for both in (roles, roles[::-1]):
        sent = highest(world) | {"role": both}
        assert is_asked(client.post(reverse("accounts:assign"), sent))


def test_looking_at_a_role_asks_for_nothing(cast, client_of, world, clock):
    client = client_of(cast.greta)
    clock.shift(STALE)

    address = reverse("accounts:revoke", kwargs={"pk": world.second.pk})
    assert client.get(address).status_code == 200


def test_the_role_of_all_roles_is_the_one():
    assert {Role.GLOBAL_ADMIN} == PROVED_ROLES


def test_no_door_is_missing_here():
    asking = {
        address.name
        for address in every_address()
        if getattr(address.view, "asks_for_proof", False)
    }

    assert asking - ONLY_READ == {door.name for door in DOORS if door not in BY_ROLE}
