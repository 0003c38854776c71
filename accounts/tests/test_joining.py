"""From the mail to the company: the pages of colleagues' invitations, both sides."""

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import outbox, services
from accounts.link_tokens import token_for
from accounts.models import (
    ColleagueInvitation,
    InvitationState,
    MailStatus,
    OutgoingEmail,
    RoleAssignment,
    User,
)
from accounts.roles import Role
from accounts.tests.cases import tried
from accounts.tests.factories import (
    PASSWORD,
    ColleagueInvitationFactory,
    IncentiveProgramFactory,
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db

ADDRESS = "nils@partner.example"
NEW_PASSWORD = "nine tall ships at sea"
INVITE = reverse("accounts:invite")
PREVIEW = reverse("accounts:preview_invitation")
INVITATIONS = reverse("accounts:invitations")
PAGE = reverse("joining:invitation")
ACCEPT = reverse("joining:accept")
JOIN = reverse("joining:join")
LOGIN = reverse("account_login")

SCANNERS = (
    "Mozilla/5.0 (compatible; SafeLinks)",
    "Barracuda Sentinel (EE)",
    "Mozilla/5.0 HeadlessChrome/128.0",
    "",
)


def text_of(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def link_of(invitation) -> str:
    return reverse("joining:link", kwargs={"token": token_for(invitation.pk)})


def opened_by(client, invitation):
    """Open the link of the mail and follow it."""
    return client.get(link_of(invitation), follow=True)


def answers(*locations, **others):
    """What the form posts for a role at locations, or for the whole company."""
    return {
        "full_name": "Nils Holm",
        "email": ADDRESS,
        "language": "en",
        "role": Role.INCENTIVES_ADMIN,
        "width": "some" if locations else "company",
        "location": [location.pk for location in locations],
        "depth": "all",
        "ends_on": "",
    } | others


def joining(**others):
    return {
        "email": ADDRESS,
        "full_name": "Nils Holm",
        "password": NEW_PASSWORD,
    } | others


@shared
def invitation(nordvik, alice, goteborg):
    """Alice offers Nils Göteborg."""
    return services.invite_colleague(
        nordvik,
        email=ADDRESS,
        full_name="Nils Holm",
        language="en",
        role=Role.INCENTIVES_ADMIN,
        locations=[goteborg],
        by=alice,
    )


@shared
def nils(db):
    return UserFactory(full_name="Nils Holm", email=ADDRESS)


NAMES = ("Nordvik", "Göteborg", "Alice", ADDRESS, "Nils")


class TestLink:
    def test_looking_changes_nothing_however_often(self, client, invitation):
        # T4: scanners open links before people do.
        before = ColleagueInvitation.objects.values().get()
        for agent in SCANNERS * 5:
            for method in ("get", "head", "options"):
                getattr(Client(headers={"user-agent": agent}), method)(
                    link_of(invitation), follow=method == "get"
                )

        assert ColleagueInvitation.objects.values().get() == before
        assert not User.objects.filter(email=ADDRESS).exists()

    def test_the_token_is_left_behind(self, client, invitation):
        response = client.get(link_of(invitation))

        assert (response.status_code, response["Location"]) == (302, PAGE)
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["Cache-Control"] == "no-store"
        page = client.get(PAGE)
        token = token_for(invitation.pk)
        assert token not in page.content.decode()
        for session in Session.objects.all():
            assert token not in str(session.get_decoded())

    def test_a_link_that_was_never_given_out_is_missing(self, client, invitation):
        token = token_for(invitation.pk)
        wrong = token[:-1] + ("A" if token[-1] != "A" else "B")

        response = client.get(reverse("joining:link", kwargs={"token": wrong}))

        assert response.status_code == 404
        assert "invitation" not in client.session

    def test_the_id_of_an_invitation_is_no_link(self, client, invitation):
        assert client.get(f"/i/{invitation.pk}/").status_code in (302, 404)
        assert "invitation" not in client.session

    @pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
    def test_nothing_is_posted_to_a_link(self, client, invitation, method):
        assert getattr(client, method)(link_of(invitation)).status_code == 405

    def test_without_the_link_there_is_nothing_to_see(self, client):
        assert "Open the link in your mail" in text_of(client.get(PAGE))


class TestWhoSeesWhat:
    def test_a_stranger_sees_no_name(self, client, invitation):
        page = text_of(opened_by(client, invitation))

        assert "Your invitation" in page
        assert not [name for name in NAMES if name in page]

    def test_the_neutral_page_is_the_same_with_and_without_an_account(self, invitation):
        without = text_of(opened_by(Client(), invitation))
        UserFactory(email=ADDRESS)
        with_one = text_of(opened_by(Client(), invitation))

        assert _without_tokens(with_one) == _without_tokens(without)

    @pytest.mark.parametrize("name", ["lars", "sam", "greta"])
    def test_somebody_else_sees_no_name(self, client_of, cast, invitation, name):
        person = getattr(cast, name)
        page = text_of(opened_by(client_of(person), invitation))

        assert "for somebody else" in page
        assert person.email in page
        assert not [one for one in ("Göteborg", "Alice", ADDRESS) if one in page]

    def test_an_operator_sees_no_name(self, client_of, oscar, invitation):
        page = text_of(opened_by(client_of(oscar), invitation))

        assert "for somebody else" in page
        assert not [one for one in NAMES if one in page]

    def test_the_person_it_is_for_sees_everything(self, client_of, nils, invitation):
        page = text_of(opened_by(client_of(nils), invitation))

        for words in ("Join Nordvik IT AB?", "Alice Berg", "Incentives admin"):
            assert words in page
        assert "Göteborg, all programs" in page
        assert ">Accept</button>" in page

    @pytest.mark.parametrize("state", sorted(set(InvitationState) - {"open"}))
    def test_a_link_that_ended_says_so_and_names_nobody(
        self, client, nordvik, greta, state
    ):
        ended = ColleagueInvitationFactory(
            partner_account=nordvik,
            created_by=greta,
            email=ADDRESS,
            state=state,
            closed_at=timezone.now(),
            closed_by=greta if state == "accepted" else None,
        )

        page = text_of(opened_by(client, ended))

        assert "This invitation" in page
        assert "Sign in" in page
        assert "New password" not in page
        assert not [name for name in NAMES if name in page]

    def test_who_cannot_accept_any_more_is_told_whom_to_ask(
        self, client_of, nils, alice, invitation
    ):
        alice.role_assignments.update(revoked_at=timezone.now())

        page = text_of(opened_by(client_of(nils), invitation))

        assert "Ask Alice Berg or another admin" in page
        assert ">Accept</button>" not in page


def _without_tokens(page: str) -> str:
    head, _, tail = page.partition('name="csrfmiddlewaretoken"')
    return head + tail.partition(">")[2][:200]


class TestAccepting:
    def test_signing_in_leads_back_to_the_invitation(
        self, client, nils, invitation, goteborg
    ):
        page = opened_by(client, invitation)
        assert f"{LOGIN}?next={PAGE}" in text_of(page)

        response = client.post(
            f"{LOGIN}?next={PAGE}",
            {"login": ADDRESS, "password": PASSWORD, "next": PAGE},
            follow=True,
        )
        assert "Join Nordvik IT AB?" in text_of(response)

        response = client.post(ACCEPT, follow=True)
        assert "You belong to Nordvik IT AB now" in text_of(response)
        assert nils.role_assignments.get().location == goteborg

    def test_accepting_leads_home_in_the_new_company(
        self, client_of, nils, nordvik, invitation
    ):
        RoleAssignmentFactory(user=nils, partner_account=PartnerAccountFactory())
        client = client_of(nils)
        opened_by(client, invitation)

        response = client.post(ACCEPT, follow=True)

        assert response.context["current_company"] == nordvik

    def test_posting_twice_is_accepting_once(self, client_of, nils, invitation):
        client = client_of(nils)
        opened_by(client, invitation)

        assert client.post(ACCEPT).status_code == 302
        assert client.post(ACCEPT).status_code == 302

        assert RoleAssignment.objects.filter(user=nils).count() == 1
        assert OutgoingEmail.objects.filter(name="colleague_joined").count() == 1

    def test_the_link_after_that_says_it_was_accepted(
        self, client_of, nils, invitation
    ):
        client = client_of(nils)
        opened_by(client, invitation)
        client.post(ACCEPT)

        assert "You have accepted this" in text_of(opened_by(client, invitation))

    @pytest.mark.parametrize("name", ["lars", "sam", "alice"])
    def test_somebody_else_is_refused_and_learns_nothing(
        self, client_of, cast, invitation, name
    ):
        person = getattr(cast, name)
        client = client_of(person)
        opened_by(client, invitation)

        response = client.post(ACCEPT)

        assert response.status_code == 403
        assert "Göteborg" not in text_of(response)
        invitation.refresh_from_db()
        assert invitation.state == InvitationState.OPEN

    def test_without_the_link_there_is_nothing_to_accept(
        self, client_of, nils, invitation
    ):
        client_of(nils).post(ACCEPT)

        assert not nils.memberships.exists()

    def test_what_ended_meanwhile_is_refused_with_its_reason(
        self, client_of, nils, alice, invitation
    ):
        client = client_of(nils)
        opened_by(client, invitation)
        services.revoke_invitation(invitation, by=alice)

        response = client.post(ACCEPT)

        assert response.status_code == 422
        assert "withdrawn" in text_of(response)
        assert not nils.memberships.exists()

    def test_a_form_of_another_site_accepts_nothing(self, nils, invitation):
        client = Client(enforce_csrf_checks=True)
        client.force_login(nils)
        client.get(link_of(invitation))

        assert client.post(ACCEPT).status_code == 403
        assert not nils.memberships.exists()


class TestJoining:
    def test_from_the_mail_to_the_first_page(self, invitation):
        mail = OutgoingEmail.objects.get(secret_of=invitation.pk)
        (address,) = {
            word for word in outbox.as_message(mail).body.split() if "/i/" in word
        }
        client = Client()
        client.get("/" + address.split("/", 3)[3])

        response = client.post(JOIN, joining(), follow=True)
        assert response.redirect_chain[-1][0] == LOGIN
        assert "Your account is ready" in text_of(response)
        assert "_auth_user_id" not in client.session

        response = client.post(
            LOGIN, {"login": ADDRESS, "password": NEW_PASSWORD}, follow=True
        )
        assert response.status_code == 200
        user = User.objects.get(email=ADDRESS)
        assert user.role_assignments.get().location.name == "Göteborg"

    def test_errors_keep_what_was_typed_but_the_password(self, client, invitation):
        opened_by(client, invitation)

        response = client.post(JOIN, joining(password="short"))

        page = text_of(response)
        assert response.status_code == 422
        assert "Error:" in page
        assert 'value="Nils Holm"' in page
        assert 'value="short"' not in page
        assert 'id="id_password_error"' in page

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ({"email": ""}, "Enter your e-mail address"),
            ({"full_name": " "}, "Enter your name"),
            ({"password": ""}, "Choose a password"),
            ({"email": "mallory@partner.example"}, "not the address"),
            ({"full_name": "Nils\u202eHolm"}, "invisible character"),
        ],
    )
    def test_each_answer_is_asked_for(self, client, invitation, typed, words):
        opened_by(client, invitation)

        response = client.post(JOIN, joining(**typed))

        assert response.status_code == 422
        assert words in text_of(response)
        assert not User.objects.filter(full_name__startswith="Nils").exists()

    def test_who_has_an_account_is_told_to_sign_in(self, client, nils, invitation):
        opened_by(client, invitation)

        response = client.post(JOIN, joining())

        assert response.status_code == 422
        assert "has an account already" in text_of(response)

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("replaced", "Open the link in the newest mail."),
            ("revoked", "Ask whoever invited you for a new one."),
            ("expired", "Ask whoever invited you for a new one."),
        ],
    )
    def test_a_link_that_ended_says_what_to_do_instead(
        self, client, invitation, state, words
    ):
        opened_by(client, invitation)
        ColleagueInvitation.objects.update(state=state, closed_at=timezone.now())

        shown = text_of(client.get(PAGE))

        assert words in shown
        assert ("newest mail" in shown) == (state == "replaced")

    def test_posting_twice_is_joining_once(self, invitation):
        first, second = Client(), Client()
        for client in (first, second):
            opened_by(client, invitation)

        assert first.post(JOIN, joining()).status_code == 302
        response = second.post(JOIN, joining())

        assert response.status_code == 422
        assert "accepted already" in text_of(response)
        assert User.objects.filter(email=ADDRESS).count() == 1

    def test_without_the_link_nobody_joins(self, client, invitation):
        response = client.post(JOIN, joining(), follow=True)

        assert "Open the link in your mail" in text_of(response)
        assert not User.objects.filter(email=ADDRESS).exists()

    def test_who_is_signed_in_makes_no_second_account(
        self, client_of, lars, invitation
    ):
        client = client_of(lars)
        opened_by(client, invitation)

        client.post(JOIN, joining())

        assert not User.objects.filter(email=ADDRESS).exists()

    def test_guessing_the_address_of_a_found_link_ends_soon(self, invitation):
        # T6: at one link from anywhere.
        for number in range(10):
            client = Client(REMOTE_ADDR=f"192.0.2.{number}")
            opened_by(client, invitation)
            client.post(JOIN, joining(email=f"guess{number}@partner.example"))

        client = Client(REMOTE_ADDR="192.0.2.99")
        opened_by(client, invitation)
        response = client.post(JOIN, joining())

        assert response.status_code == 429
        assert "Wait an hour" in text_of(response)
        assert not User.objects.filter(email=ADDRESS).exists()

    def test_weak_passwords_are_no_guesses(self, client, invitation):
        opened_by(client, invitation)
        for _time in range(12):
            client.post(JOIN, joining(password="short"))

        assert client.post(JOIN, joining()).status_code == 302

    def test_a_form_of_another_site_joins_nobody(self, invitation):
        client = Client(enforce_csrf_checks=True)
        client.get(link_of(invitation))

        assert client.post(JOIN, joining()).status_code == 403


