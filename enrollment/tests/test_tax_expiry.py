"""Tax forms run out: told of before, noted by the clock, and good again when renewed."""

import datetime

import pytest

from accounts.models import OutgoingEmail
from accounts.tests.factories import RoleAssignmentFactory, UserFactory
from enrollment import tasks
from enrollment.models import Enrollment, FiscalCalendar, TaxExpiryNotice
from enrollment.tests.factories import enrolled
from enrollment.tests.test_year_end_notices import flat, words
from profiles.services import approve_version, revise_tax_profile
from profiles.tests.factories import TAX_DETAILS, TaxVersionFactory

pytestmark = pytest.mark.django_db

LAST_DAY = datetime.date(2027, 4, 30)
LONG_BEFORE = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
A_BLINK = datetime.timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def place(settings):
    settings.PUBLIC_BASE_URL = "https://portal.example"


@pytest.fixture
def expiring(time_machine, goteborg, terms, ida):
    """Göteborg is enrolled with a form until 30 April; days are counted in California."""
    time_machine.move_to(LONG_BEFORE, tick=False)
    FiscalCalendar.objects.update(time_zone="America/Los_Angeles")
    return enrolled(goteborg, terms, expires=LAST_DAY)


def mails() -> list[OutgoingEmail]:
    return list(OutgoingEmail.objects.filter(name="tax_form_expiring").order_by("pk"))


def utc(*moment: int) -> datetime.datetime:
    return datetime.datetime(*moment, tzinfo=datetime.UTC)


def profile_of(enrollment):
    return enrollment.payout_assignments.get().tax_profile


def test_people_are_told_120_60_and_14_days_before_in_the_programs_days(
    expiring, time_machine, ida
):
    # Midnight in California, in winter and in summer.
    steps = [utc(2026, 12, 31, 8), utc(2027, 3, 1, 8), utc(2027, 4, 16, 7)]
    for told, moment in enumerate(steps):
        time_machine.move_to(moment - A_BLINK, tick=False)
        tasks.tell_of_tax_expiry()
        assert len(mails()) == told

        time_machine.move_to(moment, tick=False)
        tasks.tell_of_tax_expiry()
        tasks.tell_of_tax_expiry()
        assert len(mails()) == told + 1

    time_machine.move_to(utc(2027, 5, 1, 7), tick=False)
    tasks.tell_of_tax_expiry()
    assert len(mails()) == 3
    assert {mail.to_user for mail in mails()} == {ida}
    assert not TaxExpiryNotice.objects.filter(finished_at=None).exists()


@pytest.mark.parametrize(
    ("language", "subject", "said"),
    [
        (
            "en",
            "2 tax forms expire 30 Apr",
            "After that day 2 enrollments are Action required",
        ),
        ("sv", "2 skatteblanketter upphör 30 april", "Åtgärd krävs"),
    ],
)
def test_one_mail_tells_a_person_of_all_their_forms(
    expiring, time_machine, ida, nordvik, malmo, terms, language, subject, said
):
    enrolled(malmo, terms, expires=LAST_DAY)
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)
    ida.language = language
    ida.save()
    viewer = UserFactory()
    RoleAssignmentFactory(user=viewer, partner_account=nordvik, role="incentives_user")
    time_machine.move_to(utc(2027, 3, 1, 8), tick=False)

    tasks.tell_of_tax_expiry()

    (mail,) = mails()
    assert mail.to_user == ida
    assert mail.subject.startswith(subject)
    for text in (flat(mail.body_text), words(mail)):
        assert "Göteborg (" in text
        assert "Malmö (" in text
        assert said in text
        assert TAX_DETAILS["org_number"] not in text
    renew = f"/c/5012001/profiles/tax/{profile_of(expiring).pk}/change/"
    assert f"https://portal.example{renew}" in mail.body_text
    assert f'href="https://portal.example{renew}"' in mail.body_html


@pytest.mark.parametrize("reason", ["renewed", "archived", "unused", "approved since"])
def test_nobody_is_told_of_what_needs_nothing(expiring, time_machine, ida, reason):
    profile = profile_of(expiring)
    if reason == "renewed":
        TaxVersionFactory(profile=profile, number=2, pending=True, submitted_by=ida)
    elif reason == "archived":
        profile.archived_at, profile.archived_by = LONG_BEFORE, ida
        profile.save()
    elif reason == "unused":
        Enrollment.objects.update(status="inactive")
    else:
        version = profile.versions.get()
        version.decided_at = utc(2027, 1, 20)
        version.save(update_fields=["decided_at"])
    time_machine.move_to(utc(2027, 1, 21, 8), tick=False)

    tasks.tell_of_tax_expiry()

    assert mails() == []


def test_an_expired_form_holds_up_until_a_new_one_is_approved(
    expiring, time_machine, ida, oscar
):
    midnight = utc(2027, 5, 1, 7)
    time_machine.move_to(midnight - A_BLINK, tick=False)
    tasks.note_expired_tax_profiles()
    expiring.refresh_from_db()
    assert expiring.status == "enrolled"

    time_machine.move_to(midnight, tick=False)
    tasks.note_expired_tax_profiles()
    tasks.note_expired_tax_profiles()
    expiring.refresh_from_db()
    assert (expiring.status, expiring.status_since) == ("action_required", midnight)
    event = expiring.events.get()
    assert (event.code, event.from_status) == ("profile_expired", "enrolled")
    (mail,) = OutgoingEmail.objects.filter(name="needs_attention")
    assert mail.to_user == ida

    revise_tax_profile(
        profile_of(expiring),
        country="SE",
        details=TAX_DETAILS,
        expires_on=datetime.date(2030, 12, 31),
        by=ida,
    )
    expiring.refresh_from_db()
    assert expiring.status == "validating"

    approve_version(profile_of(expiring).versions.get(number=2), by=oscar)
    expiring.refresh_from_db()
    assert expiring.status == "enrolled"


def test_the_clock_moves_many_with_few_questions(
    expiring, time_machine, malmo, terms, django_assert_max_num_queries
):
    time_machine.move_to(utc(2027, 5, 1, 7), tick=False)
    enrolled(malmo, terms, expires=LAST_DAY)

    # Who is told is asked for each of them; the moving itself is not.
    with django_assert_max_num_queries(24):
        tasks.note_expired_tax_profiles()

    assert set(Enrollment.objects.values_list("status", flat=True)) == {
        "action_required"
    }
