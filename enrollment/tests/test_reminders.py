"""Reminders: 14, 7 and 2 days before, once each, and none to who has acted."""

import datetime

import pytest
from django.core import mail as mailbox
from django.db import IntegrityError
from django.urls import reverse
from django.utils import timezone

from accounts import outbox
from accounts.models import AuditAction, AuditEvent, MutedMail, OutgoingEmail
from accounts.tests.factories import LocationFactory, RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import Enrollment, Reminder
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory

DAY = datetime.timedelta(days=1)


@shared
def invited(goteborg, terms, ida):
    """An invitation of a month ago whose last day is in 30 days."""
    return EnrollmentFactory(
        location=goteborg,
        terms=terms,
        invited_at=timezone.now() - 30 * DAY,
        enroll_by=terms.today() + 30 * DAY,
    )


def remind(*, days_left: int) -> list[str]:
    """What is mailed so many days before the last day; subjects."""
    known = set(OutgoingEmail.objects.values_list("pk", flat=True))
    at = timezone.now() + (30 - days_left) * DAY
    while services.remind_next_people(at=at) is not None:
        pass
    new = OutgoingEmail.objects.exclude(pk__in=known).order_by("subject")
    return list(new.values_list("subject", flat=True))


def test_it_is_reminded_of_three_times_and_once_each(invited):
    mailed = {left: remind(days_left=left) for left in (15, 14, 13, 7, 6, 2, 1)}

    assert [left for left, mails in mailed.items() if mails] == [14, 7, 2]
    assert all(len(mails) < 2 for mails in mailed.values())
    assert mailed[14][0].startswith("Reminder: enroll Göteborg by ")


def test_a_clock_that_stood_still_catches_up_with_the_nearest_step(invited):
    assert remind(days_left=6)
    assert not remind(days_left=5)
    assert Reminder.objects.get().days_before == 7


def test_who_was_invited_after_the_day_of_a_step_is_not_reminded_of_it(invited):
    invited.invited_at = timezone.now() + 20 * DAY
    invited.save()

    assert not remind(days_left=9)
    assert remind(days_left=7)


def test_what_was_begun_and_left_is_reminded_of_as_it_is(
    invited, ida, goteborg, default_bank, tax_profile
):
    """Ready to submit or with something missing: it lapses like what nobody began."""
    services.accept_enrollment(invited, by=ida)
    lacking = EnrollmentFactory(
        location=goteborg,
        status="action_required",
        accepted=True,
        invited_at=invited.invited_at,
        enroll_by=invited.enroll_by,
    )
    assert len(remind(days_left=7)) == 2
    for one in (invited, lacking):
        mail = OutgoingEmail.objects.get(
            name="reminder", body_text__contains=one.terms.program.name
        )
        assert (
            f"The enrollment of Göteborg in {one.terms.program.name} was begun and is "
            "not submitted, and 7 days are left."
        ) in " ".join(mail.body_text.split())


@pytest.mark.parametrize("acted", ["submitted", "declined"])
def test_reminders_stop_when_it_was_acted_on(
    invited, ida, default_bank, tax_profile, acted
):
    assert remind(days_left=14)
    if acted == "submitted":
        services.accept_enrollment(invited, by=ida)
        services.submit_enrollment(invited, by=ida)
    else:
        services.decline_enrollment(invited, reason="Not now.", by=ida)

    assert "Reminder" not in "".join(remind(days_left=7))


def test_more_than_three_come_as_one_mail_and_fewer_when_wanted(invited, nordvik, ida):
    for _ in range(2):
        _another(invited, nordvik, ida)
    assert len(remind(days_left=14)) == 3
    _another(invited, nordvik, ida)
    [subject] = remind(days_left=7)
    assert subject.startswith("Reminder: enroll 4 locations, the first by ")


def test_whoever_wants_no_single_reminders_gets_one_mail_for_two(
    invited, nordvik, ida, client_of
):
    _another(invited, nordvik, ida)
    client_of(ida).post(reverse("own:mail"), {"topics": ["reminders", "renewals"]})

    assert len(remind(days_left=14)) == 1


