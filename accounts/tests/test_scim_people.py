"""People by SCIM: added, changed, deactivated; other companies notice nothing."""

import pytest

from accounts.identities import SignInRefused
from accounts.models import (
    AuditAction,
    AuditEvent,
    DirectoryGroup,
    DirectoryPerson,
    Membership,
    User,
)
from accounts.services import directory
from accounts.services.company_sign_in import refuse_stranger
from accounts.tests.cases import tried
from accounts.tests.factories import CompanyTenantFactory, MembershipFactory
from accounts.tests.scim_directory import (
    CORE,
    ENTERPRISE,
    PATCH,
    Directory,
    error_of,
    is_member,
    live_roles,
    nora_in_portal,
    person,
)

pytestmark = pytest.mark.django_db


class TestAdding:
    def test_a_new_person_belongs_to_the_company_and_holds_nothing(
        self, entra, nordvik
    ):
        added = entra.add_person()

        user = nora_in_portal()
        assert user.full_name == "Nora Nilsson"
        assert not user.has_usable_password()
        assert is_member(user, nordvik)
        assert live_roles(user) == set()
        assert added["userName"] == "nora@partner.example"
        assert added["externalId"] == "oid of nora@partner.example"
        assert added["active"] is True
        assert added["meta"]["location"].endswith(f"/scim/v2/Users/{added['id']}")

    def test_the_answer_names_its_address_and_its_type(self, entra):
        response = entra.ask("POST", "/Users", person())

        assert response["Content-Type"] == "application/scim+json"
        assert response["Location"] == response.json()["meta"]["location"]
        assert response["Cache-Control"] == "no-store"

    def test_what_the_portal_has_no_use_for_is_not_kept(self, entra):
        entra.add_person()

        entry = DirectoryPerson.objects.get()
        assert set(entry.facts) == {"displayName", "name", "emails"}
        assert "Sales" not in str(entry.facts)
        assert "+46700000000" not in str(entry.facts)

    def test_a_person_reads_the_language_of_the_directory(self, entra):
        entra.add_person(preferredLanguage="sv-SE")

        assert nora_in_portal().language == "sv"

    def test_a_person_without_emails_is_found_by_the_user_name(self, entra):
        added = entra.add_person(emails=[])

        assert nora_in_portal().full_name == "Nora Nilsson"
        assert added["emails"][0]["value"] == "nora@partner.example"

    def test_the_address_that_counts_is_the_primary_one(self, entra):
        entra.add_person(
            userName="nora@tenant.example",
            emails=[
                {"type": "home", "value": "home@partner.example"},
                {"type": "work", "value": "nora@partner.example", "primary": True},
            ],
        )

        assert User.objects.filter(email="nora@partner.example").exists()
        assert not User.objects.filter(email="home@partner.example").exists()

    def test_without_any_address_nobody_is_added(self, entra):
        response = entra.ask("POST", "/Users", person(userName="nora", emails=[]))

        refused = error_of(response)
        assert (refused.status, refused.type) == (400, "invalidValue")
        assert "e-mail address" in refused.detail
        assert not User.objects.filter(full_name="Nora Nilsson").exists()

    def test_adding_twice_is_refused(self, entra, nora):
        refused = error_of(entra.ask("POST", "/Users", person()))

        assert (refused.status, refused.type) == (409, "uniqueness")

    @pytest.mark.parametrize(
        "fields",
        [
            {"userName": "NORA@partner.example"},
            {"externalId": "oid of nora@partner.example"},
        ],
    )
    def test_a_name_that_is_somebody_elses_is_refused(self, entra, nora, fields):
        response = entra.ask("POST", "/Users", person("other@partner.example") | fields)

        assert error_of(response).type == "uniqueness"
        assert not User.objects.filter(email="other@partner.example").exists()

    def test_somebody_added_by_hand_is_known_already(self, entra, lars):
        # Entra asks for the userName first, and links what it finds.
        (found,) = entra.find("Users", f'userName eq "{lars.email}"')
        response = entra.ask("POST", "/Users", person(lars.email))

        assert found["displayName"] == "Lars Ek"
        assert error_of(response).status == 409

    def test_an_inactive_person_is_added_without_a_membership(self, entra, nordvik):
        added = entra.add_person(active=False)

        assert added["active"] is False
        assert not is_member(nora_in_portal(), nordvik)

    def test_what_was_done_is_remembered_under_the_tokens_name(self, entra, nordvik):
        entra.add_person()

        event = AuditEvent.objects.get(action=AuditAction.PERSON_ADDED)
        assert event.actor is None
        assert event.actor_name == f"SCIM: Entra ID ({entra.token.pk})"
        assert event.partner_account == nordvik

    def test_what_cannot_be_kept_is_refused(self, entra):
        for fields in (
            {"userName": ""},
            {"userName": None},
            {"userName": "x" * 300},
            {"userName": 7},
            {"displayName": "No\u202era"},
            {"displayName": "No\x00ra"},
            {"externalId": "a\ud800b"},
            {"active": "perhaps"},
            {"emails": [{"value": "no address"}]},
            {"emails": [{"value": "a@b.example"}] * 21},
            {"name": "Nora"},
            {"schemas": ["urn:else"]},
        ):
            with tried(fields):
                refused = error_of(entra.ask("POST", "/Users", person() | fields))

                assert refused.status == 400
                assert refused.type in ("invalidValue", "invalidSyntax")
                assert refused.detail
                assert not DirectoryPerson.objects.exists()


