"""Every door where a second person decides: nobody comes through by an own act.

A right that somebody gave themselves never makes them the second person (security.md
T1, T3). Each door is tried with it, and again with the rule off: then it opens.
"""

import ast
import types
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts import services as accounts
from accounts.directory import directory_people
from accounts.models import AuditEvent, FactorReset, RecoveryRequest
from accounts.roles import Role
from accounts.services import second_person
from accounts.tests.cases import tried
from accounts.tests.factories import (
    CompanyTenantFactory,
    GroupMappingFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.second_factors import give_app
from enrollment import services as enrollments
from enrollment.models import ValueImport
from enrollment.tests.factories import EnrollmentFactory
from enrollment.tests.test_renewal import World, made
from enrollment.tests.year_end import run
from profiles import services as profiles
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db

BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
OTHER_IBAN = "SE4550000000058398257466"
DECIDING = ["Validator", "Approver", "Identity manager"]


@pytest.fixture
def otto():
    """An operator who put himself into every group that decides."""
    otto = accounts.add_operator(email="otto@owner.example", full_name="Otto Own")
    return accounts.add_operator(
        email=otto.email, full_name=otto.full_name, groups=DECIDING, by=otto
    )


@pytest.fixture
def iris():
    iris = UserFactory(full_name="Iris Ahl", operator=True)
    iris.groups.set(Group.objects.filter(name="Identity manager"))
    return iris


@pytest.fixture
def world(nordvik, goteborg, ida, oscar, lucia, mina, iris):
    """What waits at each door, made when it is asked for."""
    paid_before = BankProfileFactory(partner_account=nordvik, created_by=ida)
    details = {**BANK_DETAILS, "iban": OTHER_IBAN}

    def further_account():
        """Another account of a company that was paid before: one operator."""
        return BankProfileFactory(
            partner_account=nordvik, created_by=ida, version__pending=True
        ).versions.get()

    def changed_account():
        profiles.revise_bank_profile(paid_before, country="SE", details=details, by=ida)
        return paid_before.versions.get(number=2)

    def signed_account():
        return profiles.approve_version(changed_account(), by=oscar)

    def stopped_change():
        return profiles.stop_change(changed_account(), by=ida)

    def checked_change():
        stopped = stopped_change()
        evidence = "Called them on the number we have had for years."
        profiles.check_stopped_change(stopped, evidence=evidence, by=oscar)
        return stopped

    def escalated():
        version = further_account()
        return profiles.escalate_version(version, text="Are they known?", by=oscar)

    def tax():
        return TaxProfileFactory(
            location=goteborg, created_by=ida, version__pending=True
        ).versions.get()

    def enrollment():
        return EnrollmentFactory(
            location=goteborg,
            submitted=True,
            submitted_by=ida,
            payout__bank_profile=paid_before,
            payout__tax_profile=TaxProfileFactory(location=goteborg, created_by=ida),
            payout__currency="SEK",
        )

    def recovery():
        return RecoveryRequestFactory(partner_account=nordvik)

    def checked_recovery():
        asked = recovery()
        accounts.review_recovery(asked, evidence="The register.", by=iris)
        RecoveryRequest.objects.update(asked_at=asked.asked_at - timedelta(days=3))
        return RecoveryRequest.objects.get()

    def lost_factor():
        give_app(ida)
        return accounts.request_factor_reset(nordvik, reason="Lost.", by=ida)

    def vouched_factor():
        """By an admin of the company; the person had a day to stop it."""
        admin = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN, partner_account=nordvik
        ).user
        reset = accounts.vouch_for_person(lost_factor(), evidence="Met.", by=admin)
        FactorReset.objects.update(asked_at=reset.asked_at - timedelta(days=1))
        return reset

    def app_role():
        tenant = CompanyTenantFactory(partner_account=nordvik)
        return accounts.map_app_role(
            tenant, app_role="Boss", role=Role.GLOBAL_ADMIN, by=iris
        )

    def plan():
        _enrollment, year = made(World())
        rehearsed = enrollments.rehearse_renewals(year, by=mina, at=BEFORE)
        return enrollments.propose_renewals(rehearsed, by=mina)

    def run_to_undo():
        proposed = plan()
        approved = enrollments.approve_renewals(
            proposed, digest=proposed.digest, by=lucia
        )
        return enrollments.ask_to_undo(run(approved), reason="Wrong terms.", by=mina)

    def end_set_aside():
        ended, year = made(World(agreement=None))
        rehearsed = enrollments.rehearse_renewals(year, by=mina, at=BEFORE)
        return rehearsed.set_aside.create(
            enrollment=ended, planned="enrolled", found="no_agreement"
        )

    def held_import():
        return ValueImport.objects.create(
            status="held", imported_by=mina, accepted=1, changed=1, rejected=0
        )

    return types.SimpleNamespace(**locals())


