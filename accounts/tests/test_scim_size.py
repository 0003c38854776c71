"""Thousands of members: as many queries as for a few, or refused."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import DirectoryGroup, Membership, RoleAssignment, User
from accounts.roles import Role
from accounts.services import map_group
from accounts.tests.scim_directory import Directory, error_of

pytestmark = pytest.mark.django_db

MANY = 1_100
MOST = 10_000
# However many members: rows are read and written a thousand at a time.
QUERIES = 80


@pytest.fixture
def entra(nordvik, greta) -> Directory:
    return Directory(nordvik)


def colleagues(company, count: int) -> list[str]:
    people = User.objects.bulk_create(
        User(email=f"many{number}@partner.example", full_name=f"Many {number}")
        for number in range(count)
    )
    members = Membership.objects.bulk_create(
        Membership(user=person, partner_account=company) for person in people
    )
    return [str(member.pk) for member in members]


@pytest.fixture
def keys(entra, nordvik) -> list[str]:
    return colleagues(nordvik, MANY)


def in_few_queries(ask, *arguments, **options):
    with CaptureQueriesContext(connection) as captured:
        response = ask(*arguments, **options)
    assert len(captured) < QUERIES
    return response


def test_thousands_of_members_come_and_go(entra, keys):
    path = f"/Groups/{entra.add_group('Everybody')['id']}"
    values = [{"$ref": None, "value": key} for key in keys]

    added = in_few_queries(
        entra.patch, path, {"op": "Add", "path": "members", "value": values}
    )
    held = DirectoryGroup.objects.get().group_members.count()
    shown = in_few_queries(entra.get, path)
    removed = in_few_queries(
        entra.patch,
        path,
        *({"op": "Remove", "path": f'members[value eq "{key}"]'} for key in keys[:999]),
        {"op": "Remove", "path": "members", "value": values[:1_050]},
    )

    assert (added.status_code, removed.status_code) == (204, 204)
    assert held == len(shown.json()["members"]) == MANY
    left = in_few_queries(entra.get, path).json()["members"]
    assert {one["value"] for one in left} == set(keys[1_050:])


def test_more_members_than_a_group_may_have_are_refused(entra, keys):
    group = entra.add_group("Everybody")
    values = [{"value": str(10_000_000 + number)} for number in range(MOST + 1)]

    for method, path, payload in (
        ("POST", "/Groups", {"displayName": "More", "members": values}),
        ("PUT", f"/Groups/{group['id']}", {"displayName": "E", "members": values}),
        (
            "PATCH",
            f"/Groups/{group['id']}",
            {"Operations": [{"op": "Add", "path": "members", "value": values}]},
        ),
    ):
        refused = error_of(in_few_queries(entra.ask, method, path, payload))
        assert refused.status == 400
        assert "at most 10000" in refused.detail
    assert DirectoryGroup.objects.get().group_members.count() == 0


def test_one_person_is_found_among_many(entra, nordvik, django_assert_max_num_queries):
    colleagues(nordvik, 100)
    address = "many77@partner.example"
    entra.find("Users", 'userName eq "nobody"')

    for filter_ in (
        f'userName eq "{address}"',
        f'emails[type eq "work"].value eq "{address}"',
        f'emails[type eq "work" and value eq "{address.upper()}"]',
        f'emails.value eq "{address}"',
        f'externalId eq "x" or emails.value eq "{address}"',
    ):
        with django_assert_max_num_queries(9):
            (found,) = entra.find("Users", filter_)
        assert found["userName"] == address


def test_a_large_group_gives_its_role(entra, keys, nordvik, greta):
    # Whoever leaves the group one by one costs no more than one.
    map_group(nordvik, group_name="Everybody", role=Role.USER_ADMIN, by=greta)
    values = [{"value": key} for key in keys[:40]]
    group = entra.ask(
        "POST", "/Groups", {"displayName": "Everybody", "members": values}
    )

    in_few_queries(
        entra.patch,
        f"/Groups/{group.json()['id']}",
        {"op": "Remove", "path": "members", "value": values[:1]},
    )

    live = RoleAssignment.objects.live().filter(role=Role.USER_ADMIN)
    assert live.count() == 39