class TestPeopleOfOtherCompanies:
    """T2: a company's directory neither reaches nor learns of other companies."""

    @pytest.fixture
    def hanse(self, sam):
        return sam.memberships.get().partner_account

    def test_somebody_known_elsewhere_is_not_taken_in(self, entra, nordvik, sam):
        refused = error_of(entra.ask("POST", "/Users", person(sam.email)))

        assert (refused.status, refused.type) == (400, "invalidValue")
        assert "Invite the person by e-mail" in refused.detail
        assert not is_member(sam, nordvik)
        assert not DirectoryPerson.objects.exists()

    def test_a_guest_of_another_company_is_not_taken_in(self, entra, nordvik, hanse):
        guest = MembershipFactory(
            user__email="freelancer@mail.example", partner_account=hanse
        ).user

        assert entra.ask("POST", "/Users", person(guest.email)).status_code == 400
        assert not is_member(guest, nordvik)

    def test_without_the_refusal_their_own_company_could_not_sign_them_in(
        self, entra, sam, hanse, monkeypatch
    ):
        # The control: a foreign directory could keep anybody from their own.
        tenant = CompanyTenantFactory(partner_account=hanse)
        refuse_stranger(tenant, sam)
        monkeypatch.setattr(directory, "_refuse_others_people", lambda *_, **__: None)

        entra.add_person(sam.email)

        with pytest.raises(SignInRefused, match="elsewhere"):
            refuse_stranger(tenant, sam)

    def test_nobodys_place_in_another_company_is_taken_beforehand(self, entra, hanse):
        address = "new@stranger.example"

        assert entra.ask("POST", "/Users", person(address)).status_code == 400

        assert not User.objects.filter(email=address).exists()

    def test_the_answer_tells_nothing_about_them(self, entra, sam):
        answers = [
            entra.ask("POST", "/Users", person(address))
            for address in ("new@stranger.example", sam.email)
        ]

        assert answers[0].status_code == answers[1].status_code
        assert answers[0].content == answers[1].content

    def test_somebody_with_an_address_of_the_company_joins_and_stays_as_they_are(
        self, entra, nordvik, hanse
    ):
        user = MembershipFactory(
            user__email="guest@partner.example",
            user__full_name="Gil Guest",
            partner_account=hanse,
        ).user

        added = entra.add_person(user.email, displayName="Gilbert Other")

        password = user.password
        user.refresh_from_db()
        assert (user.full_name, user.password) == ("Gil Guest", password)
        assert is_member(user, nordvik)
        assert is_member(user, hanse)
        assert added["displayName"] == "Gilbert Other"

    @pytest.fixture
    def accepted(self, nordvik, sam):
        """Sam belongs here too, as by an invitation."""
        return MembershipFactory(user=sam, partner_account=nordvik)

    def test_their_name_and_address_cannot_be_changed(self, entra, sam, accepted):
        response = entra.patch(
            f"/Users/{accepted.pk}",
            {
                "op": "Replace",
                "value": {"displayName": "Mine Now", "userName": "x@partner.example"},
            },
            {
                "op": "Replace",
                "path": 'emails[type eq "work"].value',
                "value": "x@partner.example",
            },
        )

        sam.refresh_from_db()
        assert response.json()["displayName"] == "Mine Now"
        assert response.json()["userName"] == "x@partner.example"
        assert (sam.full_name, sam.email) == ("Sam Stranger", "sam@stranger.example")

    def test_deactivating_them_ends_this_membership_only(
        self, entra, nordvik, sam, hanse, accepted, client_of
    ):
        sam_client = client_of(sam)

        entra.patch(
            f"/Users/{accepted.pk}",
            {"op": "Replace", "path": "active", "value": "False"},
        )

        sam.refresh_from_db()
        assert sam.is_active
        assert not is_member(sam, nordvik)
        assert is_member(sam, hanse)
        assert sam_client.get("/").status_code == 200

    def test_an_operators_address_is_taken(self, entra, oscar):
        refused = error_of(entra.ask("POST", "/Users", person(oscar.email)))

        assert (refused.status, refused.type) == (409, "uniqueness")
        assert not oscar.memberships.exists()
        assert "operator" not in refused.detail

    def test_foreign_is_as_missing_byte_by_byte(self, entra, sam, hanse):
        # R16
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            for kind in ("Users", "Groups"):
                with tried(method, kind):
                    abroad = Directory(hanse)
                    foreign = (
                        abroad.id_of(sam)
                        if kind == "Users"
                        else abroad.add_group("Admins")["id"]
                    )
                    before = (
                        list(Membership.objects.values()),
                        list(DirectoryGroup.objects.values()),
                    )
                    payloads = {
                        "PUT": person() if kind == "Users" else {"displayName": "x"},
                        "PATCH": {
                            "Operations": [
                                {"op": "replace", "path": "active", "value": False}
                            ]
                        },
                    }

                    there = entra.ask(
                        method, f"/{kind}/{foreign}", payloads.get(method)
                    )
                    missing = entra.ask(
                        method, f"/{kind}/99999999", payloads.get(method)
                    )

                    assert there.status_code == missing.status_code == 404
                    assert there.content == missing.content
                    assert {**there.headers, "X-Request-ID": ""} == {
                        **missing.headers,
                        "X-Request-ID": "",
                    }
                    assert before == (
                        list(Membership.objects.values()),
                        list(DirectoryGroup.objects.values()),
                    )

    def test_a_foreign_person_cannot_be_put_into_a_group(self, entra, sam, hanse):
        foreign = Directory(hanse).id_of(sam)

        texts = []
        for key in (foreign, "99999999"):
            response = entra.ask(
                "POST", "/Groups", {"displayName": "G", "members": [{"value": key}]}
            )
            texts.append(error_of(response).detail.replace(key, "<id>"))

        assert texts[0] == texts[1]
        assert not DirectoryGroup.objects.exists()

    def test_lists_hold_the_companys_own_people_only(self, entra, sam, lars):
        listed = entra.get("/Users").json()

        assert {one["userName"] for one in listed["Resources"]} == {
            lars.email,
            "greta@partner.example",
        }
        assert entra.find("Users", f'userName eq "{sam.email}"') == []


