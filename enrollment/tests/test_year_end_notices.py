"""What partners are mailed of the year end: steps before it, one summary after it."""

import datetime
import html
import re

import pytest
from django.db.models import Value
from django.db.models.functions import Concat
from django.urls import resolve
from django.utils import timezone

from accounts.companies import without_company
from accounts.models import OutgoingEmail
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
)
from enrollment import services, tasks
from enrollment.models import Agreement, Enrollment, SetAside, YearEndNotice
from enrollment.services import year_end_notices
from enrollment.services.year_end_notices import step_due
from enrollment.states import RENEWALS, EndReason, RenewalMail
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
    enrolled,
)
from profiles.tests.factories import as_if_sent

pytestmark = pytest.mark.django_db

IN_NEW_YEAR = datetime.datetime(2027, 7, 2, 12, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def place(settings):
    settings.PUBLIC_BASE_URL = "https://portal.example"


def day(month: int, number: int) -> datetime.datetime:
    return datetime.datetime(2027, month, number, 12, tzinfo=datetime.UTC)


def mails(name: str) -> dict:
    return {mail.to_user: mail for mail in OutgoingEmail.objects.filter(name=name)}


def flat(text: str) -> str:
    return " ".join(text.split())


def words(email: OutgoingEmail) -> str:
    """What the HTML says, without its tags."""
    body = re.sub(r"<style>.*?</style>", "", email.body_html, flags=re.DOTALL)
    return flat(html.unescape(re.sub(r"<[^>]+>", " ", body)))


def tell() -> None:
    tasks.tell_of_year_ends()


def looks_right(email: OutgoingEmail) -> None:
    """What holds for every mail: narrow, whole, short, and it leads here."""
    lines = email.body_text.splitlines()
    assert [line for line in lines if len(line) > 76 and "https://" not in line] == []
    assert "\n\n\n" not in email.body_text
    assert "{" not in email.body_text
    assert len(email.subject) <= 70
    links = set(re.findall(r"https?://[^\s\"'<>()]+", email.body_text))
    links |= set(re.findall(r'href="(http[^"]+)"', email.body_html))
    for link in links:
        # Into a company, to where this kind of mail is switched off, or a language.
        assert re.match("https://portal.example/(c|u|account/language)/", link), link
        path = link.removeprefix("https://portal.example").partition("?")[0]
        assert resolve(without_company(path))


# --- Before ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days_left", "step"),
    [
        (200, None),
        (91, None),
        (90, 90),
        (68, 90),
        # Nearer to the next one than to its own: left out.
        (67, None),
        (61, None),
        (60, 60),
        (38, 60),
        (37, None),
        (30, 30),
        (15, 30),
        (14, None),
        (7, 7),
        (1, 7),
        (0, None),
    ],
)
def test_which_step_is_due_and_how_late_it_is_caught_up(days_left, step):
    assert step_due(days_left) == step


def test_one_mail_says_what_is_at_risk_for_all_locations_of_a_person(
    two_years, time_machine, ida, nordvik, client_of
):
    other = PartnerAccountFactory(name="Nordvik Drift AB", partner_id="5012077")
    umea = LocationFactory(partner_account=other, name="Umeå", partner_id="6120177")
    enrolled(umea, two_years.terms)
    RoleAssignmentFactory(user=ida, partner_account=other)
    two_years.next_terms.required_tax_details = ["org_number"]
    two_years.next_terms.currencies = ["USD"]
    two_years.next_terms.save()
    time_machine.move_to(day(6, 1), tick=False)

    tell()

    (email,) = mails("renewal_forecast").values()
    assert email.to_user == ida
    assert email.subject == "2 enrollments will not renew unless you act"
    for said in (flat(email.body_text), words(email)):
        assert "The fiscal year ends on 30 June 2027." in said
        assert "Malmö (PartnerID 6120103), Nordvik IT AB" in said
        assert "At risk: tax form expired 31 May" in said
        assert "Umeå (PartnerID 6120177), Nordvik Drift AB" in said
        assert "Will end: Nordvik Drift AB has no partner agreement" in said
        assert "In the new terms: Not paid any more: EUR." in said
        assert "Only the program owner can change it: write to" in said
        assert "Göteborg (PartnerID" not in said
        assert "You get this because you are Incentives admin for Umeå and Malmö" in (
            said
        )
    profile = two_years.expiring.payout_assignments.get().tax_profile_id
    renew = f"https://portal.example/c/5012001/profiles/tax/{profile}/change/"
    assert f"Renew the tax form: {renew}" in flat(email.body_text)
    assert f'<a href="{renew}">Renew the tax form</a>' in email.body_html
    looks_right(email)