def _another(invited, company, person):
    place = LocationFactory(partner_account=company)
    RoleAssignmentFactory(
        user=person, partner_account=company, role="incentives_admin", location=place
    )
    EnrollmentFactory(
        location=place,
        terms=invited.terms,
        invited_at=invited.invited_at,
        enroll_by=invited.enroll_by,
    )


def test_whoever_mutes_a_program_keeps_the_others(invited, goteborg, terms, ida):
    other = ProgramTermsFactory()
    EnrollmentFactory(
        location=goteborg,
        terms=other,
        invited_at=invited.invited_at,
        enroll_by=invited.enroll_by,
    )
    MutedMail.objects.create(user=ida, topic="reminders", program=terms.program)
    remind(days_left=14)
    mail = OutgoingEmail.objects.get()
    assert mail.mutes == f"reminders:{other.program_id}"
    assert other.program.name in mail.body_text

    MutedMail.objects.create(user=ida, topic="reminders")

    assert not remind(days_left=7)


def test_a_reminder_is_written_down_once_by_the_database(invited, ida):
    remind(days_left=14)
    told = Reminder.objects.get()

    with pytest.raises(IntegrityError):
        Reminder.objects.create(
            enrollment=invited,
            user=ida,
            days_before=14,
            last_day=told.last_day,
            email=told.email,
        )


def test_who_is_invited_anew_is_reminded_anew(invited, ida, mina, time_machine):
    # The same number of days before another last day is another reminder.
    time_machine.move_to(datetime.datetime(2026, 9, 1, 12, tzinfo=datetime.UTC))
    invited.terms.enroll_within_days = 30
    invited.terms.save()
    Enrollment.objects.update(
        invited_at=timezone.now() - 20 * DAY, enroll_by=timezone.localdate() + 7 * DAY
    )
    assert remind(days_left=30)
    time_machine.shift(8 * DAY)
    assert services.lapse_invitations(at=timezone.now()) == 1

    services.invite_anew(Enrollment.objects.get(), by=mina)

    assert [bool(remind(days_left=left)) for left in (14, 7, 2)] == [True] * 3


# --- Unsubscribing (RFC 8058) --------------------------------------------------------


@pytest.fixture
def link(invited, ida, settings):
    """The one-click address of a reminder that has left."""
    settings.SUPPORT_ADDRESS = "help@owner.example"
    remind(days_left=14)
    outbox.deliver()
    headers = mailbox.outbox[-1].extra_headers
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    https, mailto = headers["List-Unsubscribe"].split(", ")
    assert mailto.startswith("<mailto:help@owner.example?subject=unsubscribe%20")
    return https.strip("<>").removeprefix(settings.PUBLIC_BASE_URL)


def test_a_mail_program_switches_reminders_off_with_one_post(link, client, ida):
    strict = type(client)(enforce_csrf_checks=True)
    looked = strict.get(link)
    assert looked.status_code == 200
    assert not MutedMail.objects.exists(), "looking changes nothing"

    for _ in range(2):
        response = strict.post(link, {"List-Unsubscribe": "One-Click"})
        assert response.status_code == 200

    assert MutedMail.objects.get().user == ida
    assert not remind(days_left=7)
    assert AuditEvent.objects.filter(action=AuditAction.MAIL_CHOSEN).count() == 1


@pytest.mark.parametrize("broken", ["x", "1:reminders:1", "1:reminders:1:" + "A" * 43])
def test_a_link_that_was_not_made_here_switches_nothing_off(client, db, broken):
    url = reverse("unsubscribe", kwargs={"token": broken})

    assert client.post(url).status_code == 404
    assert client.get(url).status_code == 404
    assert not MutedMail.objects.exists()


def test_what_was_switched_off_is_chosen_again_on_one_s_account(
    link, client, client_of, ida
):
    client.post(link)
    mine = client_of(ida)
    page = mine.get(reverse("own:mail"))
    program = MutedMail.objects.get().program
    assert program.name in page.content.decode()

    mine.post(reverse("own:mail"), {"topics": ["reminders", "single", "renewals"]})

    assert not MutedMail.objects.exists()
