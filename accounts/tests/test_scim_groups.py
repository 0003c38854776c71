"""Groups by SCIM are the roles; who opens that door, and for which groups."""

from datetime import timedelta
from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import (
    AuditAction,
    AuditEvent,
    DirectoryGroup,
    OutgoingEmail,
    ProvisioningToken,
    RoleAssignment,
    RoleSource,
    User,
)
from accounts.roles import Role
from accounts.services import (
    create_provisioning_token,
    deactivate_person,
    map_group,
    revoke_provisioning_token,
    unmap_group,
)
from accounts.tests.cases import tried
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.scim_directory import (
    Directory,
    error_of,
    live_roles,
    nora_in_portal,
)

pytestmark = pytest.mark.django_db


class TestGroups:
    """Groups are the roles: who is in a mapped group holds its role."""

    @pytest.fixture
    def mapped(self, nordvik, greta, goteborg):
        return map_group(
            nordvik,
            group_name="Portal Enrollers",
            role=Role.INCENTIVES_ADMIN,
            location=goteborg,
            by=greta,
        )

    @pytest.fixture
    def enrollers(self, entra, mapped, nora):
        return entra.add_group("Portal Enrollers", nora["id"])

    def test_a_group_that_is_not_mapped_gives_nothing(self, entra, nora):
        group = entra.add_group("Canteen", nora["id"])

        assert group["members"][0]["value"] == nora["id"]
        assert live_roles(nora_in_portal()) == set()

    def test_members_of_a_mapped_group_hold_its_role_there(self, enrollers, goteborg):
        assert live_roles(nora_in_portal()) == {
            (Role.INCENTIVES_ADMIN, goteborg, RoleSource.SCIM)
        }

    def test_giving_is_remembered_and_told(self, entra, enrollers):
        event = AuditEvent.objects.get(action=AuditAction.ROLE_ASSIGNED)
        mail = OutgoingEmail.objects.get(name="role_given")

        assert event.actor_name == f"SCIM: Entra ID ({entra.token.pk})"
        assert event.after["source"] == "scim"
        assert mail.to_user == nora_in_portal()

    @pytest.mark.parametrize("name", ["portal enrollers", "id of Portal Enrollers"])
    def test_a_group_is_named_by_its_name_or_its_external_id(
        self, entra, nordvik, greta, nora, name
    ):
        map_group(nordvik, group_name=name, role=Role.USER_ADMIN, by=greta)

        entra.add_group("Portal Enrollers", nora["id"])

        assert live_roles(nora_in_portal()) == {
            (Role.USER_ADMIN, None, RoleSource.SCIM)
        }

    def test_a_mapping_made_later_gives_the_role_at_once(
        self, entra, nora, nordvik, greta
    ):
        entra.add_group("Later", nora["id"])

        map_group(nordvik, group_name="Later", role=Role.MPN_ADMIN, by=greta)

        assert live_roles(nora_in_portal()) == {(Role.MPN_ADMIN, None, RoleSource.SCIM)}
        assert RoleAssignment.objects.get(source="scim").granted_by == greta

    def test_a_mapping_taken_away_ends_the_role_at_once(self, enrollers, mapped, greta):
        unmap_group(mapped, by=greta)

        assert live_roles(nora_in_portal()) == set()

    def test_members_are_added_in_entras_form(self, entra, mapped, nora):
        group = entra.add_group("Portal Enrollers")

        response = entra.patch(
            f"/Groups/{group['id']}",
            {
                "op": "Add",
                "path": "members",
                "value": [{"$ref": None, "value": nora["id"]}],
            },
        )

        assert response.status_code == 204
        assert len(live_roles(nora_in_portal())) == 1

    def test_members_removed_lose_the_role(self, entra, enrollers, nora):
        for form in (
            *("filter", "value", "null", "address", "unset", "all", "replace"),
            *("within", "put", "odd"),
        ):
            with tried(form):
                path, key = f"/Groups/{enrollers['id']}", nora["id"]
                operations = {
                    "filter": {"op": "Remove", "path": f'members[value eq "{key}"]'},
                    "value": {
                        "op": "Remove",
                        "path": "members",
                        "value": [{"value": key}],
                    },
                    # As Microsoft documents it: the null is no condition.
                    "null": {
                        "op": "Remove",
                        "path": "members",
                        "value": [{"$ref": None, "value": key}],
                    },
                    "address": {
                        "op": "remove",
                        "path": "members",
                        "value": {
                            "$ref": f"https://portal.example/scim/v2/Users/{key}"
                        },
                    },
                    "unset": {"op": "Replace", "path": "members", "value": None},
                    "all": {"op": "Remove", "path": "members"},
                    "replace": {"op": "Replace", "path": "members", "value": []},
                    "within": {"op": "Replace", "value": {"members": []}},
                    "odd": {"op": "Remove", "path": 'members[type eq "User"]'},
                }
                if form == "put":
                    response = entra.ask(
                        "PUT", path, {"displayName": "Portal Enrollers"}
                    )
                else:
                    response = entra.patch(path, operations[form])

                assert response.status_code in (200, 204), response.content
                assert live_roles(nora_in_portal()) == set()
                ended = RoleAssignment.objects.get(user=nora_in_portal())
                assert ended.revoked_at is not None

    def test_members_that_are_not_meant_stay(self, entra, enrollers):
        for operation in (
            {"op": "Remove", "path": "members", "value": [{"value": "99999999"}]},
            {"op": "Remove", "path": 'members[value eq "somebody else"]'},
            {"op": "Remove", "path": "members", "value": []},
            {"op": "Add", "path": "members", "value": []},
            {"op": "Replace", "path": "displayName", "value": "Portal Enrollers"},
        ):
            entra.patch(f"/Groups/{enrollers['id']}", operation)

            assert len(live_roles(nora_in_portal())) == 1, operation

    def test_members_come_and_go_in_the_order_of_the_operations(
        self, entra, mapped, nora
    ):
        path = f"/Groups/{entra.add_group('Portal Enrollers')['id']}"
        second = entra.add_person("second@partner.example")["id"]
        add = {"op": "Add", "path": "members", "value": [{"value": nora["id"]}]}
        remove = {"op": "Remove", "path": f'members[value eq "{nora["id"]}"]'}
        swap = {"op": "Replace", "path": "members", "value": [{"value": second}]}
        name = {"op": "Replace", "path": "displayName", "value": "Renamed"}

        def members_after(*operations) -> set[str]:
            response = entra.patch(f"{path}?attributes=members", *operations)
            assert response.status_code == 200, response.content
            return {one["value"] for one in response.json().get("members", [])}

        assert members_after(add, remove) == set()
        assert members_after(remove, add) == {nora["id"]}
        assert members_after(add, swap) == {second}
        assert members_after(swap, name, add) == {second, nora["id"]}
        assert entra.get(path).json()["displayName"] == "Renamed"

    def test_malformed_members_are_refused(self, entra, enrollers):
        values = [["1"], [{}], [None], "x", 7, [{"value": {"a": 1}}], [{"value": 1}]]
        values += [[{"value": "nobody"}], [{"value": "99999999"}], [[]]]

        for op, value in product(("Add", "Replace"), values):
            response = entra.patch(
                f"/Groups/{enrollers['id']}",
                {"op": op, "path": "members", "value": value},
            )

            assert error_of(response).status == 400, (op, value)
            assert len(live_roles(nora_in_portal())) == 1, (op, value)

    def test_many_odd_operations_on_members_are_refused(self, entra, enrollers):
        odd = {"op": "Remove", "path": 'members[type eq "Group"]'}

        response = entra.patch(f"/Groups/{enrollers['id']}", *[odd] * 21)

        assert error_of(response).status == 413

    def test_only_roles_that_came_from_there_are_removed(
        self, entra, mapped, ida, goteborg
    ):
        # Ida holds the same role from a person's hand.
        key = entra.id_of(ida)
        group = entra.add_group("Portal Enrollers", key)

        entra.patch(
            f"/Groups/{group['id']}",
            {"op": "Remove", "path": f'members[value eq "{key}"]'},
        )

        assert live_roles(ida) == {(Role.INCENTIVES_ADMIN, goteborg, RoleSource.MANUAL)}

    def test_a_role_of_two_groups_ends_with_the_last(
        self, entra, enrollers, nora, nordvik, greta, goteborg
    ):
        map_group(
            nordvik,
            group_name="Second",
            role=Role.INCENTIVES_ADMIN,
            location=goteborg,
            by=greta,
        )
        second = entra.add_group("Second", nora["id"])

        entra.patch(f"/Groups/{enrollers['id']}", {"op": "Remove", "path": "members"})
        assert len(live_roles(nora_in_portal())) == 1
        entra.ask("DELETE", f"/Groups/{second['id']}")
        assert live_roles(nora_in_portal()) == set()

    def test_renaming_a_group_away_ends_its_roles(self, entra, enrollers):
        response = entra.patch(
            f"/Groups/{enrollers['id']}",
            {"op": "Replace", "value": {"displayName": "Something Else"}},
        )

        assert response.status_code == 204
        assert live_roles(nora_in_portal()) == set()

    def test_deleting_a_group_ends_its_roles_and_keeps_the_row(self, entra, enrollers):
        response = entra.ask("DELETE", f"/Groups/{enrollers['id']}")

        assert response.status_code == 204
        assert live_roles(nora_in_portal()) == set()
        assert DirectoryGroup.objects.get().removed_at is not None
        assert error_of(entra.get(f"/Groups/{enrollers['id']}")).status == 404
        entra.add_group("Portal Enrollers")

    def test_an_inactive_member_holds_nothing_and_holds_it_again_when_back(
        self, entra, enrollers, nora, goteborg
    ):
        path = f"/Users/{nora['id']}"
        entra.patch(path, {"op": "Replace", "path": "active", "value": "False"})
        assert live_roles(nora_in_portal()) == set()

        entra.patch(path, {"op": "Replace", "path": "active", "value": "True"})

        assert live_roles(nora_in_portal()) == {
            (Role.INCENTIVES_ADMIN, goteborg, RoleSource.SCIM)
        }

    def test_a_guest_gets_no_incentive_role_and_the_others_do(
        self, entra, mapped, nora, client_of, greta
    ):
        # R14
        guest = entra.add_person("guest@elsewhere.example")

        entra.add_group("Portal Enrollers", guest["id"], nora["id"])

        assert live_roles(User.objects.get(email="guest@elsewhere.example")) == set()
        assert len(live_roles(nora_in_portal())) == 1

    def test_who_takes_a_role_by_an_own_key_is_told_of(
        self, entra, mapped, nora, greta, alice
    ):
        # T3: a directory's key is no quiet way to give oneself a role.
        ProvisioningToken.objects.update(created_by=greta)
        group = entra.add_group("Portal Enrollers", nora["id"])
        assert not OutgoingEmail.objects.filter(name="role_taken").exists()

        entra.patch(
            f"/Groups/{group['id']}",
            {"op": "Add", "path": "members", "value": [{"value": entra.id_of(greta)}]},
        )

        told = OutgoingEmail.objects.get(name="role_taken")
        assert told.to_user == alice
        assert told.subject.startswith("Greta Voss gave themselves the role")
        taken = RoleAssignment.objects.get(user=greta, source=RoleSource.SCIM)
        assert taken.granted_by == greta
        assert RoleAssignment.objects.get(user=nora_in_portal()).granted_by is None

    def test_a_closed_location_gives_nothing(self, entra, mapped, nora, goteborg):
        goteborg.closed_at = timezone.now()
        goteborg.save()

        entra.add_group("Portal Enrollers", nora["id"])

        assert live_roles(nora_in_portal()) == set()

    def test_roles_at_several_locations_are_one_mail(
        self, entra, mapped, nora, malmo, nordvik, greta
    ):
        map_group(
            nordvik,
            group_name="Portal Enrollers",
            role=Role.INCENTIVES_ADMIN,
            location=malmo,
            by=greta,
        )

        entra.add_group("Portal Enrollers", nora["id"])

        assert len(live_roles(nora_in_portal())) == 2
        assert OutgoingEmail.objects.filter(name="role_given").count() == 1

    def test_the_last_global_admin_is_not_removed_by_a_group(
        self, entra, nora, nordvik, greta
    ):
        # Rule 75
        map_group(nordvik, group_name="Bosses", role=Role.GLOBAL_ADMIN, by=greta)
        group = entra.add_group("Bosses", nora["id"])
        deactivate_person(greta.memberships.get(), by=None)

        for method, payload in (("PUT", {"displayName": "Bosses"}), ("DELETE", None)):
            refused = error_of(entra.ask(method, f"/Groups/{group['id']}", payload))
            assert refused.status == 409
            assert "without a Global admin" in refused.detail

        assert len(live_roles(nora_in_portal())) == 1
        assert len(entra.get(f"/Groups/{group['id']}").json()["members"]) == 1

    def test_one_global_admin_takes_over_from_another_in_one_step(
        self, entra, nora, nordvik, greta
    ):
        map_group(nordvik, group_name="Bosses", role=Role.GLOBAL_ADMIN, by=greta)
        second = entra.add_person("second@partner.example")
        group = entra.add_group("Bosses", nora["id"])
        deactivate_person(greta.memberships.get(), by=None)

        response = entra.ask(
            "PUT",
            f"/Groups/{group['id']}",
            {"displayName": "Bosses", "members": [{"value": second["id"]}]},
        )

        assert response.status_code == 200
        assert live_roles(nora_in_portal()) == set()

    def test_two_groups_of_one_name_are_refused(self, entra):
        entra.add_group("Twice")

        refused = error_of(entra.ask("POST", "/Groups", {"displayName": "TWICE"}))

        assert (refused.status, refused.type) == (409, "uniqueness")

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"displayName": ""},
            {"displayName": "x" * 257},
            {"displayName": "G", "members": [{"value": "nobody"}]},
            {"displayName": "G", "members": [{"value": "9" * 40}]},
            {"displayName": "G", "members": [{}]},
            {"displayName": "G", "members": "1"},
        ],
        ids=str,
    )
    def test_a_malformed_group_is_refused(self, entra, payload):
        assert error_of(entra.ask("POST", "/Groups", payload)).status == 400
        assert not DirectoryGroup.objects.exists()

    def test_nothing_new_writes_nothing(self, entra, enrollers):
        before = AuditEvent.objects.count()

        entra.patch(
            f"/Groups/{enrollers['id']}",
            {"op": "Replace", "path": "displayName", "value": "Portal Enrollers"},
        )

        assert AuditEvent.objects.count() == before


