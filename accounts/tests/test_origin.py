"""Where events come from: who, on whose behalf, by which door, from which place."""

import json

import pytest
from celery import shared_task
from django.core.management import (
    call_command,
    get_commands,
    load_command_class,
)
from django.urls import reverse

from accounts import services
from accounts.commands import PortalCommand
from accounts.logs import REDACTED
from accounts.models import AuditAction, AuditEvent, RoleAssignment
from accounts.origin import Door, fingerprint_of_session, network_of
from accounts.roles import Role
from accounts.services import acting_as, carried_out_by, record_audit_event
from accounts.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

FIREFOX = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"
)


def last_event() -> AuditEvent:
    return AuditEvent.objects.order_by("-pk").select_related("actor").first()


class TestPlaces:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:aaaa:bbbb::1", "2001:db8:aaaa::/48"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("fe80::1%eth0", "fe80::/48"),
            ("", ""),
            ("nowhere", ""),
            ("192.0.2.77, 198.51.100.1", ""),
        ],
    )
    def test_an_address_is_shortened_to_its_network(self, address, network):
        assert network_of(address) == network

    def test_a_fingerprint_opens_no_session(self):
        assert fingerprint_of_session("abc") == "ba7816bf8f01cfea"
        assert fingerprint_of_session(None) == ""


class TestRequests:
    def test_a_request_leaves_where_it_came_from(self, client_of, ida, goteborg, greta):
        assignment = RoleAssignment.objects.get(user=ida)
        client = client_of(
            greta, headers={"user-agent": FIREFOX}, REMOTE_ADDR="192.0.2.77"
        )

        response = client.post(reverse("accounts:revoke", args=[assignment.pk]))

        event = last_event()
        assert event.action == AuditAction.ROLE_REVOKED
        assert (event.actor, event.person, event.location) == (greta, ida, goteborg)
        assert event.door == Door.WEB
        assert event.place == "192.0.2.0/24"
        assert event.device == "Firefox, Windows"
        assert event.session_hash == fingerprint_of_session(client.session.session_key)
        assert event.request_id == response["X-Request-ID"]

    def test_nothing_of_one_request_is_left_for_the_next_event(
        self, client_of, greta, nordvik
    ):
        client_of(greta).get(reverse("accounts:people"))

        event = record_audit_event(
            nordvik, action=AuditAction.COMPANY_ADDED, by=None, partner_account=nordvik
        )

        assert (event.door, event.place, event.session_hash) == ("", "", "")


class TestMachines:
    def test_a_command_leaves_its_name(self):
        call_command("add_operator", "new@owner.example", name="New", groups=["Reader"])

        event = last_event()
        assert (event.door, event.door_name) == (Door.COMMAND, "add_operator")
        assert event.person.email == "new@owner.example"

    def test_every_command_leaves_its_name(self):
        for app in ("accounts", "profiles", "enrollment"):
            for name in _commands_of(app):
                assert issubclass(_command(app, name), PortalCommand), name

    def test_a_task_leaves_its_name(self, nordvik):
        @shared_task(name="accounts.tests.invented")
        def invented():
            record_audit_event(
                nordvik,
                action=AuditAction.COMPANY_ADDED,
                by=None,
                partner_account=nordvik,
            )

        done = invented.apply()

        event = last_event()
        assert done.successful()
        assert (event.door, event.door_name) == (Door.TASK, "accounts.tests.invented")
        assert event.request_id == done.id

    def test_a_machine_acts_on_behalf_of_somebody(self, nordvik, greta):
        with acting_as("SCIM: Entra ID (1)", on_behalf_of=greta):
            event = record_audit_event(
                nordvik,
                action=AuditAction.COMPANY_ADDED,
                by=None,
                partner_account=nordvik,
            )

        assert event.actor is None
        assert event.actor_name == "SCIM: Entra ID (1)"
        assert event.on_behalf_of == greta


class TestPeople:
    def test_another_language_is_a_change_of_the_person(self, client_of, lars, nordvik):
        client = client_of(lars)

        for _time in range(2):
            client.post(reverse("set_language"), {"language": "sv"})

        (event,) = AuditEvent.objects.all()
        assert event.action == AuditAction.PERSON_CHANGED
        assert (event.actor, event.partner_account) == (lars, nordvik)
        assert event.before == {"person": lars.pk, "language": "en"}
        assert event.after == {"person": lars.pk, "language": "sv"}


class TestOnBehalf:
    def test_who_accepts_an_invitation_acts_by_the_inviters_right(self, nordvik, greta):
        invitation = services.invite_colleague(
            nordvik,
            email="new@partner.example",
            full_name="New Person",
            language="en",
            role=Role.INCENTIVES_USER,
            by=greta,
        )
        joining = UserFactory(email="new@partner.example")

        services.accept_invitation(invitation, by=joining)

        given = AuditEvent.objects.get(action=AuditAction.ROLE_ASSIGNED)
        assert (given.actor, given.on_behalf_of) == (joining, greta)
        accepted = AuditEvent.objects.get(action=AuditAction.INVITATION_ACCEPTED)
        assert (accepted.actor, accepted.on_behalf_of) == (joining, None)

    def test_acting_for_oneself_is_on_nobodys_behalf(self, nordvik, greta):
        with carried_out_by(greta):
            event = record_audit_event(
                nordvik,
                action=AuditAction.COMPANY_ADDED,
                by=greta,
                partner_account=nordvik,
            )

        assert (event.actor, event.on_behalf_of) == (greta, None)


class TestMasking:
    def test_numbers_and_secrets_never_get_in(self, nordvik):
        # T14: whatever a caller passes.
        event = record_audit_event(
            nordvik,
            action=AuditAction.COMPANY_ADDED,
            by=None,
            partner_account=nordvik,
            before={"iban": "SE45", "list": [{"tax_id": "DE1", "vat_number": "x"}]},
            after={
                "name": "Account SE45 5000 0000 0583 9825 7466",
                "clearing": "5000",
                "password": "hunter2",
            },
            reason="They said 5839 8257 466 is theirs",
        )

        assert event.before == {
            "iban": REDACTED,
            "list": [{"tax_id": REDACTED, "vat_number": REDACTED}],
        }
        assert event.after == {
            "name": f"Account {REDACTED}",
            "clearing": REDACTED,
            "password": REDACTED,
        }
        assert event.reason == f"They said {REDACTED} is theirs"

    @pytest.mark.parametrize(
        "value",
        [
            "5012001",
            "lars@partner.example",
            "2026-11-21",
            "2026-11-21T07:00:00+00:00",
            "0b6cbb4a-55a5-4d9a-b9b2-6d2bb17a2a51",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "1250000.00",
            "Storgatan 1",
            12,
            None,
            True,
        ],
    )
    def test_what_tells_what_happened_stays(self, nordvik, value):
        event = record_audit_event(
            nordvik,
            action=AuditAction.COMPANY_ADDED,
            by=None,
            partner_account=nordvik,
            after={"value": value},
        )

        assert json.loads(json.dumps(event.after)) == {"value": value}


def _commands_of(app: str) -> list[str]:
    return [name for name, owner in get_commands().items() if owner == app]


def _command(app: str, name: str) -> type:
    return type(load_command_class(app, name))