def returned(field: str, code: str) -> list[dict[str, str]]:
    return [{"field": field, "code": code, "note": ""}]


DOORS = {
    "a further bank account": (
        "further_account",
        lambda row, by: profiles.approve_version(row, by=by),
    ),
    "the first approval of a change": (
        "changed_account",
        lambda row, by: profiles.approve_version(row, by=by),
    ),
    "the second approval": (
        "signed_account",
        lambda row, by: profiles.approve_version(row, by=by),
    ),
    "checking a stopped change": (
        "stopped_change",
        lambda row, by: profiles.check_stopped_change(
            row, evidence="Called them on the number of before.", by=by
        ),
    ),
    "releasing a stopped change": (
        "checked_change",
        lambda row, by: profiles.release_change(row, by=by),
    ),
    "a tax profile": ("tax", lambda row, by: profiles.approve_version(row, by=by)),
    "returning": (
        "further_account",
        lambda row, by: profiles.return_version(
            row, returned=returned("account_holder", "BANK_NAME_MISMATCH"), by=by
        ),
    ),
    "asking the partner": (
        "further_account",
        lambda row, by: profiles.ask_partner(
            row, text="Since when is it yours?", by=by
        ),
    ),
    "answering what was escalated": (
        "escalated",
        lambda row, by: profiles.answer_question(row, answer="We know them.", by=by),
    ),
    "confirming for an enrollment": (
        "enrollment",
        lambda row, by: enrollments.confirm_payout(row, part="bank", by=by),
    ),
    "checking evidence": (
        "recovery",
        lambda row, by: accounts.review_recovery(row, evidence="Seen.", by=by),
    ),
    "appointing": (
        "checked_recovery",
        lambda row, by: accounts.appoint_recovered(row, by=by),
    ),
    "vouching where nobody in the company can": (
        "lost_factor",
        lambda row, by: accounts.vouch_for_person(row, evidence="Called.", by=by),
    ),
    "resetting second factors": (
        "vouched_factor",
        lambda row, by: accounts.reset_second_factors(row, by=by),
    ),
    "an app role that makes admins": (
        "app_role",
        lambda row, by: accounts.approve_app_role(row, by=by),
    ),
    "the year end": (
        "plan",
        lambda row, by: enrollments.approve_renewals(row, digest=row.digest, by=by),
    ),
    "a held import": (
        "held_import",
        lambda row, by: enrollments.release_import(row, reason="Right.", by=by),
    ),
    "ending what was planned to continue": (
        "end_set_aside",
        lambda row, by: enrollments.decide_set_aside(
            row, apply=True, reason="No agreement.", by=by
        ),
    ),
    "undoing the year end": (
        "run_to_undo",
        lambda row, by: enrollments.approve_undoing(row, by=by),
    ),
}
# Where the services ask: a door that is missing above is missing here.
ASKING = {
    "accounts/services/factor_resets.py": {
        "_refuse_unless_deciding",
        "reset_second_factors",
    },
    "accounts/services/recovery.py": {"_refuse_unless_deciding", "appoint_recovered"},
    "accounts/services/tenants.py": {"approve_app_role"},
    "enrollment/services/enrollments.py": {"confirm_payout"},
    "enrollment/services/imports.py": {"release_import"},
    "enrollment/services/renewals.py": {"_check_ending", "approve_renewals"},
    "enrollment/services/undoing.py": {"approve_undoing"},
    "profiles/services/approvals.py": {"check_approving"},
    "profiles/services/reviewing.py": {"answer_question"},
    "profiles/services/rights.py": {"refuse_own"},
    "profiles/services/stops.py": {"release_change"},
}


# Here an admin of the company is the first of two, by a role that others gave.
FIRST_IN_THE_COMPANY = "vouching where nobody in the company can"


