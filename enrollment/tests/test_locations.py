"""Location pages and closing: what is shown to whom, what ends, what is refused."""

import re
import threading

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.models import (
    AuditAction,
    AuditEvent,
    InvitationState,
    Location,
    OutgoingEmail,
    RequestState,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.services import ask_for_closing, locations
from accounts.tests.cases import tried
from accounts.tests.factories import (
    AccessRequestFactory,
    ColleagueInvitationFactory,
    LocationFactory,
    RoleAssignmentFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet
from enrollment import services
from enrollment.models import EnrollmentEvent
from enrollment.queues import validation_queue
from enrollment.services import close_location, plan_closing
from enrollment.states import OPEN, EndReason, EnrollmentStatus
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.models import DefaultBankProfile
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db

REASON = "The office was sold."


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def url(name: str, location: Location | None = None) -> str:
    return reverse(name, kwargs={"pk": location.pk} if location else None)


def mails(name: str) -> dict[str, OutgoingEmail]:
    return {mail.to_address: mail for mail in OutgoingEmail.objects.filter(name=name)}


@shared
def many_statuses(goteborg):
    """An enrollment of Göteborg in every open status, by status."""
    return {
        status: EnrollmentFactory(
            location=goteborg,
            terms=ProgramTermsFactory(),
            complete=status in (EnrollmentStatus.VALIDATING, EnrollmentStatus.ENROLLED),
            status=status,
        )
        for status in OPEN
    }


class TestClosing:
    def test_open_enrollments_end_with_a_reason_and_an_event(
        self, goteborg, malmo, mina, many_statuses
    ):
        close_location(goteborg, reason=REASON, by=mina)

        goteborg.refresh_from_db()
        assert goteborg.is_closed
        assert goteborg.closing_reason == REASON
        for status, enrollment in many_statuses.items():
            enrollment.refresh_from_db()
            assert enrollment.status == EnrollmentStatus.INACTIVE
            assert enrollment.end_reason == EndReason.LOCATION_CLOSED
            (event,) = enrollment.events.filter(
                code=EnrollmentEvent.Code.LOCATION_CLOSED
            )
            assert (event.from_status, event.by, event.note) == (status, mina, REASON)

    def test_what_ended_before_and_what_is_elsewhere_stay(
        self, goteborg, malmo, mina, terms
    ):
        elsewhere = EnrollmentFactory(location=malmo, terms=terms)
        ended = EnrollmentFactory(
            location=goteborg, terms=terms, status=EnrollmentStatus.EXPIRED
        )

        close_location(goteborg, reason=REASON, by=mina)

        for enrollment, status in ((elsewhere, "invited"), (ended, "expired")):
            enrollment.refresh_from_db()
            assert enrollment.status == status
            assert not enrollment.events.exists()

    def test_roles_there_end_and_whole_company_roles_hold_on(
        self, goteborg, malmo, ida, uma, greta, mina, program
    ):
        limited = RoleAssignmentFactory(
            partner_account=goteborg.partner_account,
            location=goteborg,
            program=program,
        )
        there = RoleAssignmentFactory(
            partner_account=goteborg.partner_account, location=malmo
        )

        close_location(goteborg, reason=REASON, by=mina)

        live = set(RoleAssignment.objects.live().values_list("user", flat=True))
        assert live == {uma.pk, greta.pk, there.user_id}
        ended = RoleAssignment.objects.filter(revoked_by=mina)
        assert set(ended.values_list("user", flat=True)) == {ida.pk, limited.user_id}

    def test_its_people_and_the_admins_are_told_once(
        self, goteborg, malmo, ida, uma, lars, greta, alice, mina, invited
    ):
        close_location(goteborg, reason=REASON, by=mina)

        told = mails("location_closed")
        assert set(told) == {one.email for one in (ida, uma, greta, alice)}
        program = invited.terms.program.name
        assert program in told[ida.email].body_text
        assert "Incentives admin: Göteborg, all programs" in told[ida.email].body_text
        assert program in told[uma.email].body_text
        assert "These roles of yours" not in told[uma.email].body_text
        # Admins see no enrollments without an incentive role (R15).
        assert program not in told[greta.email].body_text
        assert all(REASON in mail.body_text for mail in told.values())
        # One mail, not one more per role; nobody is asked to appoint somebody there.
        assert set(OutgoingEmail.objects.values_list("name", flat=True)) == {
            "location_closed"
        }

    def test_the_trail_keeps_who_and_why(self, goteborg, malmo, ida, mina):
        close_location(goteborg, reason=REASON, by=mina)

        event = AuditEvent.objects.get(action=AuditAction.LOCATION_CLOSED)
        assert (event.actor, event.reason) == (mina, REASON)
        assert event.partner_account == goteborg.partner_account
        assert event.after == {"roles_ended": 1}

    def test_what_waits_for_validation_there_leaves_the_queue_with_a_reason(
        self, client_of, goteborg, malmo, terms, uma, lucia, mina
    ):
        company = goteborg.partner_account
        RoleAssignmentFactory(user=uma, partner_account=company)
        kinds = ("there", "spare", "elsewhere", "default")
        banks = {
            kind: BankProfileFactory(
                partner_account=company, created_by=uma, version__pending=True
            )
            for kind in kinds
        }
        taxes = [
            TaxProfileFactory(location=place, created_by=uma, version__pending=True)
            for place in (goteborg, malmo)
        ]
        for place, bank, tax, year in (
            (goteborg, banks["there"], taxes[0], terms),
            (goteborg, banks["elsewhere"], taxes[0], ProgramTermsFactory()),
            (malmo, banks["elsewhere"], taxes[1], terms),
        ):
            EnrollmentFactory(
                location=place,
                terms=year,
                submitted=True,
                status=EnrollmentStatus.VALIDATING,
                payout__bank_profile=bank,
                payout__tax_profile=tax,
                payout__currency="SEK",
            )
        DefaultBankProfileFactory(location=goteborg, bank_profile=banks["default"])

        close_location(goteborg, reason=REASON, by=mina)

        waiting = {key for key, *_rest in validation_queue(timezone.now())}
        assert banks["spare"].versions.get().pk in waiting
        assert len(waiting) == 2, "the other is Malmö's enrollment"
        returned = {kind: banks[kind].versions.get().returned for kind in kinds}
        assert [one["code"] for one in returned["there"]] == ["LOCATION_CLOSED"]
        assert returned["default"] == returned["there"]
        assert returned["elsewhere"] == returned["spare"] == []
        assert "has been closed" in mails("profile_returned")[uma.email].body_text
        assert not DefaultBankProfile.objects.filter(location=goteborg).exists()
        event = AuditEvent.objects.get(action=AuditAction.PROFILE_ARCHIVED)
        assert (event.reason, event.location) == (REASON, goteborg)
        page = client_of(lucia).get(
            reverse("ops:tax_version", kwargs={"pk": taxes[0].versions.get().pk})
        )
        assert "There is nothing to decide" in text_of(page)

    def test_its_tax_profiles_stay_readable(
        self, client_of, goteborg, malmo, nordvik, mina
    ):
        whole = RoleAssignmentFactory(partner_account=nordvik).user
        tax = TaxProfileFactory(location=goteborg, created_by=whole)

        close_location(goteborg, reason=REASON, by=mina)

        client = client_of(whole)
        assert tax.name in text_of(client.get(goteborg.get_absolute_url()))
        page = text_of(client.get(tax.get_absolute_url()))
        assert "when the location was closed" in page
        assert "Mina" not in page

    def test_invitations_to_it_alone_are_withdrawn_and_both_are_told(
        self, client_of, goteborg, malmo, nordvik, greta, mina
    ):
        only, both, other = (
            ColleagueInvitationFactory(
                partner_account=nordvik,
                created_by=greta,
                places=[(place, None) for place in places],
            )
            for places in ([goteborg], [goteborg, malmo], [malmo])
        )

        close_location(goteborg, reason=REASON, by=mina)

        for invitation in (only, both, other):
            invitation.refresh_from_db()
        assert [one.state for one in (only, both, other)] == [
            InvitationState.REVOKED,
            InvitationState.OPEN,
            InvitationState.OPEN,
        ]
        assert [place.location for place in both.places.all()] == [malmo]
        told = mails("invitation_withdrawn")
        assert set(told) == {only.email, greta.email}
        assert REASON in told[greta.email].body_text
        assert REASON not in told[only.email].body_text
        events = AuditEvent.objects.filter(action=AuditAction.INVITATION_REVOKED)
        assert {event.reason for event in events} == {REASON}
        page = text_of(client_of(greta).get(reverse("accounts:invitations")))
        assert page.count("because the location was closed") == 1

    def test_requests_for_access_to_it_lapse_and_who_asked_is_told(
        self, client_of, goteborg, malmo, nordvik, greta, lars, mina
    ):
        here, there = (
            AccessRequestFactory(partner_account=nordvik, user=lars, location=place)
            for place in (goteborg, malmo)
        )

        close_location(goteborg, reason=REASON, by=mina)

        here.refresh_from_db()
        there.refresh_from_db()
        assert (here.state, there.state) == (RequestState.LAPSED, RequestState.WAITING)
        assert REASON in mails("access_lapsed")[lars.email].body_text
        event = AuditEvent.objects.get(action=AuditAction.ACCESS_LAPSED)
        assert event.reason == REASON
        for person, page in (
            (lars, "accounts:request_access"),
            (greta, "accounts:requests"),
        ):
            text = text_of(client_of(person).get(reverse(page)))
            assert f"Göteborg was closed: {REASON}" in text

    def test_all_of_it_is_shown_before_and_agreed_to(
        self, client_of, goteborg, malmo, nordvik, greta, mina
    ):
        TaxProfileFactory(location=goteborg)
        seen = plan_closing(goteborg).fingerprint
        ColleagueInvitationFactory(
            partner_account=nordvik, created_by=greta, places=[(goteborg, None)]
        )

        with pytest.raises(services.PlanChanged):
            close_location(goteborg, reason=REASON, seen=seen, by=mina)
        for person, page in (
            (mina, "ops:close_location"),
            (greta, "enrollment:ask_closing"),
        ):
            text = text_of(client_of(person).get(url(page, goteborg)))
            assert "1 tax profile of this location" in text
            assert "1 open invitation of a colleague" in text

    def test_a_wish_is_answered_by_closing(self, goteborg, malmo, greta, mina):
        ask_for_closing(malmo, reason="We moved out.", by=greta)

        close_location(malmo, reason=REASON, by=mina)

        malmo.refresh_from_db()
        assert not malmo.is_closing_asked
        assert malmo.closing_reason == REASON

    @pytest.mark.parametrize("person", ["greta", "alice", "ida", "oscar", "sam"])
    def test_only_operators_with_the_permission_close(
        self, request, goteborg, malmo, invited, person
    ):
        with pytest.raises(ValidationError, match="Only the program owner's operators"):
            close_location(goteborg, reason=REASON, by=request.getfixturevalue(person))

        invited.refresh_from_db()
        assert invited.status == EnrollmentStatus.INVITED

    def test_a_reason_is_needed(self, goteborg, malmo, mina, invited):
        with pytest.raises(ValidationError, match="Say why"):
            close_location(goteborg, reason="  ", by=mina)

        goteborg.refresh_from_db()
        assert not goteborg.is_closed

    def test_the_last_location_stays(self, goteborg, mina):
        with pytest.raises(ValidationError, match="only location of Nordvik"):
            close_location(goteborg, reason=REASON, by=mina)

    def test_a_closed_one_is_not_closed_again(self, goteborg, malmo, mina):
        close_location(malmo, reason=REASON, by=mina)

        with pytest.raises(ValidationError, match="Malmö is closed"):
            close_location(malmo, reason="Again.", by=mina)

        assert AuditEvent.objects.filter(action="location_closed").count() == 1

    def test_nothing_ends_that_was_not_shown(self, goteborg, malmo, mina, terms):
        shown = plan_closing(goteborg)
        enrollment = EnrollmentFactory(location=goteborg, terms=terms)

        with pytest.raises(services.PlanChanged) as refusal:
            close_location(goteborg, reason=REASON, seen=shown.fingerprint, by=mina)

        assert refusal.value.plan.enrollments == [enrollment]
        goteborg.refresh_from_db()
        assert not goteborg.is_closed
        close_location(
            goteborg, reason=REASON, seen=refusal.value.plan.fingerprint, by=mina
        )

    def test_nothing_begins_there_afterwards(self, goteborg, malmo, mina, terms):
        open_terms = ProgramTermsFactory(open_to_all=True)
        close_location(goteborg, reason=REASON, by=mina)
        goteborg.refresh_from_db()

        with pytest.raises(ValidationError, match="not open"):
            services.start_open_enrollment(goteborg, terms=open_terms, by=mina)
        services.invite_locations(terms, by=mina)
        assert not goteborg.enrollments.exists()


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def close_both(self, goteborg, malmo, mina):
        return at_once(
            lambda: close_location(goteborg, reason=REASON, by=mina),
            lambda: close_location(malmo, reason=REASON, by=mina),
        )

    def test_closing_the_last_two_leaves_one(self, goteborg, malmo, mina):
        outcomes = self.close_both(goteborg, malmo, mina)

        (refusal,) = [one for one in outcomes if isinstance(one, Exception)]
        assert refusal.code == "last_location"
        assert Location.objects.active().count() == 1

    def test_without_the_lock_none_would_be_left(
        self, goteborg, malmo, mina, monkeypatch
    ):
        # The control: the same two, with nothing that keeps them in order.
        monkeypatch.setattr(services.locations, "lock_companies", lambda *keys: None)
        meet(monkeypatch, locations, "_checked_reason", threading.Barrier(2))

        self.close_both(goteborg, malmo, mina)

        assert Location.objects.active().count() == 0


class TestTheList:
    def test_it_shows_the_locations_in_scope(self, client_of, ida, uma, malmo):
        of_ida = text_of(client_of(ida).get(url("enrollment:locations")))
        of_uma = text_of(client_of(uma).get(url("enrollment:locations")))

        assert "Göteborg" in of_ida
        assert "Malmö" not in of_ida
        assert "1 more location of your company is looked after by others" in of_ida
        assert "Malmö" in of_uma

    def test_no_other_companys_location_is_in_it(self, client_of, greta, goteborg):
        LocationFactory(name="Canary Wharf")

        assert "Canary" not in text_of(
            client_of(greta).get(url("enrollment:locations"))
        )

    def test_what_is_missing_is_what_submit_would_say(
        self, client_of, ida, accepted, default_bank
    ):
        text = text_of(client_of(ida).get(url("enrollment:locations")))
        with pytest.raises(ValidationError) as refusal:
            services.submit_enrollment(accepted, by=ida)

        assert refusal.value.messages == ["A tax profile is missing."]
        assert "3 of 4 ready" in text
        assert "tax : missing" in text

    def test_admins_without_an_incentive_role_read_of_the_role_only(
        self, client_of, greta, accepted
    ):
        # C3, C4, R15
        response = client_of(greta).get(url("enrollment:locations"))

        assert "role : in place" in text_of(response)
        for word in ("bank", "currency : ", "of 4 ready", "enrolled"):
            assert word not in text_of(response).partition("Göteborg")[2]

    def test_it_is_searched_by_name_city_and_number(self, client_of, uma, goteborg):
        LocationFactory(
            partner_account=goteborg.partner_account, name="North", city="Umeå"
        )
        client = client_of(uma)

        def found(words):
            page = text_of(client.get(url("enrollment:locations"), {"q": words}))
            return ("Göteborg" in page, "North" in page)

        assert found("göte") == (True, False)
        assert found("umeå") == (False, True)
        assert found("6120102") == (True, False)
        assert found("nowhere") == (False, False)

    def test_closed_ones_have_their_own_tab(
        self, client_of, uma, goteborg, malmo, mina
    ):
        close_location(malmo, reason=REASON, by=mina)
        client = client_of(uma)

        open_ones = text_of(client.get(url("enrollment:locations")))
        closed = text_of(client.get(url("enrollment:locations"), {"view": "closed"}))

        assert "Malmö" not in open_ones
        assert "Göteborg" in open_ones
        assert "Malmö" in closed
        assert REASON in closed
        assert "6120102" not in closed

    def test_its_queries_do_not_grow(
        self, client_of, ida, nordvik, terms, django_assert_max_num_queries
    ):
        RoleAssignment.objects.filter(user=ida).update(location=None)
        client = client_of(ida)
        client.get(url("enrollment:locations"))
        for number in range(12):
            EnrollmentFactory(
                location=LocationFactory(
                    partner_account=nordvik, name=f"Place {number}"
                ),
                terms=terms,
            )

        with django_assert_max_num_queries(22):
            text = text_of(client.get(url("enrollment:locations")))

        assert "Place 11" in text


class TestThePage:
    def test_it_says_where_the_location_is_and_whose(self, client_of, uma, goteborg):
        goteborg.street, goteborg.postcode = "Storgatan 1", "411 01"
        goteborg.city, goteborg.legal_name = "Göteborg", "Nordvik Väst AB"
        goteborg.save()

        text = text_of(client_of(uma).get(goteborg.get_absolute_url()))

        for words in ("6120102", "Nordvik Väst AB", "Storgatan 1", "411 01", "Sweden"):
            assert words in text

    def test_an_incentives_admin_sees_enrollments_and_what_is_missing(
        self, client_of, ida, accepted, default_bank, bank_profile
    ):
        text = text_of(client_of(ida).get(accepted.location.get_absolute_url()))

        assert accepted.terms.program.name in text
        assert "A tax profile is missing." in text
        assert "3 of 4" in text
        assert bank_profile.name in text
        assert "People with a role here" not in text

    def test_an_incentives_user_sees_no_profiles(
        self, client_of, uma, accepted, default_bank, bank_profile
    ):
        # C5, R12
        text = text_of(client_of(uma).get(accepted.location.get_absolute_url()))

        assert accepted.terms.program.name in text
        assert bank_profile.name not in text
        assert "missing" not in text.replace("role : missing", "")

    def test_an_admin_sees_people_and_no_enrollments(
        self, client_of, greta, ida, accepted, default_bank, bank_profile
    ):
        text = text_of(client_of(greta).get(accepted.location.get_absolute_url()))

        assert "Enrollments are seen by the Incentives admins" in text
        assert accepted.terms.program.name not in text
        assert bank_profile.name not in text
        assert "ida@partner.example" in text
        assert "greta@partner.example" in text

    def test_people_of_other_locations_are_not_on_it(
        self, client_of, greta, goteborg, malmo
    ):
        there = RoleAssignmentFactory(
            partner_account=malmo.partner_account, location=malmo
        ).user

        assert there.email not in text_of(
            client_of(greta).get(goteborg.get_absolute_url())
        )

    def test_a_closed_location_keeps_its_history(
        self, client_of, uma, goteborg, malmo, invited, mina
    ):
        close_location(goteborg, reason=REASON, by=mina)

        text = text_of(client_of(uma).get(goteborg.get_absolute_url()))

        assert f"{REASON} Nothing new can be enrolled here" in text
        assert invited.terms.program.name in text
        assert "the location was closed" in text

    def test_the_ended_enrollment_says_why(
        self, client_of, uma, goteborg, malmo, invited, mina
    ):
        close_location(goteborg, reason=REASON, by=mina)

        text = text_of(client_of(uma).get(invited.get_absolute_url()))

        assert "the location was closed" in text

    def test_who_had_a_role_there_only_sees_it_no_more(
        self, client_of, ida, goteborg, malmo, mina
    ):
        close_location(goteborg, reason=REASON, by=mina)

        response = client_of(ida).get(goteborg.get_absolute_url())

        assert response.status_code == 404


ANSWERS = {
    "partner_id": "6120199",
    "name": "Umeå",
    "legal_name": "Nordvik Nord AB",
    "street": "Kungsgatan 2",
    "postcode": "903 25",
    "city": "Umeå",
    "country": "SE",
}


class TestAddingOnePage:
    def test_an_admin_adds_a_location_and_lands_on_it(self, client_of, greta, nordvik):
        response = client_of(greta).post(
            url("enrollment:add_location"), ANSWERS, follow=True
        )

        added = nordvik.locations.get()
        assert {name: getattr(added, name) for name in ANSWERS} == ANSWERS
        assert response.redirect_chain == [(added.get_absolute_url(), 302)]
        assert "Umeå was added." in text_of(response)
        assert "Nobody can enroll this location" in text_of(response)

    def test_a_location_may_be_where_no_bank_is_paid(self, client_of, greta, nordvik):
        client_of(greta).post(
            url("enrollment:add_location"), ANSWERS | {"country": "JP"}
        )

        assert nordvik.locations.get().country == "JP"

    def test_a_refusal_keeps_what_was_typed(self, client_of, greta, goteborg):
        for changed, sentence in (
            ({"partner_id": ""}, "Enter the location's PartnerID."),
            ({"partner_id": "61A"}, "A PartnerID has 5 to 10 digits"),
            ({"partner_id": "6120102"}, "taken by another company or location"),
            ({"partner_id": "5012001"}, "taken by another company or location"),
            ({"name": " "}, "Enter a name."),
            ({"name": "U\u200bmeå"}, "Remove the invisible character."),
            ({"legal_name": ""}, "Enter the name of the legal entity."),
            ({"street": ""}, "Enter the street address."),
            ({"city": ""}, "Enter the city."),
            ({"country": ""}, "Choose a country."),
            ({"country": "XX"}, "Choose a country from the list."),
        ):
            with tried(changed, sentence):
                response = client_of(greta).post(
                    url("enrollment:add_location"), ANSWERS | changed
                )

                assert response.status_code == 422
                content = response.content.decode().replace("&#x27;", "'")
                assert sentence in content
                if "street" not in changed:
                    assert 'value="Kungsgatan 2"' in content
                assert Location.objects.count() == 1


class TestAskingPage:
    def test_it_says_what_would_end_without_naming_enrollments(
        self, client_of, greta, goteborg, malmo, ida, invited
    ):
        text = text_of(client_of(greta).get(url("enrollment:ask_closing", goteborg)))

        assert "1 enrollment. It earns nothing from that moment." in text
        assert "1 role at this location." in text
        assert invited.terms.program.name not in text

    def test_asking_and_taking_it_back(self, client_of, greta, goteborg, malmo):
        client = client_of(greta)

        asked = client.post(
            url("enrollment:ask_closing", malmo), {"reason": REASON}, follow=True
        )
        assert "The program owner was asked to close Malmö." in text_of(asked)
        assert f"to close this location: {REASON}" in text_of(asked)
        again = client.get(url("enrollment:ask_closing", malmo))
        assert "asked already" in text_of(again)
        back = client.post(url("enrollment:keep_location", malmo), follow=True)
        assert "Malmö stays open." in text_of(back)
        malmo.refresh_from_db()
        assert not malmo.is_closing_asked

    def test_without_a_reason_it_is_asked_again(
        self, client_of, greta, goteborg, malmo
    ):
        response = client_of(greta).post(url("enrollment:ask_closing", malmo))

        assert response.status_code == 422
        assert "Say why." in text_of(response)

    def test_the_last_location_says_why_not(self, client_of, greta, goteborg):
        client = client_of(greta)

        page = text_of(client.get(goteborg.get_absolute_url()))
        asked = client.post(url("enrollment:ask_closing", goteborg), {"reason": REASON})

        assert "A company keeps at least one" in page
        assert "Ask to close it" not in page
        assert asked.status_code == 422
        goteborg.refresh_from_db()
        assert not goteborg.is_closing_asked


class TestOperators:
    def test_wishes_wait_with_their_reason(
        self, client_of, mina, greta, goteborg, malmo
    ):
        ask_for_closing(malmo, reason=REASON, by=greta)
        client = client_of(mina)

        waiting = text_of(client.get(url("ops:locations")))
        today = text_of(client.get(url("ops:today")))

        assert "Malmö" in waiting
        assert REASON in waiting
        assert "Göteborg" not in waiting
        assert "Locations to close 1" in today

    def test_any_location_is_found(self, client_of, mina, goteborg, malmo):
        text = text_of(client_of(mina).get(url("ops:locations"), {"q": "nordvik"}))

        assert "Göteborg" in text
        assert "Malmö" in text

    def test_closing_is_shown_first_and_then_done(
        self, client_of, mina, goteborg, malmo, ida, invited
    ):
        client = client_of(mina)
        page = client.get(url("ops:close_location", goteborg))
        assert invited.terms.program.name in text_of(page)
        assert "ida@partner.example" in text_of(page)
        seen = re.search(r'name="seen" value="([^"]+)"', page.content.decode())[1]

        response = client.post(
            url("ops:close_location", goteborg),
            {"reason": REASON, "seen": seen},
            follow=True,
        )

        assert "Göteborg is closed. Its people are told." in text_of(response)
        goteborg.refresh_from_db()
        assert goteborg.is_closed
        assert "Göteborg is closed." in text_of(
            client.get(url("ops:close_location", goteborg))
        )

    def test_without_having_seen_what_ends_nothing_ends(
        self, client_of, mina, goteborg, malmo, invited
    ):
        response = client_of(mina).post(
            url("ops:close_location", goteborg), {"reason": REASON}
        )

        assert response.status_code == 422
        assert "Something changed since you looked" in text_of(response)
        assert REASON in response.content.decode()
        goteborg.refresh_from_db()
        assert not goteborg.is_closed

    def test_a_wish_is_declined_with_an_answer(
        self, client_of, mina, greta, goteborg, malmo
    ):
        ask_for_closing(malmo, reason=REASON, by=greta)
        client = client_of(mina)

        empty = client.post(url("ops:decline_closing", malmo))
        done = client.post(
            url("ops:decline_closing", malmo), {"reason": "Not yet."}, follow=True
        )
        late = client.post(url("ops:decline_closing", malmo), {"reason": "Not yet."})

        assert empty.status_code == 422
        assert "Say why." in text_of(empty)
        assert "Malmö stays open. Who asked is told." in text_of(done)
        assert late.status_code == 422
        assert "Nobody asks to close Malmö any more." in text_of(late)


def test_a_role_for_one_program_sees_only_its_program(
    client_of, nordvik, goteborg, terms, program
):
    other = EnrollmentFactory(location=goteborg, terms=ProgramTermsFactory())
    mine = EnrollmentFactory(location=goteborg, terms=terms)
    limited = RoleAssignmentFactory(
        role=Role.INCENTIVES_ADMIN,
        partner_account=nordvik,
        location=goteborg,
        program=program,
    ).user

    text = text_of(client_of(limited).get(goteborg.get_absolute_url()))

    assert mine.terms.program.name in text
    assert other.terms.program.name not in text


def test_a_closed_location_leaves_the_gaps_and_the_forms(
    client_of, greta, goteborg, malmo, mina
):
    BankProfileFactory(partner_account=goteborg.partner_account, created_by=greta)
    goteborg.closed_at = timezone.now()
    goteborg.save()

    gaps = text_of(client_of(greta).get(reverse("accounts:gaps")))
    form = client_of(greta).get(reverse("accounts:assign")).content.decode()

    assert "Göteborg" not in gaps
    assert f'value="{goteborg.pk}"' not in form
    assert f'value="{malmo.pk}"' in form
