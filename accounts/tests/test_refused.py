"""Refused access is remembered: once, outside what was refused, telling nobody more."""

import re
import time
import uuid
from functools import partial

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import services
from accounts.models import AuditAction, AuditChain, AuditEvent, RoleAssignment
from accounts.origin import Door, Origin, coming_from
from accounts.roles import Role
from accounts.services import refused
from accounts.tests.factories import (
    PASSWORD,
    AccessRequestFactory,
    ColleagueInvitationFactory,
    GroupMappingFactory,
    LocationFactory,
    ProvisioningTokenFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
)
from accounts.tests.scim_directory import Directory
from accounts.tests.second_factors import give_app
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db


def denied() -> list[AuditEvent]:
    events = AuditEvent.objects.filter(action=AuditAction.ACCESS_DENIED)
    return list(events.order_by("pk"))


def same(one, other) -> bool:
    """Whether two answers say the same but for the token of their forms."""
    token = re.compile(rb'name="csrfmiddlewaretoken" value="\w+"')
    return one.status_code == other.status_code and (
        token.sub(b"", one.content) == token.sub(b"", other.content)
    )


def end_role(assignment) -> str:
    return reverse("accounts:revoke", args=[assignment.pk])


def _attempt(name: str, role, by) -> None:
    """Ask a service for something of a role's company that it refuses `by`."""
    company = role.partner_account
    subjects = {
        "invite_colleague": lambda: company,
        "resend_invitation": lambda: ColleagueInvitationFactory(
            partner_account=company, created_by=role.user
        ),
        "decline_access": lambda: AccessRequestFactory(partner_account=company),
        "stop_recovery": lambda: RecoveryRequestFactory(partner_account=company),
        "withdraw_closing": lambda: LocationFactory(partner_account=company),
        "unmap_group": lambda: GroupMappingFactory(partner_account=company),
        "revoke_provisioning_token": lambda: ProvisioningTokenFactory(
            partner_account=company
        ),
    }
    subjects["revoke_invitation"] = subjects["resend_invitation"]
    subjects["replace_provisioning_token"] = subjects["revoke_provisioning_token"]
    more = {
        "invite_colleague": {
            "email": "new@partner.example",
            "full_name": "N",
            "language": "en",
            "role": Role.INCENTIVES_USER,
        },
        "decline_access": {"reason": "no"},
    }
    getattr(services, name)(subjects[name](), by=by, **more.get(name, {}))


@shared
def foreign(sam) -> RoleAssignment:
    """A role of another company."""
    return RoleAssignment.objects.get(user=sam)