def test_the_mail_is_in_the_readers_language(two_years, time_machine, ida):
    ida.language = "sv"
    ida.save()
    time_machine.move_to(day(6, 1), tick=False)

    tell()

    (email,) = mails("renewal_forecast").values()
    assert email.subject == "1 registrering förlängs inte utan åtgärd"
    for said in (flat(email.body_text), words(email)):
        assert "31 maj" in said
        assert "May" not in said
        assert "tax form" not in said
    looks_right(email)


def test_each_step_is_told_once_and_only_of_what_is_at_risk(
    two_years, time_machine, ida, uma
):
    for moment in (day(3, 1), day(4, 2), day(4, 3), day(5, 2), day(5, 2)):
        time_machine.move_to(moment, tick=False)
        tell()
    assert OutgoingEmail.objects.filter(name="renewal_forecast").count() == 2
    as_if_sent(
        two_years.expiring.payout_assignments.get().tax_profile.versions.all(),
        expires_on=datetime.date(2029, 12, 31),
    )

    for moment in (day(6, 1), day(6, 24), day(7, 1)):
        time_machine.move_to(moment, tick=False)
        tell()

    assert OutgoingEmail.objects.filter(name="renewal_forecast").count() == 2
    assert set(mails("renewal_forecast")) == {ida}
    assert not YearEndNotice.objects.filter(finished_at=None).exists()


def test_a_missed_day_is_caught_up_with_the_nearest_step_alone(
    two_years, time_machine, ida
):
    # Nobody was at work from April to the middle of May.
    time_machine.move_to(day(5, 20), tick=False)
    tell()
    tell()

    keys = OutgoingEmail.objects.filter(name="renewal_forecast").values_list(
        "dedupe_key", flat=True
    )
    assert list(keys) == [f"renewal_forecast:2027-07-01:60:{ida.pk}"]


def test_whoever_is_cut_off_goes_on_where_they_were(
    two_years, time_machine, monkeypatch, malmo, nordvik
):
    monkeypatch.setattr(year_end_notices, "PEOPLE_AT_ONCE", 1)
    people = [
        RoleAssignmentFactory(partner_account=nordvik, location=malmo).user
        for _number in range(4)
    ]
    time_machine.move_to(day(6, 1), tick=False)
    services.begin_year_end_notices(at=timezone.now())
    prepare = year_end_notices.what_is_at_risk
    calls = []

    def breaks(user, *args, **kwargs):
        calls.append(user)
        if len(calls) == 3:
            raise RuntimeError("killed")
        return prepare(user, *args, **kwargs)

    monkeypatch.setattr(year_end_notices, "what_is_at_risk", breaks)
    with pytest.raises(RuntimeError):
        tell()
    told = OutgoingEmail.objects.filter(name="renewal_forecast").count()
    assert told == 2
    tell()

    assert set(mails("renewal_forecast")) >= set(people)
    assert OutgoingEmail.objects.filter(name="renewal_forecast").count() == 5
    # Nobody's mail was made twice but the one that was cut off.
    assert len(calls) == 6


# --- After -------------------------------------------------------------------


