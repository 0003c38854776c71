"""Asking for more time to enroll one location, and what comes of it."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, OutgoingEmail
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.clock import clock_for
from enrollment.models import Enrollment, ExtensionRequest, Invitation

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


@shared
def near(terms, ida, goteborg):
    """Ida's invitation to Göteborg, whose last day is tomorrow."""
    services.invite_locations(terms, by=None)
    enrollment = Enrollment.objects.get(location=goteborg)
    enrollment.enroll_by = terms.today() + DAY
    enrollment.save()
    return enrollment


@shared
def lapsed(near, terms, ida):
    services.accept_enrollment(near, by=ida)
    Enrollment.objects.update(
        enroll_by=terms.today() - 3 * DAY, accepted_at=None, accepted_by=None
    )
    services.lapse_invitations(at=timezone.now())
    near.refresh_from_db()
    assert near.is_lapsed
    return near


def asked(enrollment, by):
    return services.ask_for_extension(enrollment, text="The bank is slow.", by=by)


def answer(request, by, *, until=None):
    return services.answer_extension(
        request, until=until, answer="Until the bank answers.", by=by
    )


def test_a_partner_asks_an_operator_grants_and_the_clock_says_so(
    client_of, near, ida, mina, terms
):
    web, desk = client_of(ida), client_of(mina)
    url = reverse("enrollment:ask_extension", kwargs={"pk": near.pk})
    assert url in web.get(near.get_absolute_url()).content.decode()
    assert web.post(url, {"text": " "}).status_code == 422
    web.post(url, {"text": "The bank is slow."})
    request = ExtensionRequest.objects.get()
    page = web.get(near.get_absolute_url()).content.decode()
    assert "More time was asked for" in page
    assert url not in page
    assert "The bank is slow." in desk.get(reverse("ops:extensions")).content.decode()

    door = reverse("ops:answer_extension", kwargs={"pk": request.pk})
    until = terms.today() + 20 * DAY
    typed = {"outcome": "granted", "answer": "Take your time."}
    refused = desk.post(door, typed)
    assert refused.status_code == 422
    assert "Choose the new last day." in refused.content.decode()
    assert "Take your time." in refused.content.decode()
    refused = desk.post(door, typed | {"until": terms.today()})
    assert "Choose a day after today" in refused.content.decode()
    desk.post(door, typed | {"until": until})

    near.refresh_from_db()
    assert (near.status, near.enroll_by) == ("invited", until)
    assert clock_for(near, at=timezone.now())
    mail = OutgoingEmail.objects.get(name="extension_answered")
    assert mail.to_user == ida
    assert "Take your time." in mail.body_text
    actions = AuditEvent.objects.filter(action__startswith="extension_").order_by("pk")
    assert [(one.action, one.reason) for one in actions] == [
        ("extension_asked", "The bank is slow."),
        ("extension_answered", "Take your time."),
    ]
    page = web.get(near.get_absolute_url()).content.decode()
    assert "You got more time, until" in page


def test_what_lapsed_is_open_again_and_on_home(lapsed, ida, mina, terms):
    Invitation.objects.update(opened_at=timezone.now())
    until = terms.today() + 9 * DAY

    answer(asked(lapsed, ida), mina, until=until)

    lapsed.refresh_from_db()
    assert (lapsed.status, lapsed.enroll_by, lapsed.end_reason) == (
        "invited",
        until,
        "",
    )
    assert Invitation.objects.unopened().filter(user=ida).exists()
    steps = lapsed.events.order_by("pk").values_list("code", flat=True)
    assert list(steps)[-2:] == ["invited_anew", "extended"]
    services.accept_enrollment(lapsed, by=ida)


def test_a_no_changes_nothing_and_is_said_with_its_reason(near, ida, mina, greta):
    request = asked(near, ida)
    with pytest.raises(ValidationError, match="asked already"):
        asked(near, ida)

    answer(request, mina)

    before = near.enroll_by
    near.refresh_from_db()
    assert near.enroll_by == before
    mail = OutgoingEmail.objects.get(name="extension_answered")
    assert "The last day stays" in " ".join(mail.body_text.split())
    with pytest.raises(ValidationError, match="answered this already"):
        answer(request, mina)


def test_there_is_nothing_to_ask_for(near, ida, terms, mina):
    def refusal() -> str:
        fresh = Enrollment.objects.for_pages().get(pk=near.pk)
        return services.why_not_asking(fresh, at=timezone.now())

    year = terms.fiscal_year
    for facts, said in (
        ({"enroll_by": terms.today() + 30 * DAY}, "Ask when it comes near"),
        ({"enroll_by": year.ends_on}, "There is no later day"),
        ({"enroll_by": near.enroll_by, "status": "declined"}, "nothing to enroll"),
    ):
        Enrollment.objects.update(**facts)
        assert said in refusal()
    Enrollment.objects.update(status="invited")
    assert refusal() == ""
    services.discontinue_program(terms.program, by=mina)
    assert "is discontinued" in refusal()


def test_who_is_not_eligible_any_more_gets_no_more_time(lapsed, ida, mina, nordvik):
    request = asked(lapsed, ida)
    nordvik.agreements.all().delete()

    with pytest.raises(ValidationError, match="does not meet"):
        answer(request, mina, until=lapsed.terms.today() + 5 * DAY)

    lapsed.refresh_from_db()
    assert lapsed.is_lapsed


def test_who_has_no_role_asks_for_nothing(near, uma):
    with pytest.raises(ValidationError):
        asked(near, uma)


def test_the_database_keeps_one_open_wish_and_whole_answers(near, ida):
    request = asked(near, ida)
    wrong = (
        lambda: ExtensionRequest.objects.create(
            enrollment=near,
            enroll_by=near.enroll_by,
            text="Again",
            asked_at=timezone.now(),
            asked_by=ida,
        ),
        lambda: ExtensionRequest.objects.filter(pk=request.pk).update(answer="Half"),
    )
    for act in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            act()