class TestWhatIsRemembered:
    def test_a_row_of_another_company(self, client_of, greta, foreign):
        response = client_of(greta, REMOTE_ADDR="192.0.2.77").get(end_role(foreign))

        (event,) = denied()
        assert response.status_code == 404
        assert event.actor == greta
        assert event.partner_account == foreign.partner_account
        assert event.object_type == "accounts.roleassignment"
        assert event.object_id == str(foreign.pk)
        assert event.after == {"wanted": "role_assign"}
        assert (event.door, event.place) == (Door.WEB, "192.0.2.0/24")
        assert event.request_id == response["X-Request-ID"]

    def test_a_page_of_the_own_company(self, client_of, lars, nordvik):
        response = client_of(lars).get(reverse("accounts:people"))

        (event,) = denied()
        assert response.status_code == 403
        assert (event.partner_account, event.actor) == (nordvik, lars)
        assert (event.object_type, event.object_id) == ("page", "accounts:people")
        assert event.after == {"wanted": "person_view"}

    def test_a_row_one_sees_and_may_not_change(self, client_of, uma, goteborg):
        response = client_of(uma).get(
            reverse("enrollment:ask_closing", args=[goteborg.pk])
        )

        (event,) = denied()
        assert response.status_code == 403
        assert (event.object_type, event.object_id) == (
            "accounts.location",
            str(goteborg.pk),
        )
        assert event.after == {"wanted": "location_edit"}

    def test_an_operators_page_by_a_partner(self, client_of, greta):
        response = client_of(greta).get(reverse("ops:validation"))

        (event,) = denied()
        assert response.status_code == 404
        assert (event.object_type, event.object_id) == ("page", "ops:validation")

    def test_an_operators_page_by_an_operator_of_another_group(self, client_of, oscar):
        email = uuid.uuid4()

        response = client_of(oscar).post(reverse("ops:resend", args=[email]))

        (event,) = denied()
        assert response.status_code == 403
        assert event.partner_account is None
        assert event.after == {"wanted": "accounts.resend_outgoingemail"}

    def test_a_record_of_another_company_in_the_admin(self, client_of, greta, foreign):
        response = client_of(greta).get(
            reverse("admin:accounts_roleassignment_change", args=[foreign.pk])
        )

        (event,) = denied()
        assert response.status_code == 404
        assert event.partner_account == foreign.partner_account
        assert event.object_id == str(foreign.pk)

    def test_the_admin_by_somebody_who_has_no_business_there(self, client_of, lars):
        client_of(lars).get(reverse("admin:index"))

        (event,) = denied()
        assert event.object_id == "admin:index"

    def test_a_right_that_a_service_refused(self, alice, ida, nordvik):
        # R5: an Account admin gives no Global admin, however it was asked for.
        with coming_from(here := Origin(Door.WEB)), pytest.raises(ValidationError):
            services.assign_role(ida, role=Role.GLOBAL_ADMIN, account=nordvik, by=alice)
        assert denied() == []  # not in the transaction that was refused

        services.write_refusals(here)

        (event,) = denied()
        assert (event.actor, event.partner_account) == (alice, nordvik)
        assert event.after == {"wanted": "role_assign"}

    @pytest.mark.parametrize(
        ("attempt", "wanted"),
        [
            (lambda role, by: services.revoke_role(role, by=by), "role_assign"),
            (lambda role, by: services.revoke_roles([role], by=by), "role_assign"),
            (
                lambda role, by: services.deactivate_person(
                    role.user.memberships.get(), by=by
                ),
                "person_edit",
            ),
            (
                lambda role, by: services.create_provisioning_token(
                    role.partner_account, name="x", by=by
                ),
                "provisioning_edit",
            ),
            *(
                (partial(_attempt, name), "provisioning_edit")
                for name in ("replace_provisioning_token", "revoke_provisioning_token")
            ),
            (partial(_attempt, "unmap_group"), "provisioning_edit"),
            (partial(_attempt, "invite_colleague"), "role_assign"),
            (partial(_attempt, "resend_invitation"), "role_assign"),
            (partial(_attempt, "revoke_invitation"), "role_assign"),
            (partial(_attempt, "decline_access"), "role_assign"),
            (partial(_attempt, "stop_recovery"), "role_assign"),
            (partial(_attempt, "withdraw_closing"), "location_edit"),
        ],
    )
    def test_each_right_that_a_service_refuses(
        self, lars, greta, nordvik, attempt, wanted
    ):
        role = RoleAssignment.objects.get(user=greta)
        with coming_from(here := Origin(Door.WEB)), pytest.raises(ValidationError):
            attempt(role, lars)

        services.write_refusals(here)

        (event,) = denied()
        assert (event.actor, event.partner_account) == (lars, nordvik)
        assert event.after == {"wanted": wanted}

    def test_another_companys_person_asked_for_by_a_directory(self, greta, foreign):
        directory = Directory(greta.memberships.get().partner_account)
        member = foreign.user.memberships.get()

        response = directory.client.get(f"/scim/v2/Users/{member.pk}")

        (event,) = denied()
        assert response.status_code == 404
        assert event.partner_account == foreign.partner_account
        assert event.actor_name.startswith("SCIM:")
        assert event.after == {"wanted": "directory"}

    def test_a_wrong_password(self, client, lars, nordvik):
        form = {"login": lars.email, "password": "not this one"}
        client.post(reverse("account_login"), form, REMOTE_ADDR="192.0.2.7")
        client.post(reverse("account_login"), form, REMOTE_ADDR="192.0.2.7")

        (event,) = denied()
        assert (event.actor, event.person) == (None, lars)
        assert event.partner_account == nordvik
        assert event.after == {"wanted": "sign_in"}
        assert event.place == "192.0.2.0/24"

    def test_a_wrong_code_after_the_right_password(self, client, lars, nordvik):
        give_app(lars)
        client.post(
            reverse("account_login"), {"login": lars.email, "password": PASSWORD}
        )
        client.post(reverse("mfa_authenticate"), {"code": "000000"})

        (event,) = denied()
        assert (event.actor, event.person) == (None, lars)
        assert event.partner_account == nordvik
        assert event.after == {"wanted": "second_factor"}

    def test_a_wrong_code_instead_of_the_password(self, client_of, lars):
        give_app(lars)
        client_of(lars).post(reverse("mfa_reauthenticate"), {"code": "000000"})

        (event,) = denied()
        assert (event.actor, event.person) == (lars, lars)

    def test_a_key_that_was_revoked(self, nordvik, greta):
        directory = Directory(nordvik)
        services.revoke_provisioning_token(directory.token, by=greta)

        response = directory.get("/Users")

        (event,) = denied()
        assert response.status_code == 401
        assert (event.actor_name, event.partner_account) == ("SCIM", nordvik)
        assert event.object_type == "accounts.provisioningtoken"
        assert event.after == {"wanted": "token"}
        assert directory.secret not in str(event.__dict__)


