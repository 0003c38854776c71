"""Adding a location and asking to close one: who may, what is refused, who is told."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import (
    AuditAction,
    AuditEvent,
    Coverage,
    Location,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.services import (
    add_location,
    ask_for_closing,
    create_partner_account,
    decline_closing,
    revoke_role,
    withdraw_closing,
)
from accounts.tests.factories import RoleAssignmentFactory, UserFactory
from accounts.tests.threads import at_once

NEW = {"partner_id": "6120199", "name": "Umeå", "country": "SE"}


def events(action: AuditAction) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("pk"))


def mails(name: str) -> dict[str, OutgoingEmail]:
    return {mail.to_address: mail for mail in OutgoingEmail.objects.filter(name=name)}


class TestAdding:
    @pytest.mark.parametrize("person", ["greta", "alice"])
    def test_global_and_account_admins_add_a_location(self, request, nordvik, person):
        admin = request.getfixturevalue(person)

        location = add_location(nordvik, **NEW, by=admin)

        assert list(nordvik.locations.all()) == [location]
        (event,) = events(AuditAction.LOCATION_ADDED)
        assert event.actor == admin

    @pytest.mark.parametrize("person", ["ida", "uma", "lars", "sam", "oscar", "mina"])
    def test_nobody_else_adds_one(self, request, nordvik, person):
        with pytest.raises(ValidationError, match="cannot add or close locations"):
            add_location(nordvik, **NEW, by=request.getfixturevalue(person))

        assert not Location.objects.filter(partner_id="6120199").exists()

    def test_an_admin_of_another_company_adds_none_here(self, nordvik):
        abroad = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN).user

        with pytest.raises(ValidationError, match="cannot add"):
            add_location(nordvik, **NEW, by=abroad)

    def test_a_role_that_ended_adds_none(self, nordvik, greta, alice):
        revoke_role(RoleAssignment.objects.get(user=alice), by=greta)

        with pytest.raises(ValidationError, match="cannot add"):
            add_location(nordvik, **NEW, by=alice)

    @pytest.mark.parametrize("partner_id", ["", "12ab5", "1234", "12345678901"])
    def test_a_malformed_partner_id_is_refused(self, nordvik, greta, partner_id):
        with pytest.raises(ValidationError) as refusal:
            add_location(nordvik, **NEW | {"partner_id": partner_id}, by=greta)

        assert set(refusal.value.error_dict) == {"partner_id"}

    def test_whole_company_roles_hold_there_at_once_and_others_do_not(
        self, nordvik, greta, ida
    ):
        # Ida's role is for Göteborg: here it is a gap.
        first = add_location(nordvik, **NEW, by=greta)
        RoleAssignmentFactory(
            role=Role.INCENTIVES_ADMIN, partner_account=nordvik, user=greta
        )
        second = add_location(nordvik, **NEW | {"partner_id": "6120198"}, by=greta)

        gaps = dict(Location.objects.gaps(nordvik).values_list("pk", "coverage"))
        assert gaps[first.pk] == gaps[second.pk] == Coverage.ONE_PERSON

    def test_a_location_nobody_has_a_role_for_is_a_gap(self, nordvik, greta, ida):
        location = add_location(nordvik, **NEW, by=greta)

        gaps = dict(Location.objects.gaps(nordvik).values_list("pk", "coverage"))
        assert gaps[location.pk] == Coverage.NOBODY


@pytest.mark.django_db(transaction=True)
def test_two_who_add_the_same_number_at_once_add_it_once(nordvik, greta):
    details = {"name": "Umeå", "legal_name": "Umeå AB", "country": "SE"}

    outcomes = at_once(
        lambda: add_location(nordvik, **NEW, by=greta),
        lambda: create_partner_account(
            partner_id="6120199", **details, email_domains=[], by=None
        ),
    )

    (refusal,) = [one for one in outcomes if isinstance(one, Exception)]
    assert isinstance(refusal, ValidationError)
    assert "taken by another" in str(refusal)
    taken = [
        Location.objects.filter(partner_id="6120199").exists(),
        PartnerAccount.objects.filter(partner_id="6120199").exists(),
    ]
    assert sorted(taken) == [False, True]


class TestAsking:
    def test_an_admin_asks_with_a_reason_and_the_others_are_told(
        self, nordvik, goteborg, malmo, greta, alice, ida
    ):
        ask_for_closing(malmo, reason=" We  moved out. ", by=alice)

        malmo.refresh_from_db()
        assert malmo.is_closing_asked
        assert malmo.closing_asked_by == alice
        assert malmo.closing_reason == "We moved out."
        assert not malmo.is_closed
        (event,) = events(AuditAction.CLOSING_ASKED)
        assert (event.actor, event.reason) == (alice, "We moved out.")
        told = mails("closing_asked")
        assert set(told) == {greta.email}
        mail = told[greta.email]
        assert mail.subject == "Alice Berg asks to close Malmö"
        assert "We moved out." in mail.body_text
        assert malmo.get_absolute_url() in mail.body_text

    def test_asking_again_changes_nothing(self, goteborg, malmo, greta, alice):
        ask_for_closing(malmo, reason="We moved out.", by=alice)
        ask_for_closing(malmo, reason="Another reason.", by=greta)

        malmo.refresh_from_db()
        assert malmo.closing_reason == "We moved out."
        assert malmo.closing_asked_by == alice
        assert len(events(AuditAction.CLOSING_ASKED)) == 1

    @pytest.mark.parametrize("person", ["ida", "uma", "lars", "sam", "mina"])
    def test_nobody_else_asks(self, request, goteborg, malmo, person):
        with pytest.raises(ValidationError, match="cannot add or close"):
            ask_for_closing(
                malmo, reason="Because.", by=request.getfixturevalue(person)
            )

    @pytest.mark.parametrize("reason", ["", "   ", "\n"])
    def test_a_reason_is_needed(self, goteborg, malmo, greta, reason):
        with pytest.raises(ValidationError) as refusal:
            ask_for_closing(malmo, reason=reason, by=greta)

        assert refusal.value.message_dict == {"reason": ["Say why."]}

    def test_the_last_location_stays(self, goteborg, greta):
        with pytest.raises(ValidationError, match="only location of Nordvik") as no:
            ask_for_closing(goteborg, reason="We moved out.", by=greta)

        assert no.value.code == "last_location"

    def test_a_closed_location_does_not_count_as_another_one(
        self, goteborg, malmo, greta
    ):
        malmo.closed_at = timezone.now()
        malmo.save()

        with pytest.raises(ValidationError, match="only location"):
            ask_for_closing(goteborg, reason="We moved out.", by=greta)
        with pytest.raises(ValidationError, match="Malmö is closed"):
            ask_for_closing(malmo, reason="We moved out.", by=greta)

    def test_the_wish_is_taken_back(self, goteborg, malmo, greta, alice):
        ask_for_closing(malmo, reason="We moved out.", by=alice)

        withdraw_closing(malmo, by=greta)
        withdraw_closing(malmo, by=greta)

        malmo.refresh_from_db()
        assert not malmo.is_closing_asked
        assert malmo.closing_reason == ""
        assert len(events(AuditAction.CLOSING_WITHDRAWN)) == 1

    def test_nobody_else_takes_it_back(self, goteborg, malmo, greta, ida):
        ask_for_closing(malmo, reason="We moved out.", by=greta)

        with pytest.raises(ValidationError, match="cannot add or close"):
            withdraw_closing(malmo, by=ida)

        malmo.refresh_from_db()
        assert malmo.is_closing_asked


class TestDeclining:
    def test_who_asked_is_told_why_it_stays_open(
        self, goteborg, malmo, greta, alice, mina
    ):
        ask_for_closing(malmo, reason="We moved out.", by=alice)

        decline_closing(malmo, answer="Money is still due there.", by=mina)

        malmo.refresh_from_db()
        assert not malmo.is_closing_asked
        (event,) = events(AuditAction.CLOSING_DECLINED)
        assert (event.actor, event.reason) == (mina, "Money is still due there.")
        (mail,) = mails("closing_declined").values()
        assert mail.to_user == alice
        assert mail.subject == "Malmö stays open"
        assert "Money is still due there." in mail.body_text

    @pytest.mark.parametrize("person", ["greta", "oscar", "ida"])
    def test_only_operators_with_the_permission_decline(
        self, request, goteborg, malmo, greta, person
    ):
        ask_for_closing(malmo, reason="We moved out.", by=greta)

        with pytest.raises(ValidationError, match="Only the program owner's operators"):
            decline_closing(malmo, answer="No.", by=request.getfixturevalue(person))

    def test_an_answer_is_needed(self, goteborg, malmo, greta, mina):
        ask_for_closing(malmo, reason="We moved out.", by=greta)

        with pytest.raises(ValidationError, match="Say why"):
            decline_closing(malmo, answer=" ", by=mina)

    def test_there_is_nothing_to_decline_that_nobody_asks(self, goteborg, malmo, mina):
        with pytest.raises(ValidationError, match="Nobody asks to close Malmö"):
            decline_closing(malmo, answer="No.", by=mina)

    def test_somebody_deactivated_is_not_told(self, goteborg, malmo, alice, mina):
        ask_for_closing(malmo, reason="We moved out.", by=alice)
        alice.is_active = False
        alice.save()

        decline_closing(malmo, answer="Not now.", by=mina)

        assert not mails("closing_declined")


def test_an_operator_who_adds_locations_is_a_superuser(nordvik):
    root = UserFactory(is_staff=True, is_superuser=True)

    assert add_location(nordvik, **NEW, by=root).pk