class TestFormsOfEntra:
    def test_a_person_is_deactivated_by_a_word(self, entra, nora, nordvik):
        # Entra sends "False" as a string, and the operation with a capital letter.
        response = entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "active", "value": "False"},
        )

        assert response.status_code == 200
        assert response.json()["active"] is False
        assert not is_member(nora_in_portal(), nordvik)

    def test_several_attributes_come_in_one_value_with_dotted_names(self, entra, nora):
        response = entra.patch(
            f"/Users/{nora['id']}",
            {
                "op": "Replace",
                "value": {
                    "displayName": "Nora Berg",
                    "name.familyName": "Berg",
                    "name.formatted": "Nora Berg",
                    'emails[type eq "work"].value': "nora.berg@partner.example",
                    f"{ENTERPRISE}:department": "Purchasing",
                    f"{ENTERPRISE}:manager": "7",
                },
            },
        )

        changed = response.json()
        assert changed["name"]["familyName"] == "Berg"
        assert changed["name"]["givenName"] == "Nora"
        assert changed["emails"] == [
            {"primary": True, "type": "work", "value": "nora.berg@partner.example"}
        ]
        user = User.objects.get(email="nora.berg@partner.example")
        assert user.full_name == "Nora Berg"

    def test_an_address_is_named_by_a_filter(self, entra, nora):
        for op in ("Add", "Replace", "add", "REPLACE"):
            with tried(op):
                entra.patch(
                    f"/Users/{nora['id']}",
                    {
                        "op": op,
                        "path": 'emails[type eq "work"].value',
                        "value": "nora.new@partner.example",
                    },
                )

                assert User.objects.filter(email="nora.new@partner.example").exists()

    def test_an_entry_that_a_filter_does_not_find_is_made(self, entra, nora):
        response = entra.patch(
            f"/Users/{nora['id']}",
            {
                "op": "Add",
                "path": 'emails[type eq "other"].value',
                "value": "second@partner.example",
            },
        )

        assert {one["type"] for one in response.json()["emails"]} == {"work", "other"}
        assert nora_in_portal().pk

    def test_attributes_of_no_use_change_nothing(self, entra, nora):
        for operation in (
            {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Sales"},
            {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": [{"value": "1"}]},
            {
                "op": "Replace",
                "path": 'phoneNumbers[type eq "work"].value',
                "value": "1",
            },
            {
                "op": "Replace",
                "path": 'addresses[type eq "work"].country',
                "value": "SE",
            },
            {"op": "Add", "path": "title", "value": "Buyer"},
            {"op": "Remove", "path": "title"},
            {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "x"},
        ):
            with tried(operation):
                response = entra.patch(f"/Users/{nora['id']}", operation)

                assert response.status_code == 200, response.content
                without = {"meta"}
                assert {
                    k: v for k, v in response.json().items() if k not in without
                } == {k: v for k, v in nora.items() if k not in without}

    def test_an_address_that_is_removed_is_what_the_user_name_says(self, entra, nora):
        response = entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Remove", "path": 'emails[type eq "work"].value'},
        )

        assert response.json()["emails"][0]["value"] == "nora@partner.example"

    def test_a_new_external_id_is_kept(self, entra, nora):
        entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "externalId", "value": "another"},
        )

        (found,) = entra.find("Users", 'externalId eq "another"')
        assert found["id"] == nora["id"]

    def test_a_replacement_says_all_there_is(self, entra, nora):
        response = entra.ask(
            "PUT",
            f"/Users/{nora['id']}",
            {
                "schemas": [f"{CORE}:User"],
                "id": nora["id"],
                "userName": "nora@partner.example",
                "displayName": "Nora Only",
            },
        )

        replaced = response.json()
        assert response.status_code == 200
        assert "name" not in replaced
        assert "externalId" not in replaced
        # What is not said of being active stays as it is.
        assert replaced["active"] is True
        assert nora_in_portal().full_name == "Nora Only"

    def test_a_patch_without_operations_is_refused(self, entra, nora):
        for operations in ([], None, "x", [7], [{}], [{"op": "Move", "path": "a"}]):
            response = entra.ask(
                "PATCH",
                f"/Users/{nora['id']}",
                {"schemas": [PATCH], "Operations": operations},
            )
            assert error_of(response).status == 400

    def test_a_patch_is_done_whole_or_not_at_all(self, entra, nora):
        response = entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "displayName", "value": "Half"},
            {"op": "Replace", "path": "userName", "value": ""},
        )

        assert error_of(response).status == 400
        assert nora_in_portal().full_name == "Nora Nilsson"

    def test_too_many_operations_are_refused(self, entra, nora):
        one = {"op": "Replace", "path": "displayName", "value": "x"}

        response = entra.patch(f"/Users/{nora['id']}", *[one] * 1_001)

        assert error_of(response).status == 413