@pytest.fixture
def ended(two_years, nordvik, goteborg, malmo, ida, mina, lucia, time_machine):
    """The year end has run: one continued, one needs Ida, one ended, one is aside."""
    terms, into = two_years.terms, two_years.into
    hard = ProgramTermsFactory(fiscal_year=terms.fiscal_year, program__name="Hosting")
    asked = RequirementFactory(
        terms=ProgramTermsFactory(program=hard.program, fiscal_year=into)
    )
    MeasuredValueFactory(
        location=goteborg,
        criterion=asked.criterion,
        value=0,
        measured_on=datetime.date(2027, 5, 1),
    )
    two_years.ending = enrolled(goteborg, hard)
    other = ProgramTermsFactory(fiscal_year=terms.fiscal_year, program__name="Security")
    ProgramTermsFactory(program=other.program, fiscal_year=into)
    two_years.aside = enrolled(malmo, other, expires=datetime.date(2027, 5, 31))
    # An invitation nobody answered is nobody's news.
    EnrollmentFactory(location=malmo, terms=hard)
    two_years.next_terms.agreement_version = "2"
    two_years.next_terms.save()
    plan = services.rehearse_renewals(into, by=mina)
    plan = services.propose_renewals(plan, by=mina)
    plan = services.approve_renewals(plan, digest=plan.digest, by=lucia)
    as_if_sent(
        two_years.aside.payout_assignments.get().tax_profile.versions.all(),
        expires_on=datetime.date(2030, 1, 1),
    )
    time_machine.move_to(IN_NEW_YEAR, tick=False)
    services.start_renewals(plan, by=None)
    while services.renew_next_range(plan):
        pass
    return plan


def test_one_summary_says_what_continued_what_needs_you_and_what_ended(
    ended, two_years, ida, uma, client_of
):
    tell()
    assert not OutgoingEmail.objects.exists()  # Not before the run is over.
    services.finish_renewals(ended)
    tell()
    tell()

    (email,) = OutgoingEmail.objects.all()
    assert (email.to_user, email.name) == (ida, RenewalMail.CONTINUED)
    assert email.subject == "Renewed for fiscal year 2028"
    for said in (flat(email.body_text), words(email)):
        assert "1 continues as Action required and needs you:" in said
        assert "Malmö (PartnerID 6120103) The tax profile has expired." in said
        assert "1 ended: " in said
        assert (
            "Hosting, Göteborg (PartnerID 6120102) The location was not eligible for "
            "the next year. Requirement not met: Revenue in twelve months." in said
        )
        assert "1 continued; you need to do nothing:" in said
        assert "The program owner is looking at 1 more." in said
        assert "The text of the program's agreement is new: version 2." in said
        assert "What was earned until 30 June 2027 stays yours" in said
        assert said.count("Hosting") == 1
    new = Enrollment.objects.get(renewed_from=two_years.expiring)
    assert f"https://portal.example/c/5012001{new.get_absolute_url()}" in (
        email.body_text
    )
    looks_right(email)
    assert client_of(ida).get(email.about_url, follow=True).status_code == 200


def test_the_summary_is_in_the_readers_language(ended, ida):
    ida.language = "sv"
    ida.save()
    services.finish_renewals(ended)
    tell()

    (email,) = OutgoingEmail.objects.all()
    assert email.subject == "Förlängt för räkenskapsår 2028"
    for said in (flat(email.body_text), words(email)):
        assert "continued" not in said
        assert "need" not in said
        assert "30 juni 2027" in said
    looks_right(email)


def test_who_has_nothing_that_goes_on_reads_that_it_ended_and_why(
    ended, two_years, nordvik, goteborg
):
    anna = RoleAssignmentFactory(
        partner_account=nordvik,
        location=goteborg,
        program=two_years.ending.terms.program,
    ).user
    services.finish_renewals(ended)
    tell()

    email = OutgoingEmail.objects.get(to_user=anna)
    assert email.name == RenewalMail.ENDED
    assert email.subject == "Enrollment ended: Hosting, Göteborg"
    assert email.about_url == f"/c/5012001{two_years.ending.get_absolute_url()}"
    for said in (flat(email.body_text), words(email)):
        assert "The location was not eligible for the next year." in said
        assert "continue" not in said.replace("continued; you", "")
    looks_right(email)


