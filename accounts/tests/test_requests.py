"""Access asked for from a page that refuses, and what the admins answer."""

import threading
from datetime import timedelta
from html import unescape

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.models import (
    AccessRequest,
    AuditAction,
    AuditEvent,
    Membership,
    OutgoingEmail,
    RequestState,
    RoleAssignment,
    User,
)
from accounts.refusals import refusal_for
from accounts.roles import (
    REQUESTABLE_ROLES,
    Permission,
    Role,
    role_to_ask_for,
    roles_covering,
)
from accounts.services import requests
from accounts.tests.canaries import WATCH
from accounts.tests.cases import tried
from accounts.tests.factories import (
    AccessRequestFactory,
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet

pytestmark = pytest.mark.django_db

ASK = reverse("accounts:request_access")
REQUESTS = reverse("accounts:requests")


def text_of(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def ask(account, by, **wish) -> AccessRequest:
    return services.request_access(
        account, **{"role": Role.INCENTIVES_ADMIN, "by": by} | wish
    )


def mails(name: str) -> list[str]:
    """Who was written a mail of a name."""
    sent = OutgoingEmail.objects.filter(name=name).order_by("to_address")
    return [email.to_address for email in sent]


def url(name: str, asked) -> str:
    return reverse(f"accounts:{name}_access", kwargs={"pk": asked.pk})


@shared
def asked(nordvik, lars, alice, greta, goteborg):
    """Lars asks to enroll Göteborg; Alice and Greta can give it."""
    return ask(nordvik, lars, location=goteborg, reason="Ida is away.")


class TestAsking:
    def test_everybody_who_can_give_it_is_told(self, asked, greta, alice):
        assert mails("access_requested") == [alice.email, greta.email]
        email = OutgoingEmail.objects.filter(to_user=alice).get()
        assert email.subject == "Lars Ek asks for the role Incentives admin"
        for words in ("lars@partner.example", "Göteborg, all programs", "Ida is away."):
            assert words in email.body_text
            assert words in email.body_html
        event = AuditEvent.objects.get(action=AuditAction.ACCESS_REQUESTED)
        assert (event.actor.full_name, event.reason) == ("Lars Ek", "Ida is away.")

    def test_it_grants_nothing(self, asked, lars):
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_asking_again_is_the_same_request(self, asked, nordvik, lars, goteborg):
        again = ask(nordvik, lars, location=goteborg, reason="Please!")

        assert again == asked
        assert len(mails("access_requested")) == 2
        assert AccessRequest.objects.get().reason == "Ida is away."

    def test_another_scope_is_another_request(
        self, asked, nordvik, lars, goteborg, malmo, program
    ):
        wishes = (
            {"location": malmo},
            {"location": goteborg, "program": program},
            {"location": goteborg, "role": Role.INCENTIVES_USER},
            {},
        )
        for wish in wishes:
            assert ask(nordvik, lars, **wish) != asked

        assert AccessRequest.objects.waiting().count() == 5

    def test_an_account_admins_role_is_asked_of_global_admins(
        self, nordvik, lars, alice, greta
    ):
        ask(nordvik, lars, role=Role.ACCOUNT_ADMIN)

        assert mails("access_requested") == [greta.email]

    @pytest.mark.parametrize("role", sorted(set(Role) - set(REQUESTABLE_ROLES)))
    def test_other_roles_are_not_asked_for(self, nordvik, lars, greta, role):
        with pytest.raises(ValidationError, match="cannot be asked for"):
            ask(nordvik, lars, role=role)

    @pytest.mark.parametrize("name", ["sam", "oscar"])
    def test_strangers_do_not_ask(self, nordvik, cast, name):
        with pytest.raises(ValidationError, match="do not belong"):
            ask(nordvik, getattr(cast, name))

    def test_who_left_does_not_ask(self, nordvik, greta, lars):
        lars.memberships.update(ended_at=timezone.now())

        with pytest.raises(ValidationError, match="do not belong"):
            ask(nordvik, lars)

    def test_guests_do_not_ask_for_incentive_roles(self, nordvik, greta):
        # R14
        guest = UserFactory(email="gus@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        with pytest.raises(ValidationError, match="Guests"):
            ask(nordvik, guest)
        assert ask(nordvik, guest, role=Role.ACCOUNT_ADMIN)

    def test_places_of_another_company_are_refused(self, nordvik, greta, lars):
        with pytest.raises(ValidationError, match="your company"):
            ask(nordvik, lars, location=LocationFactory())

    def test_what_is_held_is_not_asked_for(self, nordvik, greta, ida, uma, goteborg):
        for person, role in (
            (ida, Role.INCENTIVES_ADMIN),
            (ida, Role.INCENTIVES_USER),
            (uma, Role.INCENTIVES_USER),
        ):
            with pytest.raises(ValidationError, match="already"):
                ask(nordvik, person, role=role, location=goteborg)
        assert ask(nordvik, uma, location=goteborg)
        assert ask(nordvik, ida)

    def test_who_can_take_it_does_not_ask(self, nordvik, greta, alice):
        # R4
        for admin in (greta, alice):
            with pytest.raises(ValidationError, match="give yourself"):
                ask(nordvik, admin)

    def test_with_nobody_to_give_it_the_refusal_says_so(self, nordvik, lars):
        with pytest.raises(ValidationError) as refusal:
            ask(nordvik, lars)

        assert refusal.value.code == "nobody_gives"
        assert not AccessRequest.objects.exists()

    def test_ten_a_day_are_enough(self, nordvik, greta, lars):
        # T19
        for _number in range(10):
            ask(nordvik, lars, location=LocationFactory(partner_account=nordvik))

        with pytest.raises(ValidationError, match="a lot today"):
            ask(nordvik, lars)
        AccessRequest.objects.update(asked_at=timezone.now() - timedelta(days=2))
        assert ask(nordvik, lars)

    def test_numbers_in_a_reason_are_not_mailed(self, nordvik, greta, lars):
        # R59: the row keeps what its author typed, nothing else does.
        with WATCH.letting_out() as seen:
            ask(nordvik, lars, reason="Our IBAN is SE35 5000 0000 0549 1000 0003.")

        assert len(seen) == 1
        email = OutgoingEmail.objects.get(name="access_requested")
        assert "5491" not in email.body_text.replace(" ", "")
        assert "0003" in email.body_text


class TestAnswering:
    def test_one_click_gives_what_was_asked_for(self, asked, alice, lars, goteborg):
        services.grant_access(asked, by=alice)

        role = RoleAssignment.objects.live().get(user=lars)
        assert (role.role, role.location, role.granted_by) == (
            Role.INCENTIVES_ADMIN,
            goteborg,
            alice,
        )
        asked.refresh_from_db()
        assert (asked.state, asked.answered_by) == (RequestState.GRANTED, alice)
        event = AuditEvent.objects.get(action=AuditAction.ACCESS_GRANTED)
        assert event.actor == alice

    def test_the_person_hears_of_it_once(self, asked, alice, lars):
        for _time in range(2):
            services.grant_access(asked, by=alice)

        assert OutgoingEmail.objects.filter(to_user=lars).count() == 1
        assert RoleAssignment.objects.filter(user=lars).count() == 1

    def test_declining_says_why(self, asked, greta, lars):
        for _time in range(2):
            services.decline_access(asked, reason="Ida is back.", by=greta)

        asked.refresh_from_db()
        assert (asked.state, asked.answer) == (RequestState.DECLINED, "Ida is back.")
        email = OutgoingEmail.objects.get(to_user=lars)
        assert email.subject == "Your request was declined: Incentives admin, Göteborg"
        assert "Göteborg, all programs" in " ".join(email.body_text.split())
        assert "Ida is back." in email.body_text
        assert "Greta Voss (greta@partner.example)" in " ".join(email.body_text.split())
        assert not RoleAssignment.objects.filter(user=lars).exists()

    @pytest.mark.parametrize(
        ("language", "subject"),
        [
            ("en", "Your request was declined: Incentives admin, Göteborg, only Azure"),
            (
                "sv",
                "Din begäran avslogs: Incitamentsadministratör, Göteborg, endast Azure",
            ),
        ],
    )
    def test_a_no_names_the_program_in_the_language_of_who_asked(
        self, asked, greta, lars, language, subject
    ):
        lars.language = language
        lars.save()
        asked.program = IncentiveProgramFactory(name="Azure")
        asked.save()

        services.decline_access(asked, reason="Ida is back.", by=greta)

        email = OutgoingEmail.objects.get(to_user=lars)
        assert email.subject == subject
        where = subject.partition("Göteborg, ")[2]
        assert f"Göteborg, {where}" in " ".join(email.body_text.split())

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_declining_needs_a_reason(self, asked, greta, reason):
        with pytest.raises(ValidationError, match="Say why"):
            services.decline_access(asked, reason=reason, by=greta)

    def test_the_second_admin_learns_who_answered(self, asked, greta, alice):
        services.grant_access(asked, by=alice)

        for answer in (
            lambda: services.grant_access(asked, by=greta),
            lambda: services.decline_access(asked, reason="No.", by=greta),
        ):
            with pytest.raises(ValidationError, match="Alice Berg has given") as no:
                answer()
            assert no.value.code == "answered"

    def test_what_was_declined_is_not_given_afterwards(self, asked, greta, alice, lars):
        services.decline_access(asked, reason="No.", by=greta)

        with pytest.raises(ValidationError, match="Greta Voss has declined"):
            services.grant_access(asked, by=alice)
        assert not RoleAssignment.objects.filter(user=lars).exists()

    @pytest.mark.parametrize("name", ["ida", "uma", "lars", "sam", "oscar"])
    def test_who_cannot_give_the_role_answers_nothing(self, asked, cast, name):
        # R5
        person = getattr(cast, name)

        for answer in (
            lambda: services.grant_access(asked, by=person),
            lambda: services.decline_access(asked, reason="No.", by=person),
        ):
            with pytest.raises(ValidationError) as refusal:
                answer()
            assert refusal.value.code == "not_granting"

    def test_an_account_admin_makes_nobody_account_admin(
        self, nordvik, lars, greta, alice
    ):
        # T3
        asked = ask(nordvik, lars, role=Role.ACCOUNT_ADMIN)

        with pytest.raises(ValidationError):
            services.grant_access(asked, by=alice)
        services.grant_access(asked, by=greta)

    def test_asking_anew_after_a_no_is_a_new_request(
        self, asked, nordvik, greta, lars, goteborg
    ):
        services.decline_access(asked, reason="No.", by=greta)

        assert ask(nordvik, lars, location=goteborg) != asked


def leave(asked):
    asked.user.memberships.update(ended_at=timezone.now())


def sleep(asked):
    User.objects.filter(pk=asked.user_id).update(is_active=False)


def get_it_otherwise(asked):
    RoleAssignmentFactory(
        user=asked.user,
        role=asked.role,
        partner_account=asked.partner_account,
        location=asked.location,
    )


def get_more_than_it(asked):
    RoleAssignmentFactory(
        user=asked.user,
        role=Role.INCENTIVES_ADMIN,
        partner_account=asked.partner_account,
    )


def close_the_place(asked):
    asked.location.closed_at = timezone.now()
    asked.location.save()


OVERTAKEN = [leave, sleep, get_it_otherwise, get_more_than_it, close_the_place]


class TestLapsing:
    @pytest.mark.parametrize("event", OVERTAKEN, ids=lambda one: one.__name__)
    def test_what_nobody_needs_waits_no_more(self, asked, alice, event):
        event(asked)

        assert not AccessRequest.objects.waiting().exists()
        for answer in (
            lambda: services.grant_access(asked, by=alice),
            lambda: services.decline_access(asked, reason="No.", by=alice),
        ):
            with pytest.raises(ValidationError) as refusal:
                answer()
            assert refusal.value.code == "overtaken"

    @pytest.mark.parametrize("event", OVERTAKEN, ids=lambda one: one.__name__)
    def test_the_clock_closes_it_once_and_tells_nobody(self, asked, lars, event):
        event(asked)

        assert services.lapse_requests(at=timezone.now()) == 1
        assert services.lapse_requests(at=timezone.now()) == 0

        asked.refresh_from_db()
        assert asked.state == RequestState.LAPSED
        assert AuditEvent.objects.get(action=AuditAction.ACCESS_LAPSED).actor is None
        assert not OutgoingEmail.objects.filter(name="access_declined").exists()

    def test_what_is_needed_stays(self, asked, nordvik, malmo, goteborg, program):
        # Less than what was asked for, or elsewhere, is not it.
        for scope in ({"location": malmo}, {"location": goteborg, "program": program}):
            RoleAssignmentFactory(user=asked.user, partner_account=nordvik, **scope)
        RoleAssignmentFactory(
            user=asked.user, partner_account=nordvik, role=Role.INCENTIVES_USER
        )
        RoleAssignmentFactory(
            user=asked.user,
            partner_account=nordvik,
            location=goteborg,
            revoked_at=timezone.now(),
        )

        assert services.lapse_requests(at=timezone.now()) == 0
        assert AccessRequest.objects.waiting().get() == asked

    def test_a_role_that_was_lost_again_is_asked_for_anew(
        self, asked, nordvik, lars, goteborg
    ):
        get_it_otherwise(asked)
        RoleAssignment.objects.filter(user=lars).update(revoked_at=timezone.now())
        leave(asked)
        MembershipFactory(user=lars, partner_account=nordvik)

        assert ask(nordvik, lars, location=goteborg) == asked

    def test_a_new_request_closes_the_old_one_before_the_clock(
        self, asked, nordvik, lars, goteborg
    ):
        close_the_place(asked)
        assert not AccessRequest.objects.waiting().exists()
        goteborg.closed_at = None
        goteborg.save()
        Membership.objects.filter(user=lars).update(ended_at=timezone.now())
        services.lapse_requests(at=timezone.now())
        MembershipFactory(user=lars, partner_account=nordvik)

        assert ask(nordvik, lars, location=goteborg) != asked


def is_done(outcome) -> bool:
    return not isinstance(outcome, Exception)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """What happens in the same moment."""

    def test_a_double_click_asks_once(self, nordvik, greta, lars):
        outcomes = at_once(*[lambda: ask(nordvik, lars)] * 4)

        assert all(map(is_done, outcomes)), outcomes
        assert AccessRequest.objects.count() == 1
        assert len(mails("access_requested")) == 1

    def test_without_the_lock_one_of_them_would_fail(
        self, nordvik, greta, lars, monkeypatch
    ):
        # The control.
        monkeypatch.setattr(requests, "lock_companies", lambda *keys: None)
        meet(monkeypatch, requests, "_lapse", threading.Barrier(2))

        outcomes = at_once(*[lambda: ask(nordvik, lars)] * 2)

        assert sorted(map(is_done, outcomes)) == [False, True]

    def test_of_two_admins_one_answers_and_the_other_is_told(self, asked, greta, alice):
        outcomes = at_once(
            lambda: services.grant_access(asked, by=alice),
            lambda: services.decline_access(asked, reason="No.", by=greta),
        )

        assert sum(map(is_done, outcomes)) == 1
        (told,) = [one for one in outcomes if not is_done(one)]
        assert told.code == "answered"
        asked.refresh_from_db()
        has_role = RoleAssignment.objects.filter(user=asked.user).exists()
        assert has_role == (asked.state == RequestState.GRANTED)

    def test_both_giving_it_is_giving_it_once(self, asked, greta, alice):
        outcomes = at_once(
            lambda: services.grant_access(asked, by=alice),
            lambda: services.grant_access(asked, by=greta),
        )

        assert sum(map(is_done, outcomes)) == 1
        assert RoleAssignment.objects.filter(user=asked.user).count() == 1


class TestPageThatRefuses:
    def test_who_has_no_role_is_led_to_ask(self, client_of, cast):
        response = client_of(cast.lars).get(reverse("enrollment:overview"))

        assert response.status_code == 403
        assert response.context["refusal"].ask_url == (f"{ASK}?role=incentives_user")
        assert "Ask for access" in text_of(response)

    def test_a_page_for_admins_asks_for_the_admins_role(self, client_of, cast):
        response = client_of(cast.ida).get(reverse("accounts:people"))

        page = client_of(cast.ida).get(response.context["refusal"].ask_url)
        assert page.context["form"]["role"].value() == Role.ACCOUNT_ADMIN
        assert page.context["form"]["location"].value() == "company"

    @pytest.mark.parametrize("name", ["greta", "alice"])
    def test_who_can_take_the_role_is_not_led_to_ask(self, client_of, cast, name):
        response = client_of(getattr(cast, name)).get(reverse("enrollment:overview"))

        assert response.context["refusal"].ask_url == ""

    def test_a_row_that_is_not_for_the_reader_fills_in_its_place(
        self, client_of, cast, nordvik, goteborg
    ):
        refusal = refusal_for(
            cast.uma, Permission.ENROLLMENT_EDIT, company=nordvik, row=goteborg
        )

        form = client_of(cast.uma).get(refusal.ask_url).context["form"]
        assert form["role"].value() == Role.INCENTIVES_ADMIN
        assert form["location"].value() == str(goteborg.pk)

    def test_with_nobody_to_ask_there_is_no_asking(self, nordvik, lars):
        refusal = refusal_for(
            lars, Permission.ENROLLMENT_VIEW, company=nordvik, row=None
        )

        assert refusal.ask_url == ""

    @pytest.mark.parametrize(
        ("permission", "role"),
        [
            (Permission.ENROLLMENT_VIEW, Role.INCENTIVES_USER),
            (Permission.ENROLLMENT_EDIT, Role.INCENTIVES_ADMIN),
            (Permission.PROFILE_VIEW, Role.INCENTIVES_ADMIN),
            (Permission.PERSON_VIEW, Role.ACCOUNT_ADMIN),
            (Permission.ROLE_ASSIGN, Role.ACCOUNT_ADMIN),
        ],
    )
    def test_the_role_to_ask_for_is_the_least_that_can_do_it(self, permission, role):
        assert role_to_ask_for(permission) == role

    @pytest.mark.parametrize("role", REQUESTABLE_ROLES)
    def test_a_role_covers_itself(self, role):
        assert role in roles_covering(role)


class TestAskPage:
    def test_asking_shows_who_can_give_it(self, client_of, cast, goteborg):
        client = client_of(cast.lars)

        response = client.post(
            ASK,
            {
                "role": "incentives_admin",
                "location": goteborg.pk,
                "program": "",
                "reason": "Ida is away.",
            },
            follow=True,
        )

        page = text_of(response)
        assert "The answer comes by mail." in page
        assert "Alice Berg" in page
        assert "Göteborg, all programs" in page
        assert "Waiting" in page

    def test_posting_twice_asks_once(self, client_of, cast, goteborg):
        client = client_of(cast.lars)
        for _time in range(2):
            response = client.post(
                ASK, {"role": "incentives_user", "location": goteborg.pk}
            )
            assert response.status_code == 302

        assert AccessRequest.objects.count() == 1
        assert len(mails("access_requested")) == 2

    def test_errors_keep_what_was_typed(self, client_of, cast, goteborg):
        for typed, words in (
            ({"role": ""}, "Choose a role"),
            ({"role": "global_admin"}, "Choose one of these roles"),
            ({"location": ""}, "Choose where you need the role"),
            ({"location": "99999999"}, "Choose a location of your company"),
            ({"program": "99999999"}, "Choose one of these programs"),
            ({"reason": "x" * 501}, "Shorten this"),
            ({"role": "account_admin"}, "for the whole company"),
        ):
            with tried(typed, words):
                answers = {
                    "role": "incentives_admin",
                    "location": goteborg.pk,
                    "reason": "Because of Ida",
                }

                response = client_of(cast.lars).post(ASK, answers | typed)

                assert response.status_code == 422
                assert words in text_of(response)
                assert (typed.get("reason") or "Because of Ida") in text_of(response)
                assert not AccessRequest.objects.exists()

    def test_a_foreign_location_is_no_choice(self, client_of, cast):
        foreign = LocationFactory(name="Hamburg")

        page = client_of(cast.lars).get(f"{ASK}?location={foreign.pk}")
        response = client_of(cast.lars).post(
            ASK, {"role": "incentives_user", "location": foreign.pk}
        )

        assert "Hamburg" not in text_of(page)
        assert response.status_code == 422

    def test_unlisted_programs_are_no_choice(self, client_of, cast, nordvik):
        listed = IncentiveProgramFactory(name="For everybody")

        choices = client_of(cast.lars).get(ASK).context["form"].fields["program"]

        assert (str(listed.pk), "For everybody") in choices.choices

    def test_who_belongs_to_no_company_is_told_what_to_do(self, client_of):
        page = text_of(client_of(UserFactory()).get(ASK))

        assert "A Global admin or Account admin of your company can invite you" in page

    def test_who_can_give_every_role_is_led_to_the_people(self, client_of, greta):
        page = client_of(greta).get(ASK).content.decode()

        assert "you can give every role yourself" in page
        assert f'href="{reverse("accounts:people")}"' in page
        assert 'name="reason"' not in page

    def test_with_nobody_to_ask_there_is_no_form(self, client_of, lars):
        page = text_of(client_of(lars).get(ASK))

        assert "Nobody else in Nordvik IT AB can give roles" in page
        assert 'name="role"' not in page

    def test_the_answer_and_its_reason_stand_there(self, client_of, asked, greta, lars):
        services.decline_access(asked, reason="Ida is back.", by=greta)

        page = text_of(client_of(lars).get(ASK))

        assert "Declined" in page
        assert "Ida is back." in page
        assert "Greta Voss" in page

    def test_nobody_sees_what_others_asked_for(self, client_of, asked, uma):
        assert "Lars Ek" not in text_of(client_of(uma).get(ASK))


class TestHome:
    def test_who_can_answer_is_told_on_home(self, client_of, asked, alice):
        page = text_of(client_of(alice).get(reverse("home")))

        assert "Lars Ek asks for the role Incentives admin" in page
        assert "Göteborg, all programs" in page
        assert f'href="{reverse("accounts:requests")}"' in page

    def test_nobody_else_is_and_not_for_what_was_answered(
        self, client_of, asked, alice, ida
    ):
        assert "asks for the role" not in text_of(client_of(ida).get(reverse("home")))

        services.grant_access(asked, by=alice)

        assert "asks for the role" not in text_of(client_of(alice).get(reverse("home")))


class TestRequestsPage:
    def test_requests_wait_with_reason_and_buttons(self, client_of, asked, alice):
        response = client_of(alice).get(REQUESTS)

        page = text_of(response)
        for words in ("Lars Ek", "Göteborg, all programs", "Ida is away.", "Decline"):
            assert words in page
        assert url("grant", asked) in page
        tabs = {tab["label"]: tab["count"] for tab in response.context["tabs"]}
        assert tabs["Requests"] == 1

    def test_giving_it_moves_it_to_the_answered(self, client_of, asked, alice, lars):
        response = client_of(alice).post(url("grant", asked), follow=True)

        page = text_of(response)
        assert "Lars Ek has the role Incentives admin: Göteborg" in page
        assert "Given" in page
        assert url("grant", asked) not in page

    def test_declining_asks_why(self, client_of, asked, alice):
        client = client_of(alice)
        assert client.get(url("decline", asked)).status_code == 200

        response = client.post(url("decline", asked), {"reason": ""})
        assert response.status_code == 422
        assert "Say why" in text_of(response)

        response = client.post(
            url("decline", asked), {"reason": "Ida is back."}, follow=True
        )
        assert "Declined. Lars Ek reads why." in text_of(response)

    def test_who_comes_second_is_told(self, client_of, asked, greta, alice):
        services.grant_access(asked, by=alice)
        client = client_of(greta)

        response = client.post(url("grant", asked), follow=True)
        assert "Alice Berg has given this access already" in text_of(response)
        response = client.post(url("decline", asked), {"reason": "No."}, follow=True)
        assert "Alice Berg has given this access already" in text_of(response)
        assert "You cannot answer" in text_of(client.get(url("decline", asked)))

    def test_what_one_cannot_give_names_who_can(
        self, client_of, nordvik, lars, greta, alice
    ):
        asked = ask(nordvik, lars, role=Role.ACCOUNT_ADMIN)

        response = client_of(alice).get(REQUESTS)

        assert "Only Greta Voss can give this role" in text_of(response)
        assert url("grant", asked) not in text_of(response)
        tabs = {tab["label"]: tab["count"] for tab in response.context["tabs"]}
        assert tabs["Requests"] == 0

    def test_what_lapsed_is_not_listed_as_waiting(self, client_of, asked, alice):
        leave(asked)

        assert "Lars Ek" not in text_of(client_of(alice).get(REQUESTS))

    def test_other_companies_requests_are_not_listed(self, client_of, asked, alice):
        foreign = AccessRequestFactory(partner_account=PartnerAccountFactory())

        assert foreign.user.full_name not in text_of(client_of(alice).get(REQUESTS))

    def test_for_others_there_is_no_such_request(self, client_of, asked, cast):
        # R16
        for name in ("grant", "decline"):
            for who in ("ida", "uma", "lars", "sam"):
                with tried(name, who):
                    client = client_of(getattr(cast, who))

                    assert (
                        client.post(url(name, asked), {"reason": "No."}).status_code
                        == 404
                    )
                    asked.refresh_from_db()
                    assert asked.state == RequestState.WAITING

    @pytest.mark.parametrize("number", [1, 20])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, greta, nordvik, number, django_assert_num_queries
    ):
        for _number in range(number):
            AccessRequestFactory(partner_account=nordvik)
            AccessRequestFactory(
                partner_account=nordvik,
                state=RequestState.GRANTED,
                answered_by=greta,
                answered_at=timezone.now(),
            )
        client = client_of(greta)
        client.get(REQUESTS)

        with django_assert_num_queries(12):
            client.get(REQUESTS)
