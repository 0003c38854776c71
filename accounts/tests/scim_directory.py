"""Entra ID for tests: a company's directory that asks by SCIM, and what it sends."""

import json
import types

from django.test import Client

from accounts.models import Membership, RoleAssignment, User
from accounts.services import create_provisioning_token

CORE = "urn:ietf:params:scim:schemas:core:2.0"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Directory:
    """Entra ID, as far as the portal sees it: a token and JSON."""

    def __init__(self, company, *, name="Entra ID"):
        self.company = company
        self.token, self.secret = create_provisioning_token(company, name=name, by=None)
        self.client = Client(headers={"Authorization": f"Bearer {self.secret}"})

    def ask(self, method: str, path: str, payload=None, **options):
        return self.client.generic(
            method,
            f"/scim/v2{path}",
            "" if payload is None else json.dumps(payload),
            content_type="application/scim+json; charset=utf-8",
            **options,
        )

    def get(self, path: str):
        return self.ask("GET", path)

    def find(self, kind: str, filter_: str, **options) -> list[dict]:
        response = self.client.get(f"/scim/v2/{kind}", {"filter": filter_, **options})
        assert response.status_code == 200, response.content
        return response.json().get("Resources", [])

    def add_person(self, address: str = "nora@partner.example", **fields) -> dict:
        response = self.ask("POST", "/Users", person(address, **fields))
        assert response.status_code == 201, response.content
        return response.json()

    def add_group(self, name: str, *members: str) -> dict:
        response = self.ask(
            "POST",
            "/Groups",
            {
                "schemas": [f"{CORE}:Group"],
                "displayName": name,
                "externalId": f"id of {name}",
                "members": [{"value": key} for key in members],
            },
        )
        assert response.status_code == 201, response.content
        return response.json()

    def patch(self, path: str, *operations: dict):
        return self.ask(
            "PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}
        )

    def id_of(self, user) -> str:
        (found,) = self.find("Users", f'userName eq "{user.email}"')
        return found["id"]


def person(address: str = "nora@partner.example", **fields) -> dict:
    """What Entra sends for a new person, with what the portal has no use for."""
    return {
        "schemas": [f"{CORE}:User", ENTERPRISE],
        "externalId": f"oid of {address}",
        "userName": address,
        "active": True,
        "displayName": "Nora Nilsson",
        "name": {
            "formatted": "Nora Nilsson",
            "familyName": "Nilsson",
            "givenName": "Nora",
        },
        "emails": [{"primary": True, "type": "work", "value": address}],
        "title": "Buyer",
        "phoneNumbers": [{"type": "mobile", "value": "+46700000000"}],
        "meta": {"resourceType": "User"},
        ENTERPRISE: {"department": "Sales", "employeeNumber": "77"},
    } | fields


def live_roles(user) -> set[tuple]:
    return {
        (one.role, one.location, one.source)
        for one in RoleAssignment.objects.live().filter(user=user)
    }


def is_member(user, company) -> bool:
    return Membership.objects.filter(
        user=user, partner_account=company, ended_at=None
    ).exists()


def error_of(response) -> types.SimpleNamespace:
    body = response.json()
    assert response["Content-Type"] == "application/scim+json"
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(response.status_code)
    return types.SimpleNamespace(
        status=response.status_code,
        type=body.get("scimType", ""),
        detail=body.get("detail", ""),
    )


def nora_in_portal() -> User:
    return User.objects.get(email="nora@partner.example")
