"""Recovery: an admin from the program owner, where nobody in the company can give roles."""

import time
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.models import (
    AccessRequest,
    AuditAction,
    AuditEvent,
    OutgoingEmail,
    RecoveryRequest,
    RecoveryState,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.tests.factories import (
    AccessRequestFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once

pytestmark = pytest.mark.django_db

PAGE = reverse("accounts:recovery")
LIST = reverse("ops:recoveries")


def text_of(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def url(name: str, asked) -> str:
    return reverse(name, kwargs={"pk": asked.pk})


def written_to(name: str) -> list[str]:
    sent = OutgoingEmail.objects.filter(name=name).order_by("to_address")
    return [email.to_address for email in sent]


def ask(company, by, reason="Greta has left.") -> RecoveryRequest:
    return services.request_recovery(company, reason=reason, by=by)


def identity_manager(name: str):
    operator = UserFactory(full_name=name, operator=True)
    operator.groups.add(Group.objects.get(name="Identity manager"))
    return operator


@pytest.fixture
def iris():
    return identity_manager("Iris Ahl")


@pytest.fixture
def ivan():
    return identity_manager("Ivan Blom")


@shared
def asked(nordvik, lars, ida):
    """Lars asks: Ida enrolls, nobody gives roles."""
    return ask(nordvik, lars)


@pytest.fixture
def checked(asked, iris):
    """Iris saw the evidence, and the time to object is over."""
    services.review_recovery(asked, evidence="Register of 2 November.", by=iris)
    RecoveryRequest.objects.update(asked_at=timezone.now() - timedelta(days=3))
    asked.refresh_from_db()
    return asked


class TestAsking:
    def test_everybody_is_told_and_who_asked_reads_what_is_needed(self, asked, lars):
        assert written_to("recovery_asked") == ["lars@partner.example"]
        assert written_to("recovery_notice") == ["ida@partner.example"]
        email = OutgoingEmail.objects.get(name="recovery_asked")
        body = " ".join(email.body_text.split())
        assert "company register" in body
        assert asked.record in body
        notice = OutgoingEmail.objects.get(name="recovery_notice")
        for words in ("Lars Ek", "Greta has left."):
            assert words in notice.body_text
            assert words in notice.body_html
        event = AuditEvent.objects.get(action=AuditAction.RECOVERY_REQUESTED)
        assert (event.actor, event.reason) == (lars, "Greta has left.")

    def test_it_gives_nothing(self, asked, lars):
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_asking_again_is_the_same_request(self, asked, nordvik, lars):
        assert ask(nordvik, lars, "Again!") == asked
        assert len(written_to("recovery_notice")) == 1

    def test_while_one_waits_nobody_else_asks(self, asked, nordvik, ida):
        with pytest.raises(ValidationError, match="Lars Ek has asked already"):
            ask(nordvik, ida)

    def test_where_somebody_can_give_roles_nobody_asks(self, nordvik, greta, lars):
        with pytest.raises(ValidationError) as refusal:
            ask(nordvik, lars)

        assert refusal.value.code == "not_needed"
        assert not RecoveryRequest.objects.exists()

    @pytest.mark.parametrize(("days", "may"), [(6, False), (7, True)])
    def test_who_was_not_answered_for_a_week_asks(
        self, nordvik, greta, lars, days, may
    ):
        services.request_access(nordvik, role=Role.INCENTIVES_USER, by=lars)
        AccessRequest.objects.update(asked_at=timezone.now() - timedelta(days=days))

        if not may:
            with pytest.raises(ValidationError):
                ask(nordvik, lars)
            return
        ask(nordvik, lars)
        assert written_to("recovery_notice") == ["greta@partner.example"]

    def test_an_answered_request_is_no_reason(self, nordvik, greta, lars):
        AccessRequestFactory(
            user=lars,
            partner_account=nordvik,
            asked_at=timezone.now() - timedelta(days=9),
            state="declined",
            answer="No.",
            answered_by=greta,
            answered_at=timezone.now(),
        )

        with pytest.raises(ValidationError):
            ask(nordvik, lars)

    def test_an_account_admin_asks_where_no_global_admin_is(self, nordvik, alice):
        assert ask(nordvik, alice)

    def test_a_global_admin_has_nothing_to_ask_for(self, nordvik, greta):
        with pytest.raises(ValidationError, match="already"):
            ask(nordvik, greta)

    @pytest.mark.parametrize("name", ["sam", "oscar"])
    def test_strangers_do_not_ask(self, nordvik, request, name):
        with pytest.raises(ValidationError, match="do not belong"):
            ask(nordvik, request.getfixturevalue("cast").__dict__[name])

    def test_who_left_does_not_ask(self, nordvik, lars):
        lars.memberships.update(ended_at=timezone.now())

        with pytest.raises(ValidationError, match="do not belong"):
            ask(nordvik, lars)

    def test_guests_do_not_ask(self, nordvik):
        # R14
        guest = UserFactory(email="gus@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        with pytest.raises(ValidationError, match="address of the company"):
            ask(nordvik, guest)

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_asking_says_what_happened(self, nordvik, lars, reason):
        with pytest.raises(ValidationError, match="what happened"):
            ask(nordvik, lars, reason)

    def test_three_a_month_are_enough(self, nordvik, lars, iris):
        # T19
        for _number in range(3):
            services.decline_recovery(ask(nordvik, lars), reason="No.", by=iris)

        with pytest.raises(ValidationError, match="too often"):
            ask(nordvik, lars)

    def test_in_a_large_company_the_first_two_hundred_are_told(
        self, nordvik, lars, ida, monkeypatch
    ):
        monkeypatch.setattr("accounts.emails.recovery.MOST_TOLD", 2)
        for _number in range(4):
            MembershipFactory(partner_account=nordvik)

        ask(nordvik, lars)

        told = written_to("recovery_notice")
        assert len(told) == 2
        assert "ida@partner.example" in told


class TestDeciding:
    def test_two_operators_and_three_days_make_a_global_admin(
        self, checked, ivan, lars, nordvik
    ):
        services.appoint_recovered(checked, by=ivan)

        role = RoleAssignment.objects.live().get(user=lars)
        assert (role.role, role.location, role.ends_on) == (
            Role.GLOBAL_ADMIN,
            None,
            None,
        )
        assert written_to("recovery_granted") == ["lars@partner.example"]
        assert written_to("recovery_granted_notice") == ["ida@partner.example"]
        event = AuditEvent.objects.get(action=AuditAction.ADMIN_RECOVERED)
        assert (event.actor, event.person, event.reason) == (
            ivan,
            lars,
            "Register of 2 November.",
        )
        given = AuditEvent.objects.get(action=AuditAction.ROLE_ASSIGNED, person=lars)
        assert given.actor_name == "Recovery"

    def test_appointing_twice_is_appointing_once(self, checked, ivan, lars):
        for _time in range(2):
            services.appoint_recovered(checked, by=ivan)

        assert RoleAssignment.objects.filter(user=lars).count() == 1
        assert len(written_to("recovery_granted")) == 1

    def test_who_checked_does_not_appoint(self, checked, iris, lars):
        with pytest.raises(ValidationError) as refusal:
            services.appoint_recovered(checked, by=iris)

        assert refusal.value.code == "same_operator"
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_nobody_is_appointed_before_the_evidence_is_checked(self, asked, ivan):
        RecoveryRequest.objects.update(asked_at=timezone.now() - timedelta(days=9))

        with pytest.raises(ValidationError) as refusal:
            services.appoint_recovered(asked, by=ivan)
        assert refusal.value.code == "not_reviewed"

    def test_nobody_is_appointed_while_people_can_object(self, checked, ivan, lars):
        RecoveryRequest.objects.update(
            asked_at=timezone.now() - timedelta(days=3) + timedelta(minutes=1)
        )

        with pytest.raises(ValidationError) as refusal:
            services.appoint_recovered(checked, by=ivan)
        assert refusal.value.code == "too_early"
        assert not RoleAssignment.objects.filter(user=lars).exists()

    @pytest.mark.parametrize("evidence", ["", "  "])
    def test_checking_says_what_was_seen(self, asked, iris, evidence):
        with pytest.raises(ValidationError, match="what you checked"):
            services.review_recovery(asked, evidence=evidence, by=iris)

    def test_checking_twice_is_checking_once(self, checked, iris, ivan):
        services.review_recovery(checked, evidence="Again.", by=iris)

        checked.refresh_from_db()
        assert checked.evidence == "Register of 2 November."
        with pytest.raises(ValidationError, match="Iris Ahl has checked"):
            services.review_recovery(checked, evidence="Me too.", by=ivan)

    def test_declining_says_why(self, asked, iris, lars):
        for _time in range(2):
            services.decline_recovery(asked, reason="Not the register.", by=iris)

        (address,) = written_to("recovery_declined")
        assert address == lars.email
        email = OutgoingEmail.objects.get(name="recovery_declined")
        assert "Not the register." in email.body_text
        with pytest.raises(ValidationError, match="what happened|why"):
            services.decline_recovery(RecoveryRequestFactory(), reason=" ", by=iris)

    def test_what_was_declined_is_not_appointed(self, checked, iris, ivan, lars):
        services.decline_recovery(checked, reason="No.", by=iris)

        with pytest.raises(ValidationError, match="Iris Ahl has answered"):
            services.appoint_recovered(checked, by=ivan)
        assert not RoleAssignment.objects.filter(user=lars).exists()

    @pytest.mark.parametrize("name", ["lars", "ida", "sam", "oscar", "mina"])
    def test_only_identity_managers_decide(self, checked, cast, name):
        person = getattr(cast, name)

        for step in (
            lambda: services.review_recovery(checked, evidence="x", by=person),
            lambda: services.appoint_recovered(checked, by=person),
            lambda: services.decline_recovery(checked, reason="x", by=person),
        ):
            with pytest.raises(ValidationError) as refusal:
                step()
            is_operator = person.is_staff
            assert refusal.value.code == (
                "not_deciding" if is_operator else "not_operator"
            )

    def test_an_ended_operator_decides_nothing(self, checked, ivan):
        ivan.is_active = False

        with pytest.raises(ValidationError):
            services.appoint_recovered(checked, by=ivan)

    @pytest.mark.django_db(transaction=True)
    def test_of_two_operators_at_once_one_decides(self, checked, iris, ivan, lars):
        outcomes = at_once(
            lambda: services.appoint_recovered(checked, by=ivan),
            lambda: services.decline_recovery(checked, reason="No.", by=iris),
        )

        (told,) = [one for one in outcomes if isinstance(one, Exception)]
        assert told.code == "answered"
        checked.refresh_from_db()
        has_role = RoleAssignment.objects.filter(user=lars).exists()
        assert has_role == (checked.state == RecoveryState.GRANTED)


class TestStopping:
    @pytest.fixture
    def unanswered(self, nordvik, greta, alice, lars):
        """Greta is there, and did not answer Lars for a week."""
        services.request_access(nordvik, role=Role.INCENTIVES_USER, by=lars)
        AccessRequest.objects.update(asked_at=timezone.now() - timedelta(days=8))
        return ask(nordvik, lars)

    def test_a_global_admin_who_is_there_stops_it(self, unanswered, greta, iris, lars):
        for _time in range(2):
            services.stop_recovery(unanswered, by=greta)

        email = OutgoingEmail.objects.get(name="recovery_declined")
        assert email.to_user == lars
        assert "Greta Voss" in email.body_text
        with pytest.raises(ValidationError, match="Greta Voss has answered"):
            services.review_recovery(unanswered, evidence="x", by=iris)

    @pytest.mark.parametrize("name", ["alice", "ida", "lars", "sam", "oscar"])
    def test_nobody_else_stops_it(self, unanswered, cast, name):
        with pytest.raises(ValidationError, match="Only a Global admin"):
            services.stop_recovery(unanswered, by=getattr(cast, name))

    def test_the_page_leads_there(self, client_of, unanswered, greta):
        client = client_of(greta)
        assert "asks the program owner" in text_of(
            client.get(reverse("accounts:requests"))
        )
        assert "Stop this request" in text_of(client.get(PAGE))

        response = client.post(url("accounts:stop_recovery", unanswered), follow=True)

        assert "Stopped. Nobody is appointed" in text_of(response)

    def test_an_account_admin_sees_it_and_no_button(self, client_of, unanswered, alice):
        page = text_of(client_of(alice).get(PAGE))

        assert "Lars Ek asks to become Global admin" in page
        assert "Stop this request" not in page
        response = client_of(alice).post(
            url("accounts:stop_recovery", unanswered), follow=True
        )
        assert "Only a Global admin" in text_of(response)


def leave(asked):
    asked.user.memberships.update(ended_at=timezone.now())


def become_admin_otherwise(asked):
    RoleAssignmentFactory(
        user=asked.user,
        role=Role.GLOBAL_ADMIN,
        partner_account=asked.partner_account,
    )


class TestLapsing:
    @pytest.mark.parametrize("event", [leave, become_admin_otherwise])
    def test_what_nobody_needs_is_closed_by_the_clock(self, checked, ivan, event):
        event(checked)

        with pytest.raises(ValidationError) as refusal:
            services.appoint_recovered(checked, by=ivan)
        assert refusal.value.code == "overtaken"
        assert services.lapse_recoveries(at=timezone.now()) == 1
        assert services.lapse_recoveries(at=timezone.now()) == 0
        checked.refresh_from_db()
        assert checked.state == RecoveryState.LAPSED

    def test_what_is_needed_stays(self, checked):
        assert services.lapse_recoveries(at=timezone.now()) == 0

    def test_after_it_lapsed_somebody_else_asks(self, asked, nordvik, ida):
        leave(asked)

        assert ask(nordvik, ida) != asked


class TestAskPage:
    def test_a_page_that_refuses_leads_there(self, client_of, lars):
        response = client_of(lars).get(reverse("enrollment:overview"))

        assert response.status_code == 403
        assert "Ask the program owner" in text_of(response)
        page = client_of(lars).get(response.context["refusal"].recovery_url)
        assert "What happened" in text_of(page)

    def test_where_somebody_can_be_asked_no_page_leads_there(
        self, client_of, lars, greta
    ):
        response = client_of(lars).get(reverse("enrollment:overview"))

        assert response.context["refusal"].recovery_url == ""
        page = text_of(client_of(lars).get(PAGE))
        assert "Ask these people first" in page
        assert "Greta Voss" in page
        assert 'name="reason"' not in page

    def test_asking_shows_the_evidence_and_the_way(self, client_of, lars, nordvik):
        response = client_of(lars).post(PAGE, {"reason": "Left."}, follow=True)

        page = text_of(response)
        assert "Now send the evidence." in page
        assert RecoveryRequest.objects.get().record in page
        assert "One operator checks the evidence" in page

    def test_an_error_is_said_above_the_form(self, client_of, lars):
        response = client_of(lars).post(PAGE, {"reason": ""})

        assert response.status_code == 422
        assert "Say what happened." in text_of(response)

    def test_a_refusal_of_the_service_is_said(self, client_of, lars, greta):
        response = client_of(lars).post(PAGE, {"reason": "Please."})

        assert response.status_code == 422
        assert not RecoveryRequest.objects.exists()

    def test_guests_and_admins_are_told_why_not(self, client_of, nordvik, greta):
        guest = UserFactory(email="gus@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        assert "not one of Nordvik" in text_of(client_of(guest).get(PAGE))
        assert "You are Global admin" in text_of(client_of(greta).get(PAGE))
        assert "no company" in text_of(client_of(UserFactory()).get(PAGE))

    @pytest.mark.parametrize(
        ("state", "words"),
        [("declined", "Your request was declined"), ("granted", "You were appointed")],
    )
    def test_the_answer_stands_there(
        self, client_of, asked, iris, ivan, lars, state, words
    ):
        if state == "declined":
            services.decline_recovery(asked, reason="No register.", by=iris)
        else:
            services.review_recovery(asked, evidence="Register.", by=iris)
            RecoveryRequest.objects.update(asked_at=timezone.now() - timedelta(days=4))
            services.appoint_recovered(asked, by=ivan)

        assert words in text_of(client_of(lars).get(PAGE))

    def test_other_companies_hear_nothing(self, client_of, lars):
        RecoveryRequestFactory(
            user=UserFactory(full_name="Canary Bird"),
            partner_account=PartnerAccountFactory(),
        )

        assert "Canary" not in text_of(client_of(lars).get(PAGE))


class TestOperatorsPages:
    def test_it_waits_in_the_list_with_who_asks(self, client_of, asked, iris):
        page = text_of(client_of(iris).get(LIST))

        for words in ("Nordvik IT AB", "Lars Ek", "Waiting for evidence"):
            assert words in page

    def test_the_page_shows_who_asks_and_what_to_ask_for(self, client_of, asked, iris):
        page = text_of(client_of(iris).get(url("ops:recovery", asked)))

        for words in ("Greta has left.", "company register", asked.record, "none"):
            assert words in page

    def test_one_checks_and_another_appoints(self, client_of, asked, iris, ivan, lars):
        first = client_of(iris)
        page = first.post(
            url("ops:review_recovery", asked), {"evidence": "Register."}, follow=True
        )
        assert "Another operator appoints." in text_of(page)
        early = client_of(ivan).get(url("ops:recovery", asked))
        assert "After that you can appoint." in text_of(early)
        RecoveryRequest.objects.update(asked_at=timezone.now() - timedelta(days=4))
        refused = first.post(url("ops:appoint", asked), follow=True)
        assert "You checked the evidence." in text_of(refused)
        assert not RoleAssignment.objects.filter(user=lars).exists()

        page = client_of(ivan).post(url("ops:appoint", asked), follow=True)

        assert "Lars Ek is Global admin of Nordvik IT AB" in text_of(page)
        assert "Appointed" in text_of(client_of(iris).get(LIST))

    def test_appointing_asks_who_it_is(self, client_of, checked, ivan):
        client = client_of(ivan)
        session = client.session
        session["signed_in_at"] = time.time() - 3600
        session.save()

        response = client.post(url("ops:appoint", checked))

        assert response.status_code == 302
        assert "reauthenticate" in response["Location"]

    @pytest.mark.parametrize(
        ("page", "typed", "words"),
        [
            ("ops:review_recovery", {"evidence": ""}, "Say what you checked"),
            ("ops:decline_recovery", {"reason": ""}, "Say why"),
        ],
    )
    def test_errors_are_said(self, client_of, asked, iris, page, typed, words):
        response = client_of(iris).post(url(page, asked), typed)

        assert response.status_code == 422
        assert words in text_of(response)

    def test_declining_tells_why(self, client_of, asked, iris):
        response = client_of(iris).post(
            url("ops:decline_recovery", asked), {"reason": "No register."}, follow=True
        )

        assert "Declined. Lars Ek reads why." in text_of(response)
        assert "No register." in text_of(response)

    @pytest.mark.parametrize("number", [1, 12])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, iris, number, django_assert_max_num_queries
    ):
        for _number in range(number):
            RecoveryRequestFactory()
        client = client_of(iris)
        client.get(LIST)

        with django_assert_max_num_queries(9):
            client.get(LIST)