@pytest.mark.parametrize("applied", [True, False])
def test_what_was_set_aside_is_told_once_it_is_decided(
    ended, two_years, ida, mina, applied
):
    services.finish_renewals(ended)
    tell()
    OutgoingEmail.objects.all().delete()
    row = two_years.aside.set_aside.get()

    services.decide_set_aside(row, apply=applied, reason="Looked at it.", by=mina)
    tell()

    (email,) = OutgoingEmail.objects.all()
    assert email.to_user == ida
    said = flat(email.body_text)
    assert "Security, Malmö (PartnerID 6120103)" in said
    if applied:
        assert "1 continued; you need to do nothing:" in said
    else:
        assert email.subject == "Enrollment ended: Security, Malmö"
        assert "The program owner decided not to continue it." in said
    looks_right(email)


def test_every_person_is_told_once_however_the_work_is_cut(
    ended, monkeypatch, nordvik, malmo, ida
):
    # A worker that is killed between two people, and one that begins at the same time.
    monkeypatch.setattr(year_end_notices, "PEOPLE_AT_ONCE", 1)
    people = {
        RoleAssignmentFactory(partner_account=nordvik, location=malmo).user
        for _number in range(5)
    }
    # A second role for the same scope is no second mail, and no second row in it.
    RoleAssignmentFactory(user=ida, partner_account=nordvik)
    services.finish_renewals(ended)
    services.begin_year_end_notices(at=timezone.now())
    for _number in range(3):
        services.tell_next_people(at=timezone.now())
    # Whatever the notices forgot, the keys of the mails remember.
    YearEndNotice.objects.update(last_person=0)
    tell()

    assert OutgoingEmail.objects.count() == len(people) + 1
    email = OutgoingEmail.objects.get(to_user=ida)
    assert flat(email.body_text).count("Hosting, Göteborg") == 1


def test_without_what_is_remembered_everybody_would_be_told_twice(ended):
    # The control of the test before: neither notices nor keys.
    services.finish_renewals(ended)
    tell()
    told = OutgoingEmail.objects.count()
    OutgoingEmail.objects.update(dedupe_key=Concat(Value("lost:"), "dedupe_key"))
    YearEndNotice.objects.all().delete()

    tell()

    assert OutgoingEmail.objects.count() == 2 * told > 0


def test_the_plan_names_the_mail_that_is_sent():
    told = {
        outcome: end.mail for outcome, end in RENEWALS.items() if end.mail is not None
    }
    for outcome, mail in told.items():
        ends = RENEWALS[outcome]
        goes_on = ends.renews_as is not None
        assert mail == (RenewalMail.CONTINUED if goes_on else RenewalMail.ENDED)
    silent = {end.ends_as for end in RENEWALS.values() if end.mail is None}
    assert silent == {EndReason.NOT_ANSWERED, EndReason.YEAR_ENDED}


def test_an_agreement_renewed_in_time_is_no_risk(two_years, time_machine, nordvik):
    Agreement.objects.update(ends_on=datetime.date(2027, 6, 15))
    AgreementFactory(
        partner_account=nordvik, starts_on=datetime.date(2027, 6, 16), ends_on=None
    )
    time_machine.move_to(day(6, 1), tick=False)
    tell()
    (email,) = mails("renewal_forecast").values()
    assert "agreement" not in email.body_text


def test_many_decisions_are_told_each_person_in_one_mail(
    ended, two_years, ida, mina, goteborg
):
    services.finish_renewals(ended)
    tell()
    OutgoingEmail.objects.all().delete()
    later = enrolled(goteborg, two_years.aside.terms)
    rows = [
        two_years.aside.set_aside.get(),
        SetAside.objects.create(plan=ended, enrollment=later, found="enrolled"),
    ]

    assert services.decide_alike(rows, apply=False, reason="Both.", by=mina) == {}

    (email,) = OutgoingEmail.objects.all()
    assert email.to_user == ida
    for place in ("Security, Malmö", "Security, Göteborg"):
        assert place in flat(email.body_text)