class TestInvite:
    def test_what_is_offered_is_shown_before_it_is_sent(
        self, client_of, alice, goteborg
    ):
        response = client_of(alice).post(PREVIEW, answers(goteborg))

        page = text_of(response)
        assert "Göteborg, all programs" in page
        assert ADDRESS in page
        assert "Enroll, and see and change tax profiles" in page
        assert not ColleagueInvitation.objects.exists()

    def test_sending_leads_to_the_list(self, client_of, alice, goteborg):
        response = client_of(alice).post(INVITE, answers(goteborg), follow=True)

        assert response.redirect_chain[-1][0] == INVITATIONS
        page = text_of(response)
        assert f"The invitation to Nils Holm ({ADDRESS}) is on its way" in page
        assert "Göteborg, all programs" in page
        assert "works until" in page

    def test_sending_twice_sends_one(self, client_of, alice, goteborg):
        client = client_of(alice)

        for _time in range(2):
            assert client.post(INVITE, answers(goteborg)).status_code == 302

        assert OutgoingEmail.objects.filter(to_address=ADDRESS).count() == 1

    def test_errors_keep_what_was_typed(self, client_of, greta):
        for url in (INVITE, PREVIEW):
            for typed, words in (
                ({"full_name": ""}, "Enter the person's name"),
                ({"email": ""}, "Enter the person's e-mail address"),
                ({"email": "nils@elsewhere.example"}, "Guests cannot hold"),
                ({"email": "greta@partner.example"}, "belongs to your company already"),
                ({"language": "xx"}, "xx is not one"),
                ({"role": "king"}, "Choose one of these roles"),
                ({"width": "some"}, "Tick at least one location"),
                ({"ends_on": "2020-01-01"}, "in the past"),
            ):
                with tried(url, typed, words):
                    response = client_of(greta).post(url, answers(**typed))

                    page = text_of(response)
                    assert response.status_code == 422
                    assert words in page
                    kept = {"full_name": "Nils Holm", "email": ADDRESS} | typed
                    assert (
                        f'value="{kept["full_name"]}"' in page or not kept["full_name"]
                    )
                    assert f'value="{kept["email"]}"' in page or not kept["email"]
                    assert not ColleagueInvitation.objects.exists()

    def test_every_role_one_can_give_can_be_offered(self, client_of, greta, alice):
        # One of them needs somebody from elsewhere: R14 is for incentive roles.
        asked = answers(role="mpn_admin", email="nils@elsewhere.example")

        preview = text_of(client_of(greta).post(PREVIEW, asked))
        client_of(greta).post(INVITE, asked)

        assert "Sees people and their roles. For the whole company." in preview
        assert ColleagueInvitation.objects.get().role == "mpn_admin"
        page = client_of(alice).post(INVITE, answers(role="account_admin"))
        assert "Choose one of these roles" in text_of(page)

    def test_who_gives_no_role_is_asked_for_none_and_lists_what_they_sent(
        self, client_of, nordvik
    ):
        # C1
        client = client_of(
            RoleAssignmentFactory(role=Role.USER_ADMIN, partner_account=nordvik).user
        )
        asked = {"full_name": "Nils Holm", "email": ADDRESS, "language": "en"}

        form = text_of(client.get(INVITE))
        preview = text_of(client.post(PREVIEW, asked | {"role": "none"}))
        sent = text_of(client.post(INVITE, asked | {"role": "none"}, follow=True))
        refused = client.post(INVITE, asked | {"role": "incentives_user"})

        assert 'type="radio"' not in form
        assert 'name="location"' not in form
        assert "Nothing yet but to ask for a role." in preview
        assert "No role yet" in sent
        assert "Withdraw" in sent
        assert refused.status_code == 422
        assert ColleagueInvitation.objects.get().role == ""
        people = text_of(client.get(reverse("accounts:people")))
        assert f'href="{INVITE}"' in people
        assert f'href="{INVITATIONS}"' in people

    def test_no_role_may_be_offered_whatever_else_is_ticked(
        self, client_of, alice, goteborg
    ):
        client_of(alice).post(INVITE, answers(goteborg, role="none"))

        assert ColleagueInvitation.objects.get().role == ""

    def test_a_foreign_location_cannot_be_chosen(self, client_of, greta):
        response = client_of(greta).post(INVITE, answers(LocationFactory()))

        assert response.status_code == 422
        assert "Choose a location of your company" in text_of(response)

    def test_the_way_back_keeps_the_answers(self, client_of, alice, goteborg):
        client = client_of(alice)
        preview = client.post(PREVIEW, answers(goteborg, ends_on="2031-05-01"))

        page = text_of(client.get(preview.context["change_url"]))

        for words in ('value="Nils Holm"', f'value="{ADDRESS}"', 'value="2031-05-01"'):
            assert words in page
        assert f'name="location" value="{goteborg.pk}"' in page
        assert "checked" in page

    def test_a_preview_that_is_only_looked_at_leads_to_the_form(self, client_of, alice):
        assert client_of(alice).get(PREVIEW)["Location"] == INVITE

    def test_unlisted_programs_of_others_are_not_named(self, client_of, alice, nordvik):
        IncentiveProgramFactory(name="Known to all")

        assert "Known to all" in text_of(client_of(alice).get(INVITE))


