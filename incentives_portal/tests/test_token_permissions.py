"""A company's directory: every address it may ask, and nothing of another company.

Who gets in with what is a part of the matrix in test_permissions.py.
"""

import json
import types

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import DirectoryGroup
from accounts.services import create_provisioning_token
from accounts.tests import cast
from accounts.tests.shared_rows import shared
from incentives_portal.tests.addresses import every_address
from incentives_portal.tests.permission_table import TOKEN, TOKEN_PREFIX

pytestmark = pytest.mark.django_db

PATCH_ACTIVE = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "Replace", "path": "externalId", "value": "x"}],
}
ROWS = sorted(name for name, (_methods, on) in TOKEN.items() if on)


def test_every_address_has_a_row_and_every_row_an_address():
    assert set(TOKEN) == {
        address.name
        for address in every_address()
        if address.name.startswith(TOKEN_PREFIX)
    }


def test_everything_behind_a_token_is_in_the_table():
    assert set(TOKEN) == {
        address.name
        for address in every_address()
        if getattr(getattr(address.view, "access", None), "kind", "") == "token"
    }


def key_client(account, *, name: str):
    token, secret = create_provisioning_token(account, name=name, by=None)
    return token, Client(headers={"Authorization": f"Bearer {secret}"})


@shared
def world(db):
    """A company with its key, another with its own, and a person and a group of each."""
    nordvik = cast.nordvik()
    lars, abroad = cast.lars(nordvik), cast.sam().memberships.get()
    _token, own = key_client(nordvik, name="Own")
    _token, foreign = key_client(abroad.partner_account, name="Foreign")
    groups = [
        DirectoryGroup.objects.create(partner_account=company, display_name="G")
        for company in (nordvik, abroad.partner_account)
    ]
    return types.SimpleNamespace(
        own=own,
        foreign=foreign,
        rows={
            "person": {"own": lars.memberships.get(), "foreign": abroad},
            "group": {"own": groups[0], "foreign": groups[1]},
        },
    )


def path_of(name: str, world, target: str = "own") -> str:
    on = TOKEN[name][1]
    address = next(one for one in every_address() if one.name == name)
    if not address.parts:
        return reverse(name)
    key = "missing"
    if on and target == "missing":
        key = "99999999"
    elif on:
        key = str(world.rows[on][target].pk)
    elif name == "scim:schema":
        key = "urn:ietf:params:scim:schemas:core:2.0:User"
    elif name == "scim:resource_type":
        key = "User"
    return reverse(name, kwargs={address.parts[0]: key})


def ask(client: Client, method: str, path: str):
    payload = {
        "POST": {"userName": "new@partner.example", "displayName": "New"},
        "PUT": {"userName": "lars@partner.example", "displayName": "Lars Ek"},
        "PATCH": PATCH_ACTIVE,
    }.get(method, {})
    return client.generic(
        method, path, json.dumps(payload), content_type="application/scim+json"
    )


@pytest.mark.parametrize("name", ROWS)
def test_another_companys_row_is_as_missing(name, world):
    # R16: no oracle, byte by byte.
    methods, on = TOKEN[name]
    for method in methods:
        answers = [
            ask(world.own, method, path_of(name, world, target))
            for target in ("foreign", "missing")
        ]

        assert [one.status_code for one in answers] == [404, 404], f"{method} {name}"
        assert answers[0].content == answers[1].content
        headers = [dict(one.headers) | {"X-Request-ID": ""} for one in answers]
        assert headers[0] == headers[1]
    world.rows[on]["foreign"].refresh_from_db()
    assert getattr(world.rows[on]["foreign"], "removed_at", None) is None


@pytest.mark.parametrize("name", ROWS)
def test_the_row_is_there_for_its_own_company(name, world):
    # The control.
    assert ask(world.foreign, "GET", path_of(name, world, "foreign")).status_code == 200


def test_lists_show_the_companys_own_rows_only(world):
    for name in ("scim:users", "scim:groups"):
        own = world.own.get(reverse(name)).json()["Resources"]
        foreign = world.foreign.get(reverse(name)).json()["Resources"]

        assert own
        assert foreign
        assert {one["id"] for one in own}.isdisjoint(one["id"] for one in foreign)