@pytest.mark.parametrize("door", DOORS)
def test_a_right_given_to_oneself_decides_nothing(door, world, otto, monkeypatch):
    what, decide = DOORS[door]
    row = getattr(world, what)()
    events = AuditEvent.objects.count()

    with pytest.raises(ValidationError) as refused:
        decide(row, otto)

    assert refused.value.code == "own_act"
    assert AuditEvent.objects.count() == events
    # The control: without the rule the same door opens.
    monkeypatch.setattr(second_person, "is_by_own_act", lambda *anything: False)
    decide(row, otto)
    assert AuditEvent.objects.filter(actor=otto).count() > 1


def test_no_role_in_a_company_makes_one_the_second_person(world, nordvik, greta):
    # Whether somebody else gave it, or she herself.
    for door in sorted(set(DOORS) - {FIRST_IN_THE_COMPANY}):
        with tried(door):
            for role, by in (
                (Role.ACCOUNT_ADMIN, None),
                (Role.INCENTIVES_ADMIN, greta),
            ):
                accounts.assign_role(greta, role=role, account=nordvik, by=by)
            what, decide = DOORS[door]

            with pytest.raises(ValidationError) as refused:
                decide(getattr(world, what)(), greta)

            assert refused.value.code == "not_operator"


@pytest.mark.parametrize("road", ["a page", "a group they connected", "an own key"])
def test_an_admin_by_an_own_act_does_not_vouch_for_a_colleague(
    road, world, nordvik, greta, alice
):
    account_admin = {"role": Role.ACCOUNT_ADMIN, "account": nordvik}
    if road == "a page":
        accounts.assign_role(greta, **account_admin, by=greta)
    else:
        maker = greta if road == "a group they connected" else alice
        GroupMappingFactory(
            partner_account=nordvik,
            group_name="Bosses",
            role=Role.ACCOUNT_ADMIN,
            created_by=maker,
        )
        with accounts.acting_as("SCIM", on_behalf_of=greta if maker == alice else None):
            accounts.add_directory_group(
                nordvik,
                display_name="Bosses",
                members=[directory_people(nordvik).get(user=greta).pk],
            )
    greta.role_assignments.filter(role=Role.GLOBAL_ADMIN).update(
        revoked_at=timezone.now()
    )
    reset = world.lost_factor()
    assert greta.role_assignments.live().get().role == Role.ACCOUNT_ADMIN

    with pytest.raises(ValidationError) as refused:
        accounts.vouch_for_person(reset, evidence="Met.", by=greta)

    assert refused.value.code == "not_vouching"
    # The control: with the role from somebody else she vouches.
    greta.role_assignments.live().update(granted_by=alice)
    assert (
        accounts.vouch_for_person(reset, evidence="Met.", by=greta).vouched_by == greta
    )


def test_no_door_is_missing_here():
    asking: dict[str, set[str]] = {}
    for path in sorted(settings.BASE_DIR.glob("*/services/**/*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and any(
                isinstance(one, ast.Call)
                and getattr(one.func, "id", "") == "check_second_person"
                for one in ast.walk(function)
            ):
                name = path.relative_to(settings.BASE_DIR).as_posix()
                asking.setdefault(name, set()).add(function.name)

    assert asking == ASKING


def test_what_somebody_else_gave_counts_beside_what_one_gave_oneself(otto, mina):
    assert second_person.is_by_own_act(otto, profiles.VALIDATE)

    otto.groups.remove(Group.objects.get(name="Validator"))
    accounts.add_operator(
        email=otto.email, full_name=otto.full_name, groups=["Validator"], by=mina
    )

    assert not second_person.is_by_own_act(otto, profiles.VALIDATE)
    assert not second_person.is_by_own_act(otto, profiles.REVIEW)
    assert second_person.is_by_own_act(otto, profiles.APPROVE_ACCOUNTS)


def test_who_is_superuser_by_somebody_else_decides(otto):
    root = accounts.add_operator(
        email="rut@owner.example", full_name="Rut Root", is_superuser=True
    )
    accounts.add_operator(
        email=root.email, full_name=root.full_name, groups=["Approver"], by=root
    )

    assert not second_person.is_by_own_act(root, profiles.APPROVE_ACCOUNTS)