class TestInvitations:
    def test_each_state_says_what_became_of_it(
        self, client_of, greta, nordvik, invitation
    ):
        for state in set(InvitationState) - {InvitationState.OPEN}:
            ColleagueInvitationFactory(
                partner_account=nordvik,
                created_by=greta,
                state=state,
                closed_at=timezone.now(),
                closed_by=greta if state == "accepted" else None,
            )

        response = client_of(greta).get(INVITATIONS)

        labels = [row.chip.label for row in response.context["rows"]]
        assert labels[0] == "Not answered yet"
        assert sorted(labels) == sorted(
            str(InvitationState(one).label) for one in InvitationState
        )

    def test_one_past_its_time_is_shown_as_expired_before_the_clock_comes(
        self, client_of, greta, invitation
    ):
        past = timezone.now() - timedelta(hours=1)
        ColleagueInvitation.objects.update(expires_at=past)

        response = client_of(greta).get(INVITATIONS)

        (row,) = response.context["rows"]
        assert (row.chip.label, row.can_change) == ("Expired", False)
        tabs = {tab["label"]: tab["count"] for tab in response.context["tabs"]}
        assert tabs["Invitations"] == 0

    def test_a_mail_that_could_not_be_delivered_shows(
        self, client_of, greta, invitation
    ):
        # fault 16
        OutgoingEmail.objects.update(status=MailStatus.FAILED)

        assert "could not be delivered" in text_of(client_of(greta).get(INVITATIONS))

    def test_an_inviter_who_lost_the_right_shows(
        self, client_of, greta, alice, invitation
    ):
        alice.role_assignments.update(revoked_at=timezone.now())

        page = text_of(client_of(greta).get(INVITATIONS))

        assert "Alice Berg may no longer give this role" in page

    def test_other_companies_invitations_are_not_listed(
        self, client_of, greta, invitation
    ):
        foreign = ColleagueInvitationFactory()

        page = text_of(client_of(greta).get(INVITATIONS))

        assert ADDRESS in page
        assert foreign.email not in page

    def test_offers_above_the_readers_own_have_no_buttons(
        self, client_of, alice, greta, nordvik
    ):
        ColleagueInvitationFactory(
            partner_account=nordvik, created_by=greta, role=Role.GLOBAL_ADMIN
        )

        (row,) = client_of(alice).get(INVITATIONS).context["rows"]

        assert row.is_open
        assert not row.can_change

    @pytest.mark.parametrize("number", [1, 24])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, greta, nordvik, number, django_assert_num_queries
    ):
        for _number in range(number):
            ColleagueInvitationFactory(
                partner_account=nordvik,
                created_by=RoleAssignmentFactory(
                    role=Role.ACCOUNT_ADMIN, partner_account=nordvik
                ).user,
                places=[
                    (LocationFactory(partner_account=nordvik), None),
                    (LocationFactory(partner_account=nordvik), None),
                ],
            )
        client = client_of(greta)
        client.get(INVITATIONS)

        with django_assert_num_queries(13):
            client.get(INVITATIONS)


