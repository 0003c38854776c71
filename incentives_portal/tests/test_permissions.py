"""The matrix: every address, every person, own, other, foreign and missing objects.

Generated from the URLconf: a new address without a row in permission_table.py fails.
"""

import re
import types
import uuid

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import outbox
from accounts.models import Location, RoleAssignment, TenantRoleMapping
from accounts.roles import Role
from accounts.tests.factories import (
    AccessRequestFactory,
    ColleagueInvitationFactory,
    CompanyTenantFactory,
    GroupMappingFactory,
    LocationFactory,
    MembershipFactory,
    ProvisioningTokenFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from enrollment.models import ProgramAtLocation
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    InvitationFactory,
    ProgramTermsFactory,
)
from incentives_portal.tests.addresses import every_address
from incentives_portal.tests.permission_table import (
    EVERYBODY,
    LIBRARIES,
    OPERATORS,
    PARTNERS,
    PUBLIC,
    PUBLIC_PREFIXES,
    TABLE,
    TOKEN_PREFIX,
)
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

ADDRESSES = {
    address.name: address
    for address in every_address()
    if not address.name.startswith((*LIBRARIES, *PUBLIC_PREFIXES, TOKEN_PREFIX))
    and address.name not in PUBLIC
}
DONE = {200, 302, 422}
# What every refusal says: the role or the group that is missing.
MISSING = re.compile("You need the role|This is for operators in the group")


def test_every_address_has_a_row_and_every_row_an_address():
    assert set(TABLE) == set(ADDRESSES)


def _objects(location, terms, open_terms, *, addressee):
    """One of everything at a location."""
    account = location.partner_account
    enrollment = EnrollmentFactory(
        location=location, terms=terms, accepted=True, accepted_by=addressee
    )
    bank_profile = BankProfileFactory(
        partner_account=account, version__pending=True, created_by=UserFactory()
    )
    tax_profile = TaxProfileFactory(
        location=location, version__pending=True, created_by=UserFactory()
    )
    mail = outbox.OutgoingEmail.objects.create(
        dedupe_key=f"mail:{location.pk}",
        name="invitation",
        to_user=addressee,
        to_address=addressee.email,
        language="en",
        subject="Hello",
        body_text="Hello",
        body_html="<p>Hello</p>",
        next_attempt_at=timezone.now(),
    )
    tenant = CompanyTenantFactory(partner_account=account)
    return types.SimpleNamespace(
        tenant=tenant,
        app_role=TenantRoleMapping.objects.create(
            tenant=tenant,
            partner_account=account,
            app_role="Incentives.Admin",
            role=Role.INCENTIVES_ADMIN,
        ),
        location=location,
        enrollment=enrollment,
        invitation=InvitationFactory(enrollment=enrollment, user=addressee),
        place=ProgramAtLocation.objects.get(location=location, terms=terms),
        open_place=ProgramAtLocation.objects.get(location=location, terms=open_terms),
        bank_profile=bank_profile,
        bank_version=bank_profile.versions.get(),
        tax_profile=tax_profile,
        tax_version=tax_profile.versions.get(),
        default=DefaultBankProfileFactory(location=location, bank_profile=bank_profile),
        role=RoleAssignmentFactory(
            user=UserFactory(), partner_account=account, location=location
        ),
        member=MembershipFactory(partner_account=account),
        access_request=AccessRequestFactory(partner_account=account),
        # At most one waits in a company.
        recovery=account.recovery_requests.first()
        or RecoveryRequestFactory(partner_account=account),
        colleague=ColleagueInvitationFactory(partner_account=account),
        token=ProvisioningTokenFactory(partner_account=account),
        mapping=GroupMappingFactory(partner_account=account),
        terms=terms,
        mail=mail,
    )


@pytest.fixture
def world(cast, goteborg, malmo, program, nordvik):
    """The cast with clients, and one of everything here, there and abroad."""
    terms = ProgramTermsFactory(program=program)
    open_terms = ProgramTermsFactory(open_to_all=True)
    AgreementFactory(partner_account=nordvik)
    revoked = RoleAssignmentFactory(
        user=UserFactory(full_name="Ravi Revoked", email="ravi@partner.example"),
        partner_account=nordvik,
        location=goteborg,
        revoked_at=timezone.now(),
    ).user
    reader = UserFactory(full_name="Rea Reader", operator=True)
    reader.groups.add(cast.oscar.groups.get(name="Reader"))
    iris = UserFactory(full_name="Iris Identity", operator=True)
    iris.groups.add(Group.objects.get(name="Identity manager"))
    people = vars(cast) | {"revoked": revoked, "reader": reader, "iris": iris}
    abroad = LocationFactory(country="DE")
    clients = {}
    for name in EVERYBODY:
        clients[name] = Client()
        clients[name].force_login(people[name])
    return types.SimpleNamespace(
        clients=clients,
        own=_objects(goteborg, terms, open_terms, addressee=cast.ida),
        other=_objects(malmo, terms, open_terms, addressee=UserFactory()),
        foreign=_objects(abroad, terms, open_terms, addressee=UserFactory()),
    )


