"""What Entra ID asks, in the forms and the order that Microsoft documents.

"Tutorial: Develop and plan provisioning for a SCIM endpoint in Microsoft Entra ID" has
each request and its answer; "Known issues and resolutions with SCIM 2.0 protocol
compliance" has the forms with and without the flag aadOptscim062020. The people are
ours.
"""

import pytest

from accounts.models import DirectoryGroup, Membership, User
from accounts.roles import Role
from accounts.services import map_group
from accounts.tests.cases import tried
from accounts.tests.scim_directory import (
    CORE,
    ENTERPRISE,
    PATCH,
    error_of,
    is_member,
    live_roles,
)
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db

ADDRESS = "bo.lind@partner.example"
USER = {
    "schemas": [f"{CORE}:User", ENTERPRISE],
    "externalId": "6d1c6a02-58f5-4b1c-9f0e-5a2a8a0f7a11",
    "userName": "BoLind_3f0c",
    "active": True,
    "emails": [{"primary": True, "type": "work", "value": ADDRESS}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "Bo Lind", "familyName": "Lind", "givenName": "Bo"},
    "roles": [],
}
GROUP = {
    "schemas": [
        f"{CORE}:Group",
        "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group",
    ],
    "externalId": "0f2d1a77-9d0e-4d6e-8f55-2c1f4f7f8d10",
    "displayName": "Portal admins",
    "meta": {"resourceType": "Group"},
}


@shared
def bo(entra) -> str:
    return entra.ask("POST", "/Users", USER).json()["id"]


@shared
def admins(entra, nordvik, greta) -> str:
    map_group(nordvik, group_name=GROUP["displayName"], role=Role.USER_ADMIN, by=greta)
    return entra.ask("POST", "/Groups", GROUP).json()["id"]


def patch(entra, path: str, *operations: dict, schemas_last: bool = False):
    message = {"schemas": [PATCH], "Operations": list(operations)}
    if schemas_last:
        message = dict(reversed(message.items()))
    return entra.ask("PATCH", path, message)


def bo_in_portal() -> User:
    return User.objects.get(full_name__startswith="Bo")


# --- People ------------------------------------------------------------------------


def test_testing_the_connection_asks_for_somebody_who_is_not_there(entra):
    for kind, name in (("Users", "userName"), ("Groups", "displayName")):
        response = entra.client.get(
            f"/scim/v2/{kind}", {"filter": f'{name} eq "9b1a5c6e-no-such"'}
        )

        listed = response.json()
        assert response["Content-Type"] == "application/scim+json"
        assert listed["schemas"] == [
            "urn:ietf:params:scim:api:messages:2.0:ListResponse"
        ]
        assert (listed["totalResults"], listed["Resources"]) == (0, [])


def test_a_person_is_created_as_sent_and_found_again(entra, nordvik):
    response = entra.ask("POST", "/Users", USER)

    made = response.json()
    assert response.status_code == 201
    for name in ("externalId", "userName", "active", "emails", "name"):
        assert made[name] == USER[name]
    for filter_ in (
        f'userName eq "{USER["userName"]}"',
        f'externalId eq "{USER["externalId"]}"',
        f'emails[type eq "work"].value eq "{ADDRESS}"',
        f'userName eq "{USER["userName"]}" and active eq true',
    ):
        (found,) = entra.find("Users", filter_)
        assert found["id"] == made["id"]
    assert entra.get(f"/Users/{made['id']}").json() == made
    assert is_member(bo_in_portal(), nordvik)


def test_who_is_not_there_is_missing(entra):
    assert error_of(entra.get("/Users/5171a35d82074e068ce2")).status == 404


@pytest.mark.parametrize(
    "operations",
    [
        # Without the flag ...
        [
            {"op": "Replace", "path": 'emails[type eq "work"].value',
             "value": "bo.berg@partner.example"},
            {"op": "Replace", "path": "name.familyName", "value": "Berg"},
            {"op": "Replace", "path": "displayName", "value": "Bo Berg"},
            {"op": "Replace", "path": f"{ENTERPRISE}:employeeNumber", "value": "7"},
        ],
        # ... and with it.
        [
            {"op": "replace", "path": 'emails[type eq "work"].value',
             "value": "bo.berg@partner.example"},
            {"op": "replace", "value": {
                "displayName": "Bo Berg", "name.familyName": "Berg",
                f"{ENTERPRISE}:employeeNumber": "7"}},
        ],
    ],
    ids=["2017", "2020"],
)  # fmt: skip
def test_several_attributes_are_replaced(entra, bo, operations):
    response = patch(entra, f"/Users/{bo}", *operations)

    changed = response.json()
    assert response.status_code == 200
    assert changed["name"]["familyName"] == "Berg"
    assert changed["name"]["givenName"] == "Bo"
    assert changed["emails"] == [
        {"type": "work", "value": "bo.berg@partner.example", "primary": True}
    ]
    assert bo_in_portal().email == "bo.berg@partner.example"
    assert bo_in_portal().full_name == "Bo Berg"