class TestAddresses:
    def test_the_address_follows_inside_the_companys_domains(self, entra, nora):
        entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "emails[primary eq true].value",
             "value": "nora.berg@partner.example"},
        )  # fmt: skip

        user = User.objects.get(pk=User.objects.get(full_name="Nora Nilsson").pk)
        assert user.email == "nora.berg@partner.example"
        event = AuditEvent.objects.get(action=AuditAction.PERSON_CHANGED)
        assert event.before["email"] == "nora@partner.example"
        assert event.after["email"] == "nora.berg@partner.example"

    def test_an_address_outside_the_companys_domains_is_no_sign_in(self, entra, nora):
        response = entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "emails[primary eq true].value",
             "value": "nora@evil.example"},
        )  # fmt: skip

        assert response.json()["emails"][0]["value"] == "nora@evil.example"
        assert nora_in_portal().full_name == "Nora Nilsson"

    def test_a_guests_address_is_the_guests_own(self, entra):
        guest = entra.add_person("guest@elsewhere.example")

        entra.patch(
            f"/Users/{guest['id']}",
            {"op": "Replace", "path": "emails[primary eq true].value",
             "value": "taken.over@partner.example"},
        )  # fmt: skip

        assert User.objects.filter(email="guest@elsewhere.example").exists()

    def test_an_address_that_is_somebody_elses_is_refused(self, entra, nora, lars):
        response = entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "emails[primary eq true].value",
             "value": lars.email},
        )  # fmt: skip

        assert error_of(response).type == "uniqueness"
        assert nora_in_portal().full_name == "Nora Nilsson"

    def test_the_name_of_somebody_who_joined_elsewhere_stays(self, entra, nora):
        MembershipFactory(user=nora_in_portal())

        entra.patch(
            f"/Users/{nora['id']}",
            {"op": "Replace", "path": "displayName", "value": "Other"},
        )

        assert nora_in_portal().full_name == "Nora Nilsson"


