"""Lost second factors: who may ask, who says yes, what is reset, and what comes after."""

import re
import time
from datetime import timedelta
from html import unescape

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import outbox, services
from accounts.models import (
    AuditAction,
    AuditEvent,
    FactorReset,
    OutgoingEmail,
    ResetState,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.tests.factories import (
    PASSWORD,
    FactorResetFactory,
    MembershipFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.second_factors import code_of, give_app, give_codes, secret_on
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
SECOND = "/accounts/login/second-step/"
ASK = reverse("lost:ask")
STOP = reverse("lost:stop")
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)


def text_of(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def url(name: str, asked) -> str:
    return reverse(name, kwargs={"pk": asked.pk})


def written_to(name: str) -> list[str]:
    sent = OutgoingEmail.objects.filter(name=name).order_by("to_address")
    return [email.to_address for email in sent]


def half_signed_in(user, client=None) -> Client:
    """A browser that has shown the password and waits at the second step."""
    client = client or Client()
    response = client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert response["Location"] == SECOND
    return client


def identity_manager(name: str):
    operator = UserFactory(
        full_name=name, email=f"{name.split()[0].lower()}@owner.example", operator=True
    )
    operator.groups.add(Group.objects.get(name="Identity manager"))
    return operator


def a_day_passes(**fields) -> None:
    FactorReset.objects.update(asked_at=timezone.now() - DAY, **fields)


def has_factors(user) -> bool:
    return Authenticator.objects.filter(user=user).exists()


@shared
def iris(db):
    return identity_manager("Iris Ahl")


@shared
def ivan(db):
    return identity_manager("Ivan Bo")


@pytest.fixture
def ida(ida):
    """With an app and recovery codes, which she has lost."""
    give_app(ida)
    give_codes(ida)
    return ida


@pytest.fixture
def asked(nordvik, greta, alice, ida, iris, ivan) -> FactorReset:
    return services.request_factor_reset(nordvik, reason="Phone in the sea.", by=ida)


@pytest.fixture
def vouched(asked, greta) -> FactorReset:
    """Greta met Ida, a day ago."""
    services.vouch_for_person(asked, evidence="Met her.", by=greta)
    a_day_passes()
    asked.refresh_from_db()
    return asked


def refusal_of(step) -> str | None:
    with pytest.raises(ValidationError) as refusal:
        step()
    return refusal.value.code


class TestAsking:
    def test_the_second_step_leads_to_whom_to_ask(self, ida, greta, alice, lars):
        client = half_signed_in(ida)
        assert f'href="{ASK}"' in client.get(SECOND).content.decode()

        page = text_of(client.get(ASK))

        assert "Greta Voss" in page
        assert "Alice Berg" in page
        assert "Lars Ek" not in page
        assert "greta@" not in page

    def test_without_the_password_nobody_reads_or_asks(self, client_of, ida, greta):
        for client in (Client(), client_of(ida)):
            assert client.get(ASK).status_code == 302
            assert client.post(ASK, {"reason": "Lost."}).status_code == 302
        assert not FactorReset.objects.exists()

    def test_asking_writes_to_the_person_and_to_the_admins(
        self, ida, greta, alice, iris
    ):
        client = half_signed_in(ida)
        response = client.post(ASK, {"reason": "Phone 0701234567 lost."}, follow=True)

        assert "You have asked for help" in text_of(response)
        assert written_to("factor_reset_asked") == ["ida@partner.example"]
        assert written_to("factor_reset_notice") == [
            "alice@partner.example",
            "greta@partner.example",
        ]
        assert written_to("factor_reset_due") == []
        notice = OutgoingEmail.objects.filter(name="factor_reset_notice").first()
        assert "0701234567" not in notice.body_text
        assert has_factors(ida)
        event = AuditEvent.objects.get(action=AuditAction.FACTOR_RESET_ASKED)
        assert (event.actor, event.person) == (ida, ida)

    def test_an_error_is_said_above_the_form(self, ida, greta):
        response = half_signed_in(ida).post(ASK, {"reason": " "})

        assert response.status_code == 422
        assert "Say what happened." in text_of(response)

    def test_asking_twice_is_asking_once(self, asked, nordvik, ida):
        assert services.request_factor_reset(nordvik, reason="Again.", by=ida) == asked
        assert len(written_to("factor_reset_asked")) == 1

    def test_it_is_asked_three_times_a_month_at_most(self, nordvik, ida, greta):
        for _number in range(3):
            reset = services.request_factor_reset(nordvik, reason="Lost.", by=ida)
            services.stop_factor_reset(reset)

        def again():
            services.request_factor_reset(nordvik, reason="Lost.", by=ida)

        assert refusal_of(again) == "too_many"

    def test_who_has_lost_nothing_does_not_ask(self, nordvik, lars, greta):
        def ask():
            services.request_factor_reset(nordvik, reason="Lost.", by=lars)

        assert refusal_of(ask) == "nothing_lost"

    def test_nobody_asks_in_another_company(self, ida, sam):
        other = sam.memberships.get().partner_account

        def ask():
            services.request_factor_reset(other, reason="Lost.", by=ida)

        assert refusal_of(ask) == "stranger"

    def test_of_several_companies_one_is_chosen(self, ida, greta, sam):
        other = sam.memberships.get().partner_account
        MembershipFactory(user=ida, partner_account=other)
        client = half_signed_in(ida)
        assert client.post(ASK, {"reason": "Lost."}).status_code == 422

        client.post(ASK, {"reason": "Lost.", "company_chosen": str(other.pk)})

        assert FactorReset.objects.get().partner_account == other


class TestVouching:
    def test_an_admin_who_made_sure_vouches_and_the_operators_are_told(
        self, asked, client_of, alice
    ):
        client = client_of(alice)
        requests = text_of(client.get(reverse("accounts:requests")))
        assert "Ida Lund has lost every second factor" in requests
        page = text_of(client.get(url("accounts:lost_factor", asked)))
        assert "Phone in the sea." in page

        response = client.post(
            url("accounts:vouch", asked), {"evidence": "Met her."}, follow=True
        )

        assert "Now the program owner decides." in text_of(response)
        asked.refresh_from_db()
        assert (asked.state, asked.vouched_by) == (ResetState.VOUCHED, alice)
        assert written_to("factor_reset_due") == [
            "iris@owner.example",
            "ivan@owner.example",
        ]

    def test_vouching_asks_who_it_is(self, asked, client_of, greta):
        client = client_of(greta)
        session = client.session
        session["signed_in_at"] = time.time() - 3600
        session.save()

        response = client.post(url("accounts:vouch", asked), {"evidence": "Met her."})

        assert "reauthenticate" in response["Location"]
        asked.refresh_from_db()
        assert asked.state == ResetState.WAITING

    def test_nobody_vouches_for_themselves(self, nordvik, ida, iris, greta):
        RoleAssignmentFactory(
            user=ida, role=Role.GLOBAL_ADMIN, partner_account=nordvik, granted_by=greta
        )
        reset = services.request_factor_reset(nordvik, reason="Lost.", by=ida)

        def vouch():
            services.vouch_for_person(reset, evidence="Me.", by=ida)

        assert refusal_of(vouch) == "own"

    def test_a_role_somebody_gave_themselves_seconds_nothing(
        self, asked, nordvik, alice, client_of
    ):
        RoleAssignment.objects.filter(user=alice).update(granted_by=alice)

        def vouch():
            services.vouch_for_person(asked, evidence="Met her.", by=alice)

        assert refusal_of(vouch) == "not_vouching"
        page = text_of(client_of(alice).get(url("accounts:lost_factor", asked)))
        assert "Greta Voss" in page
        assert "Vouch for the person" not in page

    @pytest.mark.parametrize("name", ["uma", "lars", "sam", "oscar", "mina"])
    def test_nobody_else_vouches(self, asked, cast, name):
        def vouch():
            services.vouch_for_person(asked, evidence="x", by=getattr(cast, name))

        assert refusal_of(vouch) in ("not_vouching", "not_deciding")

    def test_operators_wait_for_the_company_for_a_week(self, asked, iris, ivan):
        def vouch():
            return services.vouch_for_person(asked, evidence="Called.", by=iris)

        assert refusal_of(vouch) == "company_first"

        FactorReset.objects.update(asked_at=timezone.now() - timedelta(days=7))

        assert vouch().vouched_by == iris
        services.reset_second_factors(asked, by=ivan)
        assert not has_factors(asked.user)

    def test_vouching_says_how_and_is_done_once(self, asked, greta, alice):
        def vouch(evidence, by):
            return services.vouch_for_person(asked, evidence=evidence, by=by)

        with pytest.raises(ValidationError, match="how you made sure"):
            vouch(" ", greta)
        vouch("Met her.", greta)
        assert vouch("Twice.", greta).evidence == "Met her."
        assert refusal_of(lambda: vouch("Me too.", alice)) == "vouched"


class TestResetting:
    def test_two_people_and_a_day_remove_every_factor_and_end_every_session(
        self, vouched, ida, iris, client_of, greta
    ):
        there = client_of(ida)
        mails = OutgoingEmail.objects.filter(to_user=ida).count()

        services.reset_second_factors(vouched, by=iris)

        assert not has_factors(ida)
        assert there.get("/account/").status_code == 302
        told = OutgoingEmail.objects.filter(to_user=ida)
        assert told.count() == mails + 1
        assert told.latest("created_at").name == "factors_reset"
        assert written_to("factors_reset_notice") == [
            "alice@partner.example",
            "greta@partner.example",
        ]
        notice = OutgoingEmail.objects.filter(name="factors_reset_notice").first()
        assert "Greta Voss vouched" in notice.body_text
        assert "Iris" not in notice.body_text + notice.body_html
        trail = AuditEvent.objects.filter(person=ida).values_list("action", flat=True)
        assert {
            AuditAction.FACTOR_RESET_VOUCHED,
            AuditAction.FACTORS_RESET,
            AuditAction.SECOND_FACTOR_REMOVED,
            AuditAction.SESSIONS_ENDED,
        } <= set(trail)

    def test_resetting_twice_is_resetting_once(self, vouched, iris):
        for _time in range(2):
            services.reset_second_factors(vouched, by=iris)

        assert len(written_to("factors_reset")) == 1

    @pytest.mark.parametrize("name", ["greta", "alice", "ida", "oscar", "mina"])
    def test_no_admin_and_no_other_operator_resets(self, vouched, cast, name):
        def reset():
            services.reset_second_factors(vouched, by=getattr(cast, name))

        assert refusal_of(reset) in ("not_operator", "not_deciding", "own")
        assert has_factors(vouched.user)

    def test_nothing_is_reset_before_somebody_vouched(self, asked, iris):
        a_day_passes()

        def reset():
            services.reset_second_factors(asked, by=iris)

        assert refusal_of(reset) == "not_vouched"

    def test_nothing_is_reset_while_the_person_can_stop_it(self, vouched, iris):
        FactorReset.objects.update(asked_at=timezone.now() - DAY + timedelta(minutes=1))

        def reset():
            services.reset_second_factors(vouched, by=iris)

        assert refusal_of(reset) == "too_early"
        assert has_factors(vouched.user)

    def test_where_nobody_in_the_company_can_two_operators_do(
        self, nordvik, ida, iris, ivan, client_of
    ):
        reset = services.request_factor_reset(nordvik, reason="Lost.", by=ida)
        assert len(written_to("factor_reset_due")) == 2
        first, second = client_of(iris), client_of(ivan)
        assert "Ida Lund" in text_of(first.get(reverse("ops:recoveries")))
        first.post(url("ops:vouch", reset), {"evidence": "Called back."})
        a_day_passes()

        again = first.post(url("ops:reset_factors", reset), follow=True)
        assert "Another operator resets." in text_of(again)
        assert has_factors(ida)
        done = second.post(url("ops:reset_factors", reset), follow=True)

        assert "Ida Lund is signed out everywhere" in text_of(done)
        assert not has_factors(ida)

    def test_an_operator_is_helped_by_two_others(self, iris, ivan, client_of):
        ivo = identity_manager("Ivo Cay")
        give_app(ivo)
        page = half_signed_in(ivo).post(ASK, {"reason": "Lost."}, follow=True)
        assert "An operator makes sure" in text_of(page)
        reset = FactorReset.objects.get()
        assert written_to("factor_reset_due") == [
            "iris@owner.example",
            "ivan@owner.example",
        ]
        a_day_passes()

        def vouch(by):
            return services.vouch_for_person(reset, evidence="Met.", by=by)

        assert refusal_of(lambda: vouch(ivo)) == "own"
        vouch(iris)
        services.reset_second_factors(reset, by=ivan)

        assert not has_factors(ivo)
        assert written_to("factors_reset_notice") == [
            "iris@owner.example",
            "ivan@owner.example",
        ]
        assert not AuditEvent.objects.get(
            action=AuditAction.FACTORS_RESET
        ).partner_account

    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_once_one_decides(self, vouched, iris, ida):
        outcomes = at_once(
            lambda: services.reset_second_factors(vouched, by=iris),
            lambda: services.stop_factor_reset(vouched),
        )

        (told,) = [one for one in outcomes if isinstance(one, Exception)]
        assert told.code == "answered"
        vouched.refresh_from_db()
        assert has_factors(ida) == (vouched.state == ResetState.STOPPED)


class TestStopping:
    def link_in_mail(self) -> str:
        email = OutgoingEmail.objects.get(name="factor_reset_asked")
        assert "/accounts/lost/stop/" not in email.body_text + email.body_html
        body = outbox.as_message(email).body
        return re.search(r"/accounts/lost/stop/[\w-]{43}/", body)[0]

    def test_the_link_of_the_mail_stops_it_without_signing_in(self, vouched, iris, ida):
        client = Client()
        page = client.get(self.link_in_mail(), follow=True)
        assert page.redirect_chain[-1][0] == STOP
        assert "Somebody who knows your password" in text_of(page)
        assert "Ida" not in text_of(page)
        vouched.refresh_from_db()
        assert vouched.state == ResetState.VOUCHED

        done = client.post(STOP, follow=True)

        assert "Your second factors stay as they are." in text_of(done)
        assert (
            refusal_of(lambda: services.reset_second_factors(vouched, by=iris))
            == "answered"
        )
        assert has_factors(ida)

    def test_a_made_up_link_opens_nothing(self, vouched):
        client = Client()

        assert client.get(f"{STOP}{'x' * 43}/").status_code == 404
        client.post(STOP)
        vouched.refresh_from_db()
        assert vouched.state == ResetState.VOUCHED

    def test_using_a_second_factor_after_all_stops_it(self, vouched, ida):
        client = half_signed_in(ida)

        client.post(SECOND, {"code": code_of()})

        vouched.refresh_from_db()
        assert (vouched.state, vouched.answered_by) == (ResetState.STOPPED, ida)

    def test_declining_says_why(self, vouched, client_of, greta, iris):
        declined = url("accounts:decline_reset", vouched)
        assert client_of(greta).post(declined, {"reason": " "}).status_code == 422

        client_of(greta).post(declined, {"reason": "She has it."})

        email = OutgoingEmail.objects.get(name="factor_reset_declined")
        assert "Greta Voss declined" in email.body_text
        assert "She has it." in email.body_text
        assert (
            refusal_of(lambda: services.reset_second_factors(vouched, by=iris))
            == "answered"
        )

    def test_an_operator_declines_too(self, asked, client_of, iris, ida):
        response = client_of(iris).post(
            url("ops:decline_reset", asked), {"reason": "No."}, follow=True
        )

        assert "Declined. Ida Lund reads why." in text_of(response)
        email = OutgoingEmail.objects.get(name="factor_reset_declined")
        assert "Iris" not in email.body_text
        assert "was declined" in text_of(half_signed_in(ida).get(ASK))

    def test_what_is_too_old_or_needless_lapses(self, vouched, iris):
        assert services.lapse_factor_resets(at=timezone.now()) == 0
        FactorReset.objects.update(asked_at=timezone.now() - timedelta(days=30))

        def reset():
            services.reset_second_factors(vouched, by=iris)

        assert refusal_of(reset) == "overtaken"
        assert services.lapse_factor_resets(at=timezone.now()) == 1
        vouched.refresh_from_db()
        assert vouched.state == ResetState.LAPSED


class TestAfterwards:
    @pytest.fixture
    def client(self, vouched, iris, ida):
        """Ida has signed in with her password after the reset."""
        services.reset_second_factors(vouched, by=iris)
        cache.clear()
        client = Client()
        client.post(LOGIN, {"login": ida.email, "password": PASSWORD})
        return client

    def test_a_new_factor_comes_before_anything_else(self, client, ida, settings):
        settings.SECOND_FACTOR_REQUIRED = False
        wall = reverse("own:second_factor")
        for page in ("/", "/account/", "/profiles/", "/people/request/", "/admin/"):
            assert client.get(page)["Location"].startswith(wall), page
        assert "were removed, as you asked" in text_of(client.get(wall))
        # A passkey or an app: both can be set up.
        assert client.get(reverse("mfa_add_webauthn")).status_code == 200

        secret = secret_on(client.get("/accounts/app/add/"))
        client.post("/accounts/app/add/", {"code": code_of(secret)})

        assert client.get("/").status_code == 200
        assert FactorReset.objects.get().renewed_at is not None
        assert client.get("/account/").status_code == 200

    def test_it_is_asked_for_in_every_session_until_it_is_there(self, client, ida):
        other = Client()
        other.post(LOGIN, {"login": ida.email, "password": PASSWORD})
        assert other.get("/")["Location"].startswith(reverse("own:second_factor"))

        give_app(ida)
        other = Client()
        other.post(LOGIN, {"login": ida.email, "password": PASSWORD})

        assert other.get(SECOND).status_code == 200


def test_the_factory_asks_for_somebody_with_a_factor():
    assert FactorReset.objects.open().filter(pk=FactorResetFactory().pk).exists()