def url(name: str, invitation) -> str:
    return reverse(f"accounts:{name}_invitation", kwargs={"pk": invitation.pk})


class TestResendAndRevoke:
    def test_sent_again_and_withdrawn_from_the_list(self, client_of, greta, invitation):
        client = client_of(greta)
        OutgoingEmail.objects.update(created_at=timezone.now() - timedelta(hours=1))

        response = client.post(url("resend", invitation), follow=True)
        assert "is on its way again" in text_of(response)
        assert OutgoingEmail.objects.filter(secret_of=invitation.pk).count() == 2

        response = client.post(url("revoke", invitation), follow=True)
        assert "no longer works" in text_of(response)
        invitation.refresh_from_db()
        assert invitation.state == InvitationState.REVOKED

    @pytest.mark.parametrize("name", ["resend", "revoke"])
    def test_what_ended_meanwhile_says_so(
        self, client_of, greta, nils, invitation, name
    ):
        services.accept_invitation(invitation, by=nils)

        response = client_of(greta).post(url(name, invitation), follow=True)

        assert "accepted already" in text_of(response)

    @pytest.mark.parametrize("name", ["resend", "revoke"])
    @pytest.mark.parametrize("who", ["ida", "uma", "lars", "sam"])
    def test_for_others_there_is_no_such_invitation(
        self, client_of, cast, invitation, name, who
    ):
        # R16
        client = client_of(getattr(cast, who))

        assert client.post(url(name, invitation)).status_code == 404
        invitation.refresh_from_db()
        assert invitation.state == InvitationState.OPEN

    @pytest.mark.parametrize("name", ["resend", "revoke"])
    def test_what_is_above_ones_own_is_refused(
        self, client_of, alice, greta, nordvik, name
    ):
        above = ColleagueInvitationFactory(
            partner_account=nordvik, created_by=greta, role=Role.GLOBAL_ADMIN
        )

        response = client_of(alice).post(url(name, above), follow=True)

        assert "You cannot give or end the role" in text_of(response)
        above.refresh_from_db()
        assert above.state == InvitationState.OPEN