def _path(name: str, row, target: str, world) -> str:
    address = ADDRESSES[name]
    if not address.parts:
        return reverse(name)
    if target == "missing":
        sample = getattr(world.own, row.on).pk
        missing = {int: 99_999_999, uuid.UUID: uuid.uuid4(), str: "9999-9999"}
        return reverse(name, kwargs={address.parts[0]: missing[type(sample)]})
    return reverse(
        name, kwargs={address.parts[0]: getattr(getattr(world, target), row.on).pk}
    )


def _expected(row, person: str, target: str) -> str:
    if row.yes == EVERYBODY:
        return "done"
    is_operator_page = any(one in OPERATORS for one in row.yes)
    if is_operator_page:
        if person not in OPERATORS:
            return "hidden"
        if person in row.no:
            return "refused"
        return "hidden" if target == "missing" else "done"
    if person in OPERATORS:
        return "led to the operators' pages" if row.yes == PARTNERS else "hidden"
    if not row.on:
        return "done" if person in row.yes else "refused"
    reaches = {
        "own": person in (*row.yes, *row.no),
        # Whoever works for the whole company reaches its other locations too.
        "other": person in (*row.yes, *row.no) and person in ("greta", "alice", "uma"),
        "foreign": False,
        "missing": False,
    }
    if not reaches[target]:
        return "hidden"
    return "done" if person in row.yes else "refused"


def _answer(response) -> str:
    if response.status_code == 302 and response["Location"].startswith(
        reverse("account_login")
    ):
        return "sent to sign in"
    if response.status_code == 302 and response["Location"] == reverse("ops:today"):
        return "led to the operators' pages"
    if response.status_code in DONE:
        return "done"
    return {403: "refused", 404: "hidden", 405: "wrong method"}.get(
        response.status_code, f"status {response.status_code}"
    )


def _targets(name: str, row) -> tuple[str, ...]:
    if not ADDRESSES[name].parts:
        return ("own",)
    if any(one in OPERATORS for one in row.yes):
        return ("own", "missing")
    if row.is_company_wide:
        return ("own", "foreign", "missing")
    return ("own", "other", "foreign", "missing")


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_person_gets_exactly_what_the_table_says(name, world):
    row = TABLE[name]
    # Missing and foreign first: what is done on one's own may use it up.
    targets = reversed(_targets(name, row))

    for target in targets:
        for method in row.methods:
            for person in sorted(EVERYBODY, key=lambda one: one in row.yes):
                response = world.clients[person].generic(
                    method, _path(name, row, target, world)
                )
                case = f"{person} {method} {name} on {target}"
                assert _answer(response) == _expected(row, person, target), case
                if method != "HEAD" and response.status_code == 403:
                    assert MISSING.search(response.content.decode()), case


@pytest.mark.parametrize("name", sorted(TABLE))
def test_nobody_gets_in_without_signing_in(name, world):
    row = TABLE[name]

    for target in _targets(name, row):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            response = Client().generic(method, _path(name, row, target, world))

            assert _answer(response) == "sent to sign in", f"{method} {name}"


@pytest.mark.parametrize("name", sorted(TABLE))
def test_other_methods_do_nothing_for_those_who_may(name, world):
    row = TABLE[name]
    person = row.yes[0]

    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - set(row.methods):
        response = world.clients[person].generic(method, _path(name, row, "own", world))

        # Who only looks at what can be done is led to what it is about.
        expected = 302 if method == "GET" else 405
        assert response.status_code == expected, f"{method} {name}"


@pytest.mark.parametrize(
    "name", sorted(name for name, row in TABLE.items() if "GET" not in row.methods)
)
def test_looking_at_what_can_be_done_leads_to_a_page(name, world):
    # A language chosen under an error, or a sign-in after the session's end, asks for
    # the address of the step itself.
    row = TABLE[name]
    client = world.clients[row.yes[0]]
    path = _path(name, row, "own", world)

    response = client.post(
        reverse("set_language"), {"language": "sv", "next": path}, follow=True
    )

    assert response.status_code == 200
    assert response.redirect_chain[0] == (path, 302)
    assert response.redirect_chain[-1][0] != path
    assert 'lang="sv"' in response.content.decode()