class TestWhatIsNot:
    def test_a_password_for_nobody(self, client, nordvik):
        form = {"login": "nobody@partner.example", "password": "not this one"}
        client.post(reverse("account_login"), form)

        assert denied() == []

    def test_a_key_that_never_was(self, client):
        client.get("/scim/v2/Users", headers={"Authorization": "Bearer made-up"})

        assert denied() == []

    @pytest.mark.parametrize("key", [99_999_999, 0])
    def test_what_does_not_exist(self, client_of, greta, key):
        response = client_of(greta).get(reverse("accounts:revoke", args=[key]))

        assert response.status_code == 404
        assert denied() == []
        assert not AuditChain.objects.filter(seq__gt=0).exists()

    def test_an_operators_missing_row(self, client_of, mina):
        client_of(mina).post(reverse("ops:resend", args=[uuid.uuid4()]))

        assert denied() == []

    def test_addresses_without_a_page(self, client_of, greta):
        client_of(greta).get("/nowhere/")
        client_of(greta).get("/admin/nowhere/")

        assert denied() == []

    def test_strangers_who_are_sent_to_sign_in(self, client, foreign):
        client.get(end_role(foreign))

        assert denied() == []

    def test_what_is_allowed(self, client_of, greta, ida):
        client_of(greta).get(reverse("accounts:people"))
        client_of(greta).get(end_role(RoleAssignment.objects.get(user=ida)))

        assert denied() == []

    def test_what_a_directory_removed_of_its_own(self, nordvik):
        directory = Directory(nordvik)
        group = directory.add_group("Sales")
        directory.ask("DELETE", f"/Groups/{group['id']}")

        response = directory.get(f"/Groups/{group['id']}")

        assert response.status_code == 404
        assert denied() == []


class TestFloods:
    def test_one_person_and_one_object_are_one_event_in_a_window(
        self, client_of, greta, foreign
    ):
        client = client_of(greta)
        for _time in range(5):
            client.get(end_role(foreign))
            client.post(end_role(foreign))

        assert len(denied()) == 1

    def test_the_next_window_is_another(self, client_of, greta, foreign, monkeypatch):
        monkeypatch.setattr(refused, "WINDOW_SECONDS", 0.1)
        client = client_of(greta)

        client.get(end_role(foreign))
        time.sleep(1.2)
        client.get(end_role(foreign))

        assert len(denied()) == 2

    def test_another_person_and_another_object_are_others(
        self, client_of, greta, alice, foreign
    ):
        other = RoleAssignmentFactory()
        for person in (greta, alice):
            for row in (foreign, other):
                client_of(person).get(end_role(row))

        assert len(denied()) == 4

    def test_a_scanner_is_told_of_once_and_then_fills_nothing(
        self, client_of, greta, nordvik, monkeypatch
    ):
        monkeypatch.setattr(refused, "MOST_IN_A_WINDOW", 5)
        client = client_of(greta)
        # Half of them do not exist: they count as much.
        rows = [RoleAssignmentFactory().pk for _number in range(8)]
        for row in rows:
            client.get(reverse("accounts:revoke", args=[row]))
            client.get(reverse("accounts:revoke", args=[row + 1_000]))

        *found, last = denied()
        assert len(found) == 3
        assert (last.object_type, last.object_id) == ("page", "many")
        assert (last.partner_account, last.actor) == (nordvik, greta)
        assert last.after == {"wanted": "role_assign", "times": 5}

    @pytest.mark.parametrize("is_counted_apart", [True, False])
    def test_a_try_at_an_account_is_not_hidden_behind_noise(
        self, client, lars, monkeypatch, is_counted_apart
    ):
        monkeypatch.setattr(refused, "MOST_IN_A_WINDOW", 2)
        if not is_counted_apart:
            # The control: all strangers share one count.
            monkeypatch.setattr(refused, "BEFORE_SIGN_IN", frozenset())
        for address in ("a@b.example", "c@d.example", "e@f.example", lars.email):
            form = {"login": address, "password": "not this one"}
            client.post(reverse("account_login"), form)

        found = [event for event in denied() if event.person == lars]
        assert bool(found) is is_counted_apart


class TestNoOracle:
    def queries(self, action) -> tuple[list[str], list[str]]:
        """What is asked until the answer is there, and what after it."""
        here = []
        original = refused.write_refusals

        def mark(origin):
            here.append(len(connection.queries_log))
            original(origin)

        with CaptureQueriesContext(connection) as captured:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("accounts.services.write_refusals", mark)
                action()
            asked = [query["sql"] for query in captured.captured_queries]
        split = here[0] - captured.initial_queries if here else len(asked)
        return asked[:split], asked[split:]

    def test_foreign_and_missing_take_the_same_steps(self, client_of, greta, foreign):
        # R16: until the answer exactly the same; afterwards the same statements.
        client = client_of(greta)
        # Whoever was refused before in this window is counted already.
        client.get(end_role(RoleAssignmentFactory()))
        denied_before = len(denied())

        def asked_for(key):
            return self.queries(
                lambda: client.get(reverse("accounts:revoke", args=[key]))
            )

        for _time in ("the first", "the second"):
            before_foreign, after_foreign = asked_for(foreign.pk)
            before_missing, after_missing = asked_for(99_999_999)

            assert len(before_foreign) == len(before_missing)
            assert len(after_foreign) == len(after_missing)
        assert len(denied()) == denied_before + 1

    def test_a_trail_that_cannot_be_written_changes_no_answer(
        self, client_of, greta, foreign, monkeypatch, caplog
    ):
        def broken(what):
            raise OSError

        client = client_of(greta)
        answered = client.get(end_role(foreign))

        monkeypatch.setattr(refused, "_is_first", broken)

        assert same(client.get(end_role(foreign)), answered)
        assert "could not be written" in caplog.text