def test_other_roles_of_a_person_stay_when_the_directory_ends_its_own(
    entra, nordvik, greta, nora, goteborg
):
    user = nora_in_portal()
    RoleAssignmentFactory(user=user, role=Role.INCENTIVES_USER, partner_account=nordvik)
    map_group(nordvik, group_name="G", role=Role.USER_ADMIN, by=greta)
    group = entra.add_group("G", nora["id"])

    entra.ask("DELETE", f"/Groups/{group['id']}")

    assert live_roles(user) == {(Role.INCENTIVES_USER, None, RoleSource.MANUAL)}


class TestTokensAndMappings:
    def test_a_token_is_of_one_company(self, entra, sam):
        other = sam.memberships.get().partner_account

        assert entra.find("Users", f'userName eq "{sam.email}"') == []
        assert len(Directory(other).find("Users", f'userName eq "{sam.email}"')) == 1

    def test_making_and_revoking_are_remembered(self, nordvik, greta):
        token, _secret = create_provisioning_token(nordvik, name="One", by=greta)
        for _time in range(2):
            revoke_provisioning_token(token, by=greta)

        made = AuditEvent.objects.get(action=AuditAction.TOKEN_CREATED)
        ended = AuditEvent.objects.get(action=AuditAction.TOKEN_REVOKED)
        assert (made.actor, made.after["name"]) == (greta, "One")
        assert (ended.actor, ended.object_id) == (greta, str(token.pk))

    def test_names_of_tokens_in_use_are_taken_once(self, nordvik, greta):
        token, _secret = create_provisioning_token(nordvik, name="One", by=greta)
        with pytest.raises(ValidationError, match="A token of this name exists"):
            create_provisioning_token(nordvik, name="one", by=greta)

        revoke_provisioning_token(token, by=greta)
        create_provisioning_token(nordvik, name="one", by=greta)

    def test_a_last_day_is_not_in_the_past(self, nordvik, greta):
        yesterday = timezone.localdate() - timedelta(days=1)

        with pytest.raises(ValidationError, match="in the past"):
            create_provisioning_token(
                nordvik, name="One", expires_on=yesterday, by=greta
            )

    @pytest.mark.parametrize("name", ["alice", "ida", "lars", "sam", "oscar"])
    def test_only_global_admins_open_the_door(self, cast, nordvik, name):
        person = getattr(cast, name)
        token, _secret = create_provisioning_token(nordvik, name="One", by=None)
        mapping = map_group(nordvik, group_name="G", role=Role.USER_ADMIN, by=None)

        for step in (
            lambda: create_provisioning_token(nordvik, name="Two", by=person),
            lambda: revoke_provisioning_token(token, by=person),
            lambda: map_group(nordvik, group_name="H", role=Role.USER_ADMIN, by=person),
            lambda: unmap_group(mapping, by=person),
        ):
            with pytest.raises(
                ValidationError, match="Only Global admins of Nordvik IT AB"
            ):
                step()

        assert ProvisioningToken.objects.get().revoked_at is None

    def test_the_program_owners_superuser_helps(self, nordvik):
        root = UserFactory(is_staff=True, is_superuser=True)

        token, _secret = create_provisioning_token(nordvik, name="One", by=root)

        assert token.created_by == root

    def test_a_group_is_mapped_to_the_companys_own_locations(self, nordvik, greta):
        with pytest.raises(ValidationError, match="Choose a location of your company"):
            map_group(
                nordvik,
                group_name="G",
                role=Role.INCENTIVES_ADMIN,
                location=LocationFactory(),
                by=greta,
            )

    def test_a_company_role_is_mapped_without_a_location(
        self, nordvik, greta, goteborg
    ):
        with pytest.raises(ValidationError, match="for the whole company"):
            map_group(
                nordvik,
                group_name="G",
                role=Role.ACCOUNT_ADMIN,
                location=goteborg,
                by=greta,
            )

    def test_mapping_twice_maps_once(self, nordvik, greta):
        first = map_group(nordvik, group_name="G", role=Role.USER_ADMIN, by=greta)
        second = map_group(nordvik, group_name="g", role=Role.USER_ADMIN, by=greta)

        assert first == second
        assert AuditEvent.objects.filter(action=AuditAction.GROUP_MAPPED).count() == 1

    def test_another_companys_group_of_the_same_name_gives_nothing(
        self, entra, nora, greta
    ):
        other = PartnerAccountFactory()
        map_group(other, group_name="Shared", role=Role.GLOBAL_ADMIN, by=None)

        entra.add_group("Shared", nora["id"])

        assert live_roles(nora_in_portal()) == set()

    def test_a_role_of_the_directory_says_where_it_came_from(
        self, entra, nora, nordvik, greta, client_of
    ):
        map_group(nordvik, group_name="G", role=Role.USER_ADMIN, by=greta)
        entra.add_group("G", nora["id"])

        page = client_of(greta).get("/people/").content.decode()

        assert "Microsoft Entra ID" in page
