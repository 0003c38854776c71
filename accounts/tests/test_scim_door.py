"""The SCIM door: who gets in, what can be asked, and how it refuses."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts.models import (
    ProvisioningToken,
)
from accounts.scim import views
from accounts.services import (
    revoke_provisioning_token,
)
from accounts.tests.factories import (
    MembershipFactory,
)
from accounts.tests.scim_directory import (
    CORE,
    error_of,
    person,
)

pytestmark = pytest.mark.django_db


class TestTheDoor:
    def test_without_a_token_nobody_gets_in(self, client):
        response = client.get("/scim/v2/Users")

        assert error_of(response).status == 401
        assert response["WWW-Authenticate"].startswith("Bearer")

    def test_a_session_is_no_token(self, client_of, greta):
        assert client_of(greta).get("/scim/v2/Users").status_code == 401

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer x", "Bearer x y", "é"]
    )
    def test_what_is_no_token_opens_nothing(self, entra, header):
        response = Client().get("/scim/v2/Users", headers={"Authorization": header})

        assert response.status_code == 401

    def test_a_revoked_token_opens_nothing(self, entra, greta):
        revoke_provisioning_token(entra.token, by=greta)

        assert entra.get("/Users").status_code == 401

    def test_an_expired_token_opens_nothing(self, entra):
        entra.token.expires_on = timezone.localdate()
        entra.token.save()
        assert entra.get("/Users").status_code == 200

        entra.token.expires_on = timezone.localdate() - timedelta(days=1)
        entra.token.save()

        assert entra.get("/Users").status_code == 401

    def test_only_a_hash_of_the_token_is_kept(self, entra):
        kept = str(ProvisioningToken.objects.values().get())

        assert len(entra.secret) > 43
        assert entra.secret not in kept
        assert entra.secret.removeprefix("scim_") not in kept

    def test_the_last_use_is_noted(self, entra):
        entra.get("/Users")

        entra.token.refresh_from_db()
        assert timezone.now() - entra.token.last_used_at < timedelta(minutes=1)

    def test_who_guesses_is_slowed_down(self, entra):
        stranger = Client(headers={"Authorization": "Bearer guess"})
        answers = [stranger.get("/scim/v2/Users").status_code for _n in range(31)]

        assert answers[:30] == [401] * 30
        response = stranger.get("/scim/v2/Users")
        assert error_of(response).status == 429
        assert response["Retry-After"]
        assert entra.get("/Users").status_code == 200

    def test_a_directory_gone_wild_waits(self, entra, monkeypatch):
        monkeypatch.setattr(views, "REQUESTS_A_MINUTE", 3)

        answers = [entra.get("/Users").status_code for _n in range(4)]

        assert answers == [200, 200, 200, 429]
        cache.clear()
        assert entra.get("/Users").status_code == 200

    def test_what_somebody_else_holds_is_to_be_tried_again(self, entra, monkeypatch):
        answers = iter(["55P03", "53100"])

        def fail(*_args, **_kwargs):
            error = OperationalError()
            error.__cause__ = type("Cause", (Exception,), {"pgcode": next(answers)})()
            raise error

        monkeypatch.setattr(views.people, "rows", fail)
        response = entra.get("/Users")

        assert error_of(response).status == 503
        assert response["Retry-After"] == "10"
        # The control: a disk that is full is ours to mend, whoever tries again.
        with pytest.raises(OperationalError):
            entra.get("/Users")

    def test_other_methods_are_refused_with_what_may_be_done(self, entra, nora):
        for method, path in (
            ("PUT", "/Users"),
            ("DELETE", "/Groups"),
            ("POST", f"/Users/{nora['id']}"),
            ("TRACE", "/Users"),
            ("OPTIONS", "/Users"),
        ):
            response = entra.ask(method, path, {})
            assert error_of(response).status == 405
            assert response["Allow"]

    def test_searching_by_post_is_not_offered(self, entra):
        for path in ("/.search", "/Users/.search", "/Groups/.search"):
            assert error_of(entra.ask("POST", path, {})).status == 501

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b'{"a": NaN}',
         b"[" * 100_000, b'{"userName": ' + b"9" * 5_000 + b"}"],
        ids=lambda body: repr(body[:12]),
    )  # fmt: skip
    def test_what_is_no_json_object_is_refused(self, entra, body):
        response = entra.client.post(
            "/scim/v2/Users", body, content_type="application/json"
        )

        refused = error_of(response)
        assert (refused.status, refused.type) == (400, "invalidSyntax")

    def test_too_much_at_once_is_refused(self, entra):
        response = entra.client.post(
            "/scim/v2/Users", b"x" * 3_000_000, content_type="application/json"
        )

        assert error_of(response).status == 413

    def test_sentences_are_english_whoever_asks(self, entra, lars):
        entra.client.cookies["django_language"] = "sv"

        refused = error_of(entra.ask("POST", "/Users", person(lars.email)))

        assert refused.detail.startswith("Somebody with this userName")


class TestAsking:
    @pytest.fixture
    def people(self, entra):
        for number in range(5):
            entra.add_person(
                f"p{number}@partner.example",
                displayName=f"Person {9 - number}",
                active=number != 3,
            )

    def test_filters_find_what_they_say(self, entra, people):
        for filter_, names in (
            ('userName eq "p1@partner.example"', {"p1"}),
            ('USERNAME EQ "P1@Partner.Example"', {"p1"}),
            (f'{CORE}:User:userName eq "p1@partner.example"', {"p1"}),
            ('externalId eq "oid of p2@partner.example"', {"p2"}),
            ('externalId eq "OID of p2@partner.example"', set()),
            ('userName eq "p1@partner.example" or externalId eq "x"', {"p1"}),
            ('userName sw "p" and active eq false', {"p3"}),
            ('userName sw "p" and active eq "False"', {"p3"}),
            ('userName sw "p" and not (active eq true)', {"p3"}),
            ('emails[type eq "work" and value eq "p4@partner.example"]', {"p4"}),
            ('emails.value eq "p4@partner.example"', {"p4"}),
            ('displayName eq "person 9"', {"p0"}),
            ('userName co "p0" or userName co "p1"', {"p0", "p1"}),
            ('userName eq "nobody"', set()),
            ('userName eq "a\\u0000b"', set()),
            ('userName eq "a\\ud800b"', set()),
            ('id eq "99999999999999999999"', set()),
        ):
            found = entra.find("Users", filter_)

            assert {one["userName"].partition("@")[0] for one in found} == names, (
                filter_
            )

    def test_a_filter_that_means_nothing_is_refused(self, entra):
        for filter_ in (
            "userName",
            "userName eq",
            'userName eq "a',
            "(",
            'nobody eq "x"',
            "active gt true",
            "active co true",
        ):
            response = entra.client.get("/scim/v2/Users", {"filter": filter_})

            refused = error_of(response)
            assert (refused.status, refused.type) == (400, "invalidFilter"), filter_

    def test_groups_are_found_by_name_without_their_members(self, entra, nora):
        entra.add_group("Sales", nora["id"])

        (found,) = entra.find(
            "Groups", 'displayName eq "sales"', excludedAttributes="members"
        )

        assert found["displayName"] == "Sales"
        assert "members" not in found

    def test_groups_are_found_by_a_member(self, entra, nora):
        entra.add_group("With", nora["id"])
        entra.add_group("Without")

        (found,) = entra.find("Groups", f'members[value eq "{nora["id"]}"]')

        assert found["displayName"] == "With"

    def test_lists_come_in_pages(self, entra, people):
        pages = [
            entra.client.get(
                "/scim/v2/Users", {"startIndex": start, "count": 2, **query}
            ).json()
            for query in ({}, {"filter": "userName pr"})
            for start in (1, 3, 5, 7)
        ]

        for half in (pages[:4], pages[4:]):
            names = [p["userName"] for page in half for p in page.get("Resources", [])]
            assert len(names) == len(set(names)) == 6
            assert {page["totalResults"] for page in half} == {6}
            assert [page["itemsPerPage"] for page in half] == [2, 2, 2, 0]
            assert [page["startIndex"] for page in half] == [1, 3, 5, 7]

    def test_odd_pages_are_answered(self, entra, people):
        for query, number in (
            ({"count": "0"}, 0),
            ({"count": "-3"}, 0),
            ({"startIndex": "-1"}, 6),
            ({"startIndex": "9" * 30}, 0),
            ({"count": "9" * 30}, 6),
        ):
            listed = entra.client.get("/scim/v2/Users", query).json()

            assert len(listed.get("Resources", [])) == number, query
            assert listed["totalResults"] == 6

    def test_a_page_has_a_limit(self, entra, nordvik, monkeypatch):
        monkeypatch.setattr("accounts.scim.asking.MOST_RESULTS", 3)
        MembershipFactory.create_batch(5, partner_account=nordvik)

        listed = entra.client.get("/scim/v2/Users", {"count": "500"}).json()

        assert listed["itemsPerPage"] == 3
        assert listed["totalResults"] == 6

    def test_lists_come_in_the_order_asked_for(self, entra, people):
        for query, first in (
            ({"sortBy": "displayName"}, "Greta Voss"),
            ({"sortBy": "displayName", "sortOrder": "descending"}, "Person 9"),
            ({"sortBy": "name.familyName"}, "Person 9"),
        ):
            listed = entra.client.get("/scim/v2/Users", query).json()["Resources"]

            assert listed[0]["displayName"] == first, query

    def test_a_question_that_means_nothing_is_refused(self, entra):
        for query in (
            {"count": "x"},
            {"startIndex": "x"},
            {"sortBy": "name"},
            {"sortBy": "["},
            {"sortOrder": "up"},
            {"attributes": "a", "excludedAttributes": "b"},
        ):
            response = entra.client.get("/scim/v2/Users", query)

            assert error_of(response).status == 400, query

    def test_only_what_is_asked_for_is_shown(self, entra, nora):
        path = f"/Users/{nora['id']}"

        some = entra.get(f"{path}?attributes=userName,name.givenName").json()
        less = entra.get(f"{path}?excludedAttributes=emails").json()

        assert set(some) == {"schemas", "id", "userName", "name"}
        assert some["name"] == {"givenName": "Nora"}
        assert "emails" not in less
        assert "userName" in less

    def test_a_look_at_a_company_asks_the_database_a_few_times(
        self, entra, people, django_assert_max_num_queries
    ):
        entra.get("/Users")

        with django_assert_max_num_queries(9):
            entra.find("Users", 'userName eq "p1@partner.example"')

    def test_what_is_not_there_is_missing(self, entra):
        keys = ("0", "x", "-1", "01", "٣", "9" * 30, "")
        for path in (
            *(f"/Users/{key}" for key in keys),
            *("/Groups/1e3", "/Schemas/x", "/ResourceTypes/x", "/Me", "/x/y/z"),
        ):
            assert error_of(entra.get(path)).status == 404, path

    def test_the_service_describes_itself(self, entra):
        config = entra.get("/ServiceProviderConfig").json()

        assert config["patch"] == {"supported": True}
        assert config["authenticationSchemes"][0]["type"] == "oauthbearertoken"
        kinds = entra.get("/ResourceTypes").json()
        assert [one["endpoint"] for one in kinds["Resources"]] == ["/Users", "/Groups"]
        described = entra.get(f"/Schemas/{CORE}:User").json()
        assert described["name"] == "User"

    def test_addresses_are_those_of_the_portal_whatever_host_is_asked(
        self, entra, settings
    ):
        # T9
        settings.PUBLIC_BASE_URL = "https://portal.example.com"

        config = entra.get("/ServiceProviderConfig").json()

        assert config["meta"]["location"] == (
            "https://portal.example.com/scim/v2/ServiceProviderConfig"
        )