def test_the_user_name_is_replaced(entra, bo):
    operation = {"op": "Replace", "path": "userName", "value": "bo.new@partner.example"}

    response = patch(entra, f"/Users/{bo}", operation)

    assert response.json()["userName"] == "bo.new@partner.example"
    assert bo_in_portal().email == ADDRESS


def test_a_person_is_disabled_and_enabled_again(entra, bo, nordvik, client_of):
    for operation in (
        {"op": "Replace", "path": "active", "value": "False"},
        {"op": "replace", "path": "active", "value": False},
        {"op": "Replace", "path": "active", "value": "false"},
        {"op": "Add", "path": "active", "value": "False"},
        {"op": "Replace", "value": {"active": "False"}},
        {"op": "replace", "value": {"active": False}},
        {"op": "Replace", "path": f"{CORE}:User:active", "value": "False"},
    ):
        with tried(operation):
            client = client_of(bo_in_portal())
            assert client.get("/").status_code == 200

            response = patch(entra, f"/Users/{bo}", operation, schemas_last=True)

            assert response.status_code == 200
            assert response.json()["active"] is False
            assert not is_member(bo_in_portal(), nordvik)
            # Whoever is disabled is still found, and their session is over.
            (found,) = entra.find("Users", f'userName eq "{USER["userName"]}"')
            assert found["active"] is False
            assert client.get("/").status_code == 302

            patch(
                entra,
                f"/Users/{bo}",
                {"op": "Replace", "path": "active", "value": "True"},
            )

            assert is_member(bo_in_portal(), nordvik)


def test_a_deleted_person_is_deactivated_and_no_longer_found(entra, bo, nordvik):
    assert entra.ask("DELETE", f"/Users/{bo}").status_code == 204

    assert error_of(entra.get(f"/Users/{bo}")).status == 404
    assert entra.find("Users", f'userName eq "{USER["userName"]}"') == []
    assert not is_member(bo_in_portal(), nordvik)
    assert Membership.objects.filter(user=bo_in_portal()).exists()


# --- Groups ------------------------------------------------------------------------


def test_a_group_is_created_and_found_without_its_members(entra, bo):
    response = entra.ask("POST", "/Groups", GROUP)

    made = response.json()
    assert response.status_code == 201
    assert made["displayName"] == GROUP["displayName"]
    assert made["externalId"] == GROUP["externalId"]
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": bo}]}
    assert patch(entra, f"/Groups/{made['id']}", add).status_code == 204
    query = {"excludedAttributes": "members"}
    (found,) = entra.find("Groups", 'displayName eq "Portal admins"', **query)
    alone = entra.client.get(f"/scim/v2/Groups/{made['id']}", query).json()
    assert found == alone
    assert "members" not in found
    # Whether somebody is in it is a question of its own.
    for key, number in ((bo, 1), ("99999999", 0)):
        asked = f'id eq "{made["id"]}" and members eq "{key}"'
        assert len(entra.find("Groups", asked, attributes="id")) == number


def test_a_group_is_renamed(entra, admins):
    operation = {"op": "Replace", "path": "displayName", "value": "Portal leads"}

    assert patch(entra, f"/Groups/{admins}", operation).status_code == 204
    assert DirectoryGroup.objects.get().display_name == "Portal leads"


@pytest.mark.parametrize("form", ["2017", "2020", "documented"])
def test_members_come_and_go_with_their_roles(entra, admins, bo, form):
    path = f"/Groups/{admins}"
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": bo}]}
    remove = {
        "2017": {"op": "Remove", "path": "members", "value": [{"value": bo}]},
        "2020": {"op": "remove", "path": f'members[value eq "{bo}"]'},
        "documented": {
            "op": "Remove",
            "path": "members",
            "value": [{"$ref": None, "value": bo}],
        },
    }[form]

    assert patch(entra, path, add).status_code == 204
    assert {role for role, *_rest in live_roles(bo_in_portal())} == {Role.USER_ADMIN}

    assert patch(entra, path, remove).status_code == 204
    assert live_roles(bo_in_portal()) == set()
    assert "members" not in entra.get(path).json()


def test_a_deleted_group_gives_nothing(entra, admins, bo):
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": bo}]}
    patch(entra, f"/Groups/{admins}", add)

    assert entra.ask("DELETE", f"/Groups/{admins}").status_code == 204
    assert live_roles(bo_in_portal()) == set()


def test_what_can_be_sent_is_described(entra):
    listed = entra.get("/Schemas").json()

    assert listed["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    described = {one["id"]: one for one in listed["Resources"]}
    assert set(described) == {f"{CORE}:User", f"{CORE}:Group"}
    for one in described.values():
        assert one["meta"]["location"].endswith(f"/scim/v2/Schemas/{one['id']}")
        for attribute in one["attributes"]:
            assert attribute["mutability"] in ("readWrite", "readOnly", "immutable")
            assert None not in attribute.values()
