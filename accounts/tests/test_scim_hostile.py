"""Whatever is sent to the SCIM door, the answer is a SCIM answer, never a fault."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import Membership
from accounts.roles import Role
from accounts.services import map_group
from accounts.tests.factories import PartnerAccountFactory, RoleAssignmentFactory
from accounts.tests.scim_directory import CORE, ENTERPRISE, PATCH, Directory, person
from accounts.tests.tries import tries

NAMES = [
    "schemas", "id", "externalId", "userName", "name", "name.givenName", "displayName",
    "active", "emails", "emails.value", 'emails[type eq "work"].value',
    "emails[primary eq true]", "emails[value", "members", 'members[value eq "1"]',
    "members.value", "$ref", "meta", "meta.location", "preferredLanguage", "title",
    f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager.value", f"{CORE}:User:userName",
    f"{CORE}:User", "value", "type", "primary", "", " ", ".", "[]", "urn:", "a" * 300,
]  # fmt: skip
TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "a@b.example", "True", "False", "null", "1", "0", "-1", "9" * 40,
         "\x00", "\ud800", "\u202e", "x" * 400, "é" * 200, "work", "User"]
    ),
)  # fmt: skip
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**20, max_value=10**30),
    st.floats(allow_nan=False),
    TEXT,
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), TEXT), inner, max_size=5),
    ),
    max_leaves=12,
)
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.one_of(
            st.sampled_from(["add", "Add", "Replace", "Remove", "remove", "move"]),
            ANYTHING,
        )
    },
    optional={
        "path": st.one_of(st.sampled_from(NAMES), ANYTHING),
        "value": ANYTHING,
    },
)
PATCHES = st.one_of(
    st.fixed_dictionaries(
        {"schemas": st.just([PATCH]), "Operations": st.lists(OPERATIONS, max_size=4)}
    ),
    st.fixed_dictionaries({"schemas": ANYTHING, "operations": ANYTHING}),
    ANYTHING,
)
WHOLE = st.one_of(
    st.builds(lambda one: person() | one, st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4)),
    st.builds(
        lambda one: {"displayName": "Group"} | one,
        st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4),
    ),
    ANYTHING,
)  # fmt: skip
WORDS = st.sampled_from(
    [*NAMES, "eq", "ne", "co", "sw", "gt", "pr", "and", "or", "not", "(", ")", "[", "]",
     '"a@b.example"', '"', "true", "null", "1", "1e400", '"\\u0000"', '"\\ud800"', "\\"]
)  # fmt: skip
FILTERS = st.one_of(st.lists(WORDS, max_size=12).map(" ".join), st.text(max_size=60))

HARD = settings(
    max_examples=tries(25),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class TestHostile(TestCase):
    """Each example begins with one person, one group with a role, and one admin."""

    def setUp(self):
        company = PartnerAccountFactory()
        self.admin = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN, partner_account=company
        ).user
        map_group(company, group_name="Group", role=Role.GLOBAL_ADMIN, by=None)
        self.directory = Directory(company)
        self.person = self.directory.add_person()["id"]
        self.group = self.directory.add_group("Group", self.person)["id"]

    def send(self, method: str, path: str, payload) -> None:
        body = json.dumps(payload)
        response = self.directory.client.generic(
            method, f"/scim/v2{path}", body, content_type="application/json"
        )

        self.answers(response)

    def answers(self, response) -> None:
        assert response.status_code < 500, response.content
        if response.status_code == 204:
            return
        told = response.json()
        if response.status_code >= 400:
            assert told["status"] == str(response.status_code)
            assert told["detail"]
        else:
            assert told["schemas"]

    @HARD
    @given(payload=WHOLE, kind=st.sampled_from(["Users", "Groups"]))
    def test_adding_anything(self, payload, kind):
        self.send("POST", f"/{kind}", payload)

    @HARD
    @given(payload=WHOLE, kind=st.sampled_from(["Users", "Groups"]))
    def test_replacing_by_anything(self, payload, kind):
        key = self.person if kind == "Users" else self.group
        self.send("PUT", f"/{kind}/{key}", payload)

    @HARD
    @given(payload=PATCHES, kind=st.sampled_from(["Users", "Groups"]))
    def test_changing_by_anything(self, payload, kind):
        key = self.person if kind == "Users" else self.group
        self.send("PATCH", f"/{kind}/{key}", payload)
        assert Membership.objects.current().filter(user=self.admin).exists()

    @HARD
    @given(
        filter_=FILTERS,
        kind=st.sampled_from(["Users", "Groups"]),
        rest=st.dictionaries(
            st.sampled_from(
                ["sortBy", "sortOrder", "startIndex", "count", "attributes",
                 "excludedAttributes"]
            ),
            st.one_of(WORDS, st.text(max_size=20)),
            max_size=3,
        ),
    )  # fmt: skip
    def test_asking_for_anything(self, filter_, kind, rest):
        query = {"filter": filter_} | rest
        if any("\0" in text for text in query.values()):
            return  # refused before it gets here
        self.answers(self.directory.client.get(f"/scim/v2/{kind}", query))

    @HARD
    @given(body=st.one_of(st.binary(max_size=80), st.just(b"[" * 50_000)))
    def test_sending_any_bytes(self, body):
        response = self.directory.client.post(
            "/scim/v2/Users", body, content_type="application/json"
        )

        self.answers(response)