@pytest.mark.parametrize(
    "name", sorted(name for name, row in TABLE.items() if "POST" in row.methods)
)
def test_a_post_without_the_token_is_refused(name, world):
    row = TABLE[name]
    client = Client(enforce_csrf_checks=True)
    client.cookies = world.clients[row.yes[0]].cookies

    response = client.post(_path(name, row, "own", world))

    assert response.status_code == 403
    assert b"expired" in response.content or b"again" in response.content


@pytest.mark.parametrize("person", ["greta", "ida", "uma"])
def test_foreign_and_missing_look_the_same(person, world):
    # R16: no oracle.
    for name, row in TABLE.items():
        if not row.on or any(one in OPERATORS for one in row.yes):
            continue
        for method in row.methods:
            foreign, missing = (
                world.clients[person].generic(method, _path(name, row, target, world))
                for target in ("foreign", "missing")
            )

            assert foreign.status_code == missing.status_code == 404, name
            assert _without_request(foreign) == _without_request(missing), name


def _without_request(response) -> str:
    """What the page says, without the asked address and the token of the moment."""
    text = response.content.decode().replace(response.request["PATH_INFO"], "ADDRESS")
    return re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1TOKEN", text)


def test_the_matrix_would_notice_a_missing_scope(world, monkeypatch):
    # The control: without the scope, a stranger opens the enrollment.
    path = _path("enrollment:detail", TABLE["enrollment:detail"], "own", world)
    assert world.clients["sam"].get(path).status_code == 404

    monkeypatch.setattr(
        type(world.own.enrollment).objects._queryset_class,
        "where_roles",
        lambda self, roles, user: self,
    )

    assert world.clients["sam"].get(path).status_code == 200


def test_a_role_that_ends_ends_the_next_request(world, ida):
    # R8; T5
    path = reverse("enrollment:overview")
    assert world.clients["ida"].get(path).status_code == 200

    RoleAssignment.objects.filter(user=ida).update(revoked_at=timezone.now())

    assert world.clients["ida"].get(path).status_code == 403


def test_a_role_past_its_last_day_ends_the_next_request(world, ida):
    path = reverse("enrollment:overview")
    RoleAssignment.objects.filter(user=ida).update(ends_on="2020-01-01")

    assert world.clients["ida"].get(path).status_code == 403


def test_a_role_for_one_program_reaches_no_other(world, ida, program):
    # R9
    other = ProgramTermsFactory()
    enrollment = EnrollmentFactory(location=world.own.location, terms=other)
    RoleAssignment.objects.filter(user=ida).update(program=program)

    assert world.clients["ida"].get(enrollment.get_absolute_url()).status_code == 404
    own = world.own.enrollment.get_absolute_url()
    assert world.clients["ida"].get(own).status_code == 200


def test_a_role_for_the_whole_company_reaches_later_locations(world, nordvik, uma):
    # R10
    later = LocationFactory(partner_account=nordvik)

    reached = Location.objects.where_roles({Role.INCENTIVES_USER}, user=uma)

    assert later in reached


# Whose roles reach bank or tax data, other people's roles, or approvals (T7).
GUARDED_PEOPLE = {"greta", "alice", "ida", *OPERATORS}


def _wall_answers(world) -> dict[str, bool]:
    """For each page that asks for a right: whether the wall answers instead of it."""
    answers = {}
    for name, row in TABLE.items():
        if ADDRESSES[name].view.access.kind not in ("requires", "operator"):
            continue
        for person in sorted(GUARDED_PEOPLE & set(row.yes)):
            for method in row.methods:
                response = world.clients[person].generic(
                    method, _path(name, row, "own", world)
                )
                answers[f"{person} {method} {name}"] = response.status_code == 302 and (
                    response["Location"].startswith(reverse("own:second_factor"))
                )
    return answers


def test_whoever_reaches_much_meets_the_wall_at_every_page(world, settings):
    settings.SECOND_FACTOR_REQUIRED = True

    answers = _wall_answers(world)

    assert len(answers) > 150
    assert [case for case, is_wall in answers.items() if not is_wall] == []


def test_without_the_policy_there_is_no_wall(world):
    # The control: nothing else leads there.
    assert not any(_wall_answers(world).values())


def test_the_admin_is_behind_the_wall_with_every_page(world, settings):
    settings.SECOND_FACTOR_REQUIRED = True
    names = [
        address.name
        for address in every_address()
        if re.fullmatch(r"admin:\w+", address.name) and not address.parts
    ]

    apart = {"admin:login", "admin:logout", "admin:app_list"}

    for person in ("greta", "oscar", "mina"):
        for name in sorted({*names} - apart):
            response = world.clients[person].get(reverse(name))
            if person == "greta" and response.status_code == 404:
                continue  # It is nothing a Global admin has.
            assert response.status_code == 302, f"{person} {name}"
            assert response["Location"].startswith(reverse("own:second_factor")), name
    assert len(names) > 20