class TestDeactivating:
    def test_the_persons_session_dies_at_the_next_request(self, entra, ida, client_of):
        # T5
        client = client_of(ida)
        assert client.get("/").status_code == 200

        entra.patch(
            f"/Users/{entra.id_of(ida)}",
            {"op": "Replace", "path": "active", "value": "False"},
        )

        assert client.get("/").status_code == 302
        assert live_roles(ida) == set()

    def test_deleting_deactivates_and_keeps_the_rows(self, entra, nora, nordvik):
        response = entra.ask("DELETE", f"/Users/{nora['id']}")

        user = nora_in_portal()
        assert (response.status_code, response.content) == (204, b"")
        assert not is_member(user, nordvik)
        assert user.memberships.count() == 1
        assert DirectoryPerson.objects.get().removed_at is not None
        assert error_of(entra.get(f"/Users/{nora['id']}")).status == 404
        assert entra.find("Users", 'userName eq "nora@partner.example"') == []

    def test_somebody_deleted_can_be_added_again_under_the_same_id(
        self, entra, nora, nordvik
    ):
        entra.ask("DELETE", f"/Users/{nora['id']}")

        again = entra.add_person()

        assert again["id"] == nora["id"]
        assert is_member(nora_in_portal(), nordvik)

    def test_somebody_added_by_hand_can_be_deleted(self, entra, lars, nordvik):
        key = entra.id_of(lars)

        assert entra.ask("DELETE", f"/Users/{key}").status_code == 204

        assert not is_member(lars, nordvik)
        assert entra.get(f"/Users/{key}").status_code == 404

    def test_somebody_inactive_comes_back(self, entra, nora, nordvik):
        path = f"/Users/{nora['id']}"
        entra.patch(path, {"op": "Replace", "path": "active", "value": "False"})
        assert entra.get(path).json()["active"] is False

        response = entra.patch(
            path, {"op": "Replace", "path": "active", "value": "True"}
        )

        assert response.json()["active"] is True
        assert is_member(nora_in_portal(), nordvik)

    def test_what_operators_switched_off_stays_off(self, entra, nora):
        user = nora_in_portal()
        user.is_active = False
        user.save()

        entra.patch(
            f"/Users/{nora['id']}", {"op": "Replace", "path": "active", "value": True}
        )

        user.refresh_from_db()
        assert not user.is_active

    @pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
    def test_the_last_global_admin_stays(self, entra, greta, nordvik, method):
        # Rule 75
        key = entra.id_of(greta)
        payload = {
            "PATCH": {
                "schemas": [PATCH],
                "Operations": [{"op": "Replace", "path": "active", "value": "False"}],
            },
            "PUT": person(greta.email, active=False),
            "DELETE": None,
        }[method]

        refused = error_of(entra.ask(method, f"/Users/{key}", payload))

        assert refused.status == 409
        assert "without a Global admin" in refused.detail
        assert is_member(greta, nordvik)

    def test_repeating_a_deactivation_changes_nothing(self, entra, nora):
        path = f"/Users/{nora['id']}"
        for _time in range(2):
            entra.patch(path, {"op": "Replace", "path": "active", "value": "False"})

        assert AuditEvent.objects.filter(action=AuditAction.PERSON_LEFT).count() == 1
