"""Whoever is signed out while they type loses no word, and nothing is sent for them."""

import html
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import proof, typed
from accounts.models import User
from accounts.tests.factories import (
    PASSWORD,
    PartnerAccountFactory,
    RoleAssignmentFactory,
)
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import ExtensionRequest
from enrollment.tests.factories import EnrollmentFactory

pytestmark = pytest.mark.django_db

WORDS = "Two of us are away until “Monday” & more"
NOT_SENT = {
    "en": "You were signed out. Nothing was sent.",
    "sv": "Du hade loggats ut. Inget skickades.",
}


@pytest.fixture(autouse=True)
def _one_factor(settings):
    # What is proved at sign-in is another test's.
    settings.SECOND_FACTOR_REQUIRED = False


@shared
def enrollment(goteborg, terms):
    tomorrow = terms.today() + timedelta(days=1)
    return EnrollmentFactory(location=goteborg, terms=terms, enroll_by=tomorrow)


@shared
def asking(enrollment) -> str:
    return reverse("enrollment:ask_extension", kwargs={"pk": enrollment.pk})


def sign_in(client, user, *, target="/"):
    entered = {"login": user.email, "password": PASSWORD, "next": target}
    return client.post("/accounts/login/", entered)


def signed_out(user, **options) -> Client:
    """A browser the person signed in with, whose session is gone."""
    client = Client(**options)
    sign_in(client, user)
    del client.cookies[settings.SESSION_COOKIE_NAME]
    return client


def send(client, path: str, **fields):
    """Send a form; return where one is led to sign in, and what stands there next."""
    led = client.post(path, fields)
    assert led.status_code == 302
    assert led.url.startswith("/accounts/login/?next=")
    return led


def seen_after(client, user, path: str) -> str:
    """What the page says to whom signs in and is led back."""
    back = sign_in(client, user, target=path)
    assert back.status_code == 302
    return html.unescape(client.get(back.url, follow=True).content.decode())


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "You were signed out. Sign in to go on."),
        ("sv", "Du har loggats ut. Logga in för att fortsätta."),
    ],
)
def test_the_page_to_sign_in_says_why_it_is_there(ida, asking, language, said):
    client = signed_out(ida, HTTP_ACCEPT_LANGUAGE=language)
    client.cookies.pop(settings.LANGUAGE_COOKIE_NAME, None)
    led = send(client, asking, text=WORDS)

    assert said in client.get(led.url).content.decode()
    # Not to whom nobody sent here.
    assert said not in client.get(led.url).content.decode()


@pytest.mark.parametrize("language", ["en", "sv"])
def test_what_was_typed_is_there_again_and_was_not_sent(ida, asking, language):
    User.objects.filter(pk=ida.pk).update(language=language)
    client = signed_out(ida)

    send(client, asking, text=WORDS)
    page = seen_after(client, ida, asking)

    assert NOT_SENT[language] in page
    assert WORDS in page
    assert not ExtensionRequest.objects.exists()
    # Once: the next look is an empty form, and what is sent now counts.
    again = html.unescape(client.get(asking).content.decode())
    assert NOT_SENT[language] not in again
    assert WORDS not in again
    client.post(asking, {"text": WORDS})
    assert ExtensionRequest.objects.get().text == WORDS


def test_nobody_else_reads_it_at_the_same_browser(ida, goteborg, asking):
    other = RoleAssignmentFactory(
        partner_account=goteborg.partner_account, location=goteborg
    ).user
    client = signed_out(ida)
    send(client, asking, text=WORDS)

    page = seen_after(client, other, asking)

    assert NOT_SENT["en"] not in page
    assert WORDS not in page
    # Nor does the person themselves, when another has been there.
    assert WORDS not in seen_after(client, ida, asking)


def test_it_is_kept_for_half_an_hour_and_sealed(ida, asking):
    client = signed_out(ida)
    with time_machine.travel(timezone.now() - timedelta(minutes=31), tick=False):
        send(client, asking, text=WORDS)

    kept = "".join(map(str, client.session.items()))
    assert typed._KEPT in kept
    assert "away" not in kept
    assert NOT_SENT["en"] not in seen_after(client, ida, asking)


def test_a_step_is_filled_in_on_the_page_it_stands_on(ida, enrollment):
    client = signed_out(ida)
    step = reverse("enrollment:decline", kwargs={"pk": enrollment.pk})

    send(client, step, reason=WORDS)
    page = seen_after(client, ida, step)

    assert WORDS in page
    assert NOT_SENT["en"] in page
    enrollment.refresh_from_db()
    assert enrollment.status == "invited"


def test_the_words_of_a_campaign_are_there_again(mina, terms):
    campaign = services.plan_campaign(terms, by=mina)
    path = reverse("ops:change_campaign", kwargs={"pk": campaign.pk})
    client = signed_out(mina)

    send(client, path, words_en=WORDS, words_sv="Hej")

    page = seen_after(client, mina, path)
    assert WORDS in page
    assert NOT_SENT["en"] in page
    campaign.refresh_from_db()
    assert campaign.words_en != WORDS


def test_of_forms_with_numbers_nothing_is_kept_but_that_nothing_was_sent(ida):
    path = reverse("profiles:bank_account")
    client = signed_out(ida)

    send(client, path, iban="SE3550000000054910000003")

    assert NOT_SENT["en"] in seen_after(client, ida, "/")
    assert typed._KEPT not in client.session


def test_a_session_that_is_over_loses_no_word_either(ida, asking):
    client = Client()
    sign_in(client, ida)
    session = client.session
    session[proof._SIGNED_IN_AT] -= settings.SESSION_COOKIE_AGE
    session.save()

    send(client, asking, text=WORDS)

    page = seen_after(client, ida, asking)
    assert WORDS in page
    assert NOT_SENT["en"] in page


def test_it_finds_its_page_under_a_company_too(ida, nordvik, asking):
    RoleAssignmentFactory(user=ida, partner_account=PartnerAccountFactory())
    path = f"/c/{nordvik.partner_id}{asking}"
    client = signed_out(ida)

    send(client, path, text=WORDS)

    assert WORDS in seen_after(client, ida, path)


def test_what_another_site_or_a_script_or_a_stranger_sends_is_not_kept(ida, asking):
    strict = signed_out(ida)
    strict.handler.enforce_csrf_checks = True
    script = signed_out(ida, headers={"Sec-Fetch-Mode": "cors"})
    stranger = Client()
    Session.objects.all().delete()

    assert strict.post(asking, {"text": WORDS}).status_code == 403
    send(script, asking, text=WORDS)
    send(stranger, asking, text=WORDS)

    assert not Session.objects.exists()
    # The control.
    send(signed_out(ida), asking, text=WORDS)
    assert Session.objects.exists()
