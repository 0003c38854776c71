"""Campaigns: who is written to, what is held, and that nobody is written to twice."""

import datetime
import re
import threading
import uuid
from contextlib import suppress
from email import message_from_bytes, policy
from html import escape
from importlib import import_module
from smtplib import SMTPDataError, SMTPSenderRefused, SMTPServerDisconnected
from unittest import mock

import pytest
from django.apps import apps
from django.core import mail as mailbox
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import outbox, prepared
from accounts.models import (
    AuditAction,
    AuditEvent,
    IncentiveProgram,
    Location,
    MailStatus,
    OutgoingEmail,
    PartnerAccount,
    SharedText,
    UndeliverableAddress,
    User,
)
from accounts.roles import Role
from accounts.services import revoke_role
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from enrollment import campaign_mails, services
from enrollment.audience import (
    REASONS,
    audience,
    left_out,
    people_of,
    reach_of,
    unknown_variables,
)
from enrollment.campaigns import progress_of
from enrollment.models import (
    Campaign,
    CampaignRecipient,
    CampaignStatus,
    Enrollment,
    EnrollmentEvent,
    Invitation,
    PayoutAssignment,
    ProgramTerms,
    RenewalPlan,
    SetAside,
)
from enrollment.services import campaigns, imports
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    MeasuredValueFactory,
    RequirementFactory,
)
from enrollment.tests.test_imports import DAY, LESS, compared
from profiles.tests.factories import TaxProfileFactory

MINUTE = datetime.timedelta(minutes=1)
taking_back = import_module("accounts.migrations.0040_what_was_sent_says_one_thing")


@shared
def campaign(terms, goteborg, ida, mina):
    return services.plan_campaign(terms, by=mina)


@shared
def asking(goteborg, terms):
    """The cast's program asks for 25 000 of revenue, which Göteborg has."""
    revenue = CriterionFactory(code="revenue", kind="number")
    RequirementFactory(terms=terms, criterion=revenue)
    MeasuredValueFactory(
        location=goteborg, criterion=revenue, measured_on=DAY, value=30000
    )
    return terms


def confirmed(campaign, *, people=1, by=None):
    return services.confirm_campaign(campaign, people=people, by=by)


def run(campaign, *, after=2 * MINUTE):
    at = timezone.now() + after
    while services.run_next_range(campaign, at=at):
        pass
    campaign.refresh_from_db()
    return campaign


def delivered() -> list[str]:
    """Deliver all that is due; the addresses it went to, in order."""
    mailbox.outbox.clear()
    while outbox.deliver().claimed:
        pass
    return sorted(one.to[0] for one in mailbox.outbox)


def test_nothing_happens_in_the_hold_and_it_can_be_taken_back(campaign, mina):
    confirmed(campaign, by=mina)

    assert not services.run_next_range(
        campaign, at=timezone.now() + datetime.timedelta(seconds=55)
    )
    services.stop_campaign(campaign, by=mina)

    campaign.refresh_from_db()
    assert campaign.is_draft
    assert run(campaign).is_draft
    assert not Enrollment.objects.exists()


def test_one_person_gets_one_mail_for_all_their_locations(
    campaign, goteborg, malmo, nordvik, ida, mina
):
    RoleAssignmentFactory(
        user=ida, partner_account=nordvik, role=Role.INCENTIVES_ADMIN, location=malmo
    )
    TaxProfileFactory(location=malmo)
    confirmed(campaign, by=mina)

    run(campaign)

    assert delivered() == [ida.email]
    said = " ".join(mailbox.outbox[0].body.split())
    assert "Göteborg" in said
    assert "Malmö" in said
    # And what is missing there.
    assert said.count("A bank profile is missing.") == 2
    assert said.count("A tax profile is missing.") == 1
    assert CampaignRecipient.objects.get().locations_count == 2
    assert Invitation.objects.filter(email__to_user=ida).count() == 2
    run(campaign)
    assert campaign.status == CampaignStatus.FINISHED


def test_what_a_campaign_writes_is_what_inviting_at_once_writes(
    campaign, terms, goteborg, ida, mina
):
    confirmed(campaign, by=mina)
    run(campaign)
    written = _rows(terms)
    for model in (Invitation, EnrollmentEvent, PayoutAssignment):
        _empty(model)
    _empty(CampaignRecipient)
    Enrollment.objects.all().delete()
    OutgoingEmail.objects.all().delete()
    Campaign.objects.all().delete()

    services.invite_locations(terms, by=mina)

    assert _rows(terms) == written


def _empty(model):
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"DELETE FROM {model._meta.db_table}")
        cursor.execute("SET session_replication_role = DEFAULT")


def _rows(terms):
    return [
        list(
            Enrollment.objects.filter(terms=terms).values_list(
                "location", "status", "enroll_by", "accepted_at", "end_reason"
            )
        ),
        list(EnrollmentEvent.objects.values_list("code", "from_status", "to_status")),
        list(
            PayoutAssignment.objects.values_list(
                "earning_type", "location", "partner_account", "method", "currency"
            )
        ),
        list(Invitation.objects.values_list("user", "enrollment__location")),
        list(OutgoingEmail.objects.values_list("name", "to_address", "subject")),
    ]


def test_the_number_that_is_confirmed_has_to_be_true(campaign, goteborg, mina):
    with pytest.raises(ValidationError, match="It is 1 person now"):
        confirmed(campaign, people=2, by=mina)

    campaign.refresh_from_db()
    assert campaign.is_draft


def test_an_unknown_variable_keeps_a_campaign_from_being_sent(campaign, mina):
    services.change_campaign(
        campaign,
        words_en="Hello {name}\nSee {guide}.",
        words_sv="Hej {name}",
        by=mina,
    )

    with pytest.raises(ValidationError, match=r"English, line 2: \{guide\} is unknown"):
        confirmed(campaign, by=mina)
    assert unknown_variables("{name} {") != []
    assert unknown_variables("{name}, {company}, {program} {year} {enroll_by}") == []


def test_own_words_are_written_in_both_languages_or_in_none(campaign, mina):
    services.change_campaign(campaign, words_en="Hello", by=mina)

    with pytest.raises(ValidationError, match="in both languages"):
        confirmed(campaign, by=mina)


def test_own_words_reach_the_reader_in_their_language_filled_in(
    campaign, ida, mina, terms
):
    ida.language = "sv"
    ida.save()
    services.change_campaign(
        campaign,
        words_en="Welcome",
        words_sv="{name}, {program} väntar <b>på</b> {company}.",
        by=mina,
    )
    confirmed(campaign, by=mina)
    run(campaign)

    delivered()

    stored = OutgoingEmail.objects.get(to_user=ida)
    said = f"{ida.get_short_name()}, {terms.program.name} väntar"
    assert said in " ".join(stored.text.split())
    assert "&lt;b&gt;på&lt;/b&gt;" in stored.html
    assert "Welcome" not in stored.text


def test_what_was_sent_stays_what_was_sent_whatever_changes_later(
    client_of, campaign, goteborg, nordvik, ida, mina
):
    for number in range(2):
        RoleAssignmentFactory(
            user=UserFactory(full_name=f"Kim {number}"),
            partner_account=nordvik,
            role=Role.INCENTIVES_ADMIN,
        )
    services.change_campaign(
        campaign,
        words_en="{name} of {company}",
        words_sv="{name} på {company}",
        by=mina,
    )
    confirmed(campaign, people=3, by=mina)
    run(campaign)
    delivered()
    (sent,) = (one for one in mailbox.outbox if one.to == [ida.email])

    Location.objects.update(name="Elsewhere")
    PartnerAccount.objects.update(name="Another AB")
    User.objects.update(full_name="Somebody Else")
    Campaign.objects.update(words_en="Not this", words_sv="Inte det här")
    mails = OutgoingEmail.objects.filter(is_bulk=True)
    # Three mails, one text: of each there are its own words alone.
    assert SharedText.objects.count() == 1
    assert set(mails.values_list("body_text", "body_html")) == {("", "")}
    assert max(map(len, mails.values_list("own_words", flat=True))) < 200
    mails.update(
        status=MailStatus.UNKNOWN, sent_at=None, next_attempt_at=timezone.now()
    )

    kept = mails.get(to_user=ida)
    page = client_of(ida).get(reverse("enrollment:notification", args=[kept.pk]))
    assert escape(sent.body) in page.content.decode()
    assert len(delivered()) == 3
    (again,) = (one for one in mailbox.outbox if one.to == [ida.email])
    assert f"{ida.get_short_name()} of {nordvik.name}" in sent.body
    assert goteborg.name in sent.body
    for part in ("body", "subject", "alternatives"):
        assert getattr(again, part) == getattr(sent, part)
    for header in ("Message-ID", "X-Entity-Ref-ID", "List-Unsubscribe"):
        assert again.extra_headers[header] == sent.extra_headers[header]


def test_filters_choose_and_each_location_left_out_has_one_reason(
    campaign, terms, nordvik, goteborg, malmo, mina
):
    abroad = LocationFactory(country="NO")
    enrolled = LocationFactory()
    EnrollmentFactory(location=enrolled, terms=terms)
    for company in (abroad.partner_account, enrolled.partner_account):
        _agree(terms, company)
    campaign = services.change_campaign(
        campaign, countries=["SE"], partner_ids=[goteborg.partner_id], by=mina
    )

    reach = reach_of(campaign, on=terms.today())

    assert (reach.locations, reach.people) == (1, 1)
    assert reach.left_out == {
        "nobody": 0,
        "filter": 2,
        "enrolled": 1,
        "continues": 0,
        "requirements": 0,
        "country": 0,
    }
    services.change_campaign(campaign, partner_ids=[nordvik.partner_id], by=mina)
    campaign.refresh_from_db()
    assert reach_of(campaign, on=terms.today()).left_out["nobody"] == 1


@shared
def of_every_kind(asking, malmo, nordvik):
    """Two where nobody can enroll, one not chosen, five begun, three that do not meet what
    is asked, four abroad: what a campaign for the others has to name."""
    ProgramTerms.objects.filter(pk=asking.pk).update(countries=["SE"])
    covered, not_chosen, *begun, low, unmeasured, unsigned = (
        LocationFactory() for _ in range(10)
    )
    revenue = asking.requirements.get().criterion
    for place in (malmo, covered, not_chosen, *begun, low, unsigned):
        value = 1 if place == low else 30000
        MeasuredValueFactory(
            location=place, criterion=revenue, measured_on=DAY, value=value
        )
    for place in (covered, not_chosen, *begun, low, unmeasured):
        _agree(asking, place.partner_account)
    for place in begun:
        EnrollmentFactory(location=place, terms=asking)
    for _ in range(4):
        LocationFactory(country="NO", partner_account=nordvik)
    return [covered, *begun, low, unmeasured, unsigned]


def listed(campaign, on) -> tuple:
    """What reach_of() counts, as it is listed."""
    reasons = {why: left_out(campaign, why, on=on).count() for why in REASONS}
    whom = audience(campaign, on=on), people_of(campaign, on=on)
    return (*(one.count() for one in whom), reasons)


def test_what_is_counted_is_what_is_listed(
    campaign, asking, of_every_kind, goteborg, nordvik, mina
):
    UndeliverableAddress.objects.create(address="nobody.of.them@partner.example")
    campaign = services.change_campaign(
        campaign,
        partner_ids=[one.partner_id for one in (nordvik, *of_every_kind)],
        by=mina,
    )

    reach = reach_of(campaign, on=asking.today())

    assert reach.left_out == {
        "nobody": 2,
        "filter": 1,
        "enrolled": 5,
        "continues": 0,
        "requirements": 3,
        "country": 4,
    }
    counted = reach.locations, reach.people, reach.left_out
    assert counted == listed(campaign, asking.today())
    assert reach.unreachable == 0


def test_after_a_stop_what_is_counted_is_what_is_listed(
    campaign, asking, of_every_kind, ida, mina
):
    confirmed(campaign, by=mina)
    run(campaign)
    services.stop_campaign(campaign, by=mina)
    UndeliverableAddress.objects.create(address=ida.email)

    following = services.plan_campaign(asking, by=mina)
    reach = reach_of(following, on=asking.today())

    counted = reach.locations, reach.people, reach.left_out
    assert counted == listed(following, asking.today())
    assert (reach.people, reach.unreachable, reach.locations_not_told) == (1, 1, 1)


def test_what_the_year_end_is_to_continue_is_invited_by_nobody(
    two_years, malmo, mina, lucia, time_machine
):
    time_machine.move_to(datetime.datetime(2027, 7, 1, 8, tzinfo=datetime.UTC))
    terms, today = two_years.next_terms, datetime.date(2027, 7, 1)
    # Not under way in the year before: it is invited afresh.
    Enrollment.objects.filter(location=malmo).update(status="invited")
    campaign = services.plan_campaign(terms, by=mina)

    reach = reach_of(campaign, on=today)
    confirmed(campaign, people=reach.people, by=mina)
    run(campaign)

    assert reach.left_out["continues"] == reach.locations == 1
    assert list(terms.enrollments.values_list("location__name", flat=True)) == ["Malmö"]
    assert services.invite_locations(terms, by=mina).invited == 0
    plan = RenewalPlan.objects.create(into=two_years.into, number=1, known_on=today)
    SetAside.objects.create(
        plan=plan,
        enrollment=two_years.safe,
        decided_at=timezone.now(),
        decided_by=lucia,
    )
    assert services.invite_locations(terms, by=mina).invited == 1, "it was left there"


def _agree(terms, company):
    if terms.needs_agreement:
        AgreementFactory(partner_account=company)


def test_pausing_holds_what_has_not_left_also_of_a_worker_at_it(campaign, ida, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    claimed = outbox._claim(50, outbox.TOGETHER)

    services.pause_campaign(campaign, by=mina)

    begun = outbox._begin_together(claimed, after=outbox._Chunk())
    assert not begun.emails, "it lets it be"
    assert delivered() == []
    services.resume_campaign(campaign, by=mina)
    run(campaign)
    assert delivered() == [ida.email]


def test_stopping_lets_nothing_more_leave_and_nobody_else_mails_it(
    client_of, campaign, ida, mina
):
    confirmed(campaign, by=mina)
    run(campaign)

    services.stop_campaign(campaign, by=mina)

    assert delivered() == []
    assert services.notify_waiting_admins() == 0
    assert OutgoingEmail.objects.get(to_user=ida).status == MailStatus.CANCELED
    assert Invitation.objects.unopened().filter(user=ida).exists(), "on Home"
    page = client_of(mina).get(campaign.get_absolute_url())
    assert page.context["stopped_words"] == (
        "0 mails had left when it was stopped. 1 person got none. It does not go on; a "
        "new campaign writes to them."
    )


def test_what_failed_before_a_stop_has_not_left(client_of, campaign, ida, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    OutgoingEmail.objects.filter(to_user=ida).update(status=MailStatus.FAILED)

    services.stop_campaign(campaign, by=mina)

    page = client_of(mina).get(campaign.get_absolute_url())
    assert page.context["stopped_words"] == (
        "0 mails had left when it was stopped. 1 mail could not be delivered."
    )


def test_while_a_campaign_is_at_it_the_clock_tells_nobody_of_its_invitations(
    campaign, ida, mina
):
    confirmed(campaign, by=mina)
    at = timezone.now() + 2 * MINUTE
    services.run_next_range(campaign, at=at)
    services.run_next_range(campaign, at=at)
    assert Enrollment.objects.count()

    assert services.notify_waiting_admins() == 0

    Campaign.objects.update(began_at=at - MINUTE)
    assert services.notify_waiting_admins() == 1, "the control"


def test_what_was_answered_before_the_mail_left_needs_no_mail(campaign, ida, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    enrollment = Enrollment.objects.get(location__role_assignments__user=ida)
    services.accept_enrollment(enrollment, by=ida)

    assert delivered() == []
    assert OutgoingEmail.objects.get(to_user=ida).status == MailStatus.CANCELED


def test_who_lost_the_role_before_the_mail_left_gets_none(campaign, ida, greta, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    revoke_role(ida.role_assignments.get(), by=greta)

    delivered()

    mail = OutgoingEmail.objects.get(name="invitation")
    assert mail.status == MailStatus.CANCELED


def test_mails_by_the_hour_leave_no_faster(campaign, goteborg, nordvik, mina):
    for _ in range(5):
        RoleAssignmentFactory(
            partner_account=nordvik, role=Role.INCENTIVES_ADMIN, location=goteborg
        )
    services.change_campaign(campaign, mails_per_hour=60, by=mina)
    confirmed(campaign, people=6, by=mina)
    began = timezone.now() + 2 * MINUTE

    def at(minutes):
        while services.run_next_range(campaign, at=began + minutes * MINUTE):
            pass
        return len(delivered())

    assert [at(0), at(1), at(1), at(3.5), at(9)] == [0, 1, 0, 2, 3]


def test_failures_are_sent_again_but_not_to_addresses_that_bounce(
    campaign, ida, goteborg, nordvik, mina
):
    other = RoleAssignmentFactory(
        partner_account=nordvik, role=Role.INCENTIVES_ADMIN, location=goteborg
    ).user
    UndeliverableAddress.objects.create(address=other.email)
    confirmed(campaign, people=2, by=mina)
    run(campaign)
    delivered()
    OutgoingEmail.objects.filter(to_user=ida).update(
        status=MailStatus.FAILED, sent_at=None, last_error="SMTP 550"
    )

    assert progress_of(campaign).resendable == 1
    assert services.resend_failures(campaign, by=mina) == 1

    assert delivered() == [ida.email]
    assert outbox.COMES_BACK in OutgoingEmail.objects.get(to_user=other).last_error


def test_a_test_goes_to_the_operator_alone_and_says_what_the_person_would_read(
    campaign, ida, mina
):
    services.send_test(campaign, ida, language="sv", by=mina)

    assert delivered() == [mina.email]
    [mail] = mailbox.outbox
    assert mail.subject == "Inbjudan till registrering i partnerincitament"
    assert f"Hej {ida.get_short_name()}" in mail.body
    assert "List-Unsubscribe" not in mail.extra_headers
    assert not Enrollment.objects.exists()
    with pytest.raises(ValidationError, match="gets no mail"):
        services.send_test(campaign, UserFactory(), language="en", by=mina)


def test_where_nobody_can_enroll_the_admins_are_told(campaign, malmo, greta, mina):
    confirmed(campaign, by=mina)
    run(campaign)

    assert campaign.uncovered_count == 1
    assert OutgoingEmail.objects.get(name="nobody_can_enroll", to_user=greta)


def test_two_campaigns_for_a_program_are_never_under_way(campaign, terms, mina):
    confirmed(campaign, by=mina)
    other = services.plan_campaign(terms, by=mina)

    with pytest.raises(ValidationError, match="Another campaign"):
        confirmed(other, by=mina)
    with pytest.raises(IntegrityError), transaction.atomic():
        Campaign.objects.filter(pk=other.pk).update(
            status="scheduled",
            confirmed_at=timezone.now(),
            starts_at=timezone.now(),
        )


def test_a_program_that_closes_in_the_hold_invites_nobody(campaign, terms, mina):
    confirmed(campaign, by=mina)
    terms.program.discontinued_at = timezone.now()
    terms.program.save()

    run(campaign)

    assert campaign.status == CampaignStatus.STOPPED
    assert "discontinued" in campaign.ended_because
    assert not Enrollment.objects.exists()


def test_a_program_withdrawn_amid_the_ranges_invites_no_more(many, terms, mina):
    at = timezone.now() + 2 * MINUTE
    services.run_next_range(many, at=at)
    services.run_next_range(many, at=at)
    services.discontinue_program(terms.program, by=mina)

    run(many)

    assert Enrollment.objects.count() == 5
    assert not Enrollment.objects.exclude(status="discontinued").exists()
    assert many.status == CampaignStatus.STOPPED
    assert "discontinued" in many.ended_because


class Amid:
    """Lets somebody else do something right after a statement."""

    def __init__(self, marker, do):
        self.marker, self.do = marker, do
        self.others = None

    def __call__(self, execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if self.marker in sql and self.others is None:
            self.others = begun(self.do)
            # Either they are done, or they wait for this one.
            self.others.join(timeout=1)
        return result


def begun(do) -> threading.Thread:
    """Let somebody else do something, over a connection of their own."""

    def alone():
        try:
            do()
        finally:
            connections.close_all()

    thread = threading.Thread(target=alone)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_held", [True, False])
def test_a_file_of_values_amid_a_range_moves_whom_it_invites(
    asking, goteborg, ida, mina, settings, monkeypatch, is_held
):
    settings.IMPORT_HOLD_PERCENT = 100
    if not is_held:
        # The control: nobody holds what is decided by.
        monkeypatch.setattr(campaigns, "hold_values", lambda **_: True)
    campaign = services.plan_campaign(asking, by=mina)
    confirmed(campaign, by=mina)
    at = timezone.now() + 2 * MINUTE
    services.run_next_range(campaign, at=at)
    file = services.apply_import(compared(LESS), by=None)
    amid = Amid("INTO enrollment_enrollment\n", lambda: services.carry_out_import(file))

    with connection.execute_wrapper(amid):
        services.run_next_range(campaign, at=at)
    amid.others.join()

    file.refresh_from_db()
    assert file.is_applied
    enrollment = Enrollment.objects.get(location=goteborg)
    assert enrollment.status == ("ineligible" if is_held else "invited")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_anew", [True, False])
def test_nobody_is_invited_while_a_file_of_values_is_applied(
    asking, goteborg, mina, is_anew
):
    lapsed = EnrollmentFactory(
        location=goteborg, terms=asking, status="expired", end_reason="not_answered"
    )
    applying, is_over = threading.Event(), threading.Event()

    def apply():
        with transaction.atomic():
            imports._lock_criteria()
            applying.set()
            is_over.wait(timeout=60)

    other = begun(apply)
    applying.wait(timeout=60)
    invite = services.invite_anew if is_anew else services.invite_locations
    with transaction.atomic():
        connection.cursor().execute("SET LOCAL lock_timeout = 200")
        with pytest.raises(ValidationError, match="or values are being applied"):
            invite(lapsed if is_anew else asking, by=mina)
    is_over.set()
    other.join()


@pytest.mark.django_db(transaction=True)
def test_a_range_waits_for_nobody_who_applies_values(asking, goteborg, ida, mina):
    campaign = services.plan_campaign(asking, by=mina)
    confirmed(campaign, by=mina)
    at = timezone.now() + 2 * MINUTE
    services.run_next_range(campaign, at=at)
    went_on = []

    def run_next():
        services.run_next_range(campaign, at=at)
        went_on.append(Enrollment.objects.exists())

    with transaction.atomic():
        imports._lock_criteria()
        begun(run_next).join()

    assert went_on == [False]
    services.run_next_range(campaign, at=at)
    assert Enrollment.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_location_that_closes_amid_a_range_is_left_out(
    campaign, goteborg, malmo, ida, mina
):
    confirmed(campaign, by=mina)
    at = timezone.now() + 2 * MINUTE
    services.run_next_range(campaign, at=at)

    with transaction.atomic():
        services.close_location(goteborg, reason="It moved.", by=mina)
        other = begun(lambda: services.run_next_range(campaign, at=at))
        other.join(timeout=2)
    other.join()

    assert list(Enrollment.objects.values_list("location__name", flat=True)) == [
        "Malmö"
    ]


def test_many_more_people_than_confirmed_are_asked_about_again(campaign, mina):
    services.change_campaign(
        campaign, send_at=timezone.now() + datetime.timedelta(days=1), by=mina
    )
    confirmed(campaign, by=mina)
    for _ in range(3):
        company = PartnerAccountFactory()
        _agree(campaign.terms, company)
        LocationFactory(partner_account=company)
        RoleAssignmentFactory(partner_account=company, role=Role.INCENTIVES_ADMIN)

    run(campaign, after=datetime.timedelta(days=1, minutes=2))

    assert campaign.is_draft
    assert "1 when this was confirmed, 4 when it was" in campaign.ended_because
    assert not Enrollment.objects.exists()
    assert list(Campaign.objects.to_confirm_anew()) == [campaign]
    confirmed(campaign, people=4, by=mina)
    run(campaign, after=datetime.timedelta(days=1, minutes=2))
    assert campaign.recipients.count() == 4
    assert campaign.ended_because == ""


def test_what_was_looked_at_is_what_is_sent(campaign, mina):
    seen = campaign.digest
    services.change_campaign(campaign, words_en="Other", words_sv="Andra", by=mina)

    with pytest.raises(ValidationError, match="Somebody changed this draft"):
        services.confirm_campaign(campaign, people=1, seen=seen, by=mina)
    campaign.refresh_from_db()
    services.confirm_campaign(campaign, people=1, seen=campaign.digest, by=mina)


@pytest.mark.parametrize("step", [services.stop_campaign, services.pause_campaign])
def test_what_failed_is_not_sent_again_once_nothing_is_to_leave(campaign, mina, step):
    confirmed(campaign, by=mina)
    run(campaign)
    OutgoingEmail.objects.filter(is_bulk=True).update(
        status=MailStatus.FAILED, last_error="SMTP 554"
    )
    step(campaign, by=mina)

    with pytest.raises(ValidationError, match="Nothing leaves"):
        services.resend_failures(campaign, by=mina)

    assert delivered() == []


def test_what_may_have_arrived_is_not_sent_once_more_after_stopping(campaign, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    OutgoingEmail.objects.filter(is_bulk=True).update(
        status=MailStatus.UNKNOWN, attempts=1, body_text="x", body_html="x"
    )

    services.stop_campaign(campaign, by=mina)

    assert delivered() == []
    mail = OutgoingEmail.objects.get(is_bulk=True)
    assert mail.status == MailStatus.FAILED, "nobody can say that it was not sent"
    assert "may have arrived" in mail.last_error


def test_a_new_address_gets_the_mail_that_the_old_one_would_not(campaign, ida, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    UndeliverableAddress.objects.create(address=ida.email)
    User.objects.filter(pk=ida.pk).update(email="new@partner.example")

    assert delivered() == ["new@partner.example"]


@pytest.mark.parametrize(
    ("last_error", "bounced_at", "company"),
    [
        ("connection lost, may have arrived", None, "Nordvik"),
        ("connection lost, may have arrived", timezone.now(), "Renamed"),
        ("SMTP 550", None, "Renamed"),
    ],
)
def test_what_may_have_arrived_is_sent_again_as_it_stands(
    campaign, nordvik, ida, mina, last_error, bounced_at, company
):
    confirmed(campaign, by=mina)
    run(campaign)
    delivered()
    OutgoingEmail.objects.filter(to_user=ida).update(
        status=MailStatus.FAILED,
        sent_at=None,
        last_error=last_error,
        bounced_at=bounced_at,
    )
    PartnerAccount.objects.filter(pk=nordvik.pk).update(name="Renamed AB")

    services.resend_failures(campaign, by=mina)

    assert delivered() == [ida.email]
    assert company in mailbox.outbox[0].body
    assert OutgoingEmail.objects.get(to_user=ida).text == mailbox.outbox[0].body


def test_a_mail_given_up_for_its_address_is_sent_again_to_another(campaign, ida, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    UndeliverableAddress.objects.create(address=ida.email)
    assert delivered() == []
    assert services.resend_failures(campaign, by=mina) == 0
    User.objects.filter(pk=ida.pk).update(email="new@partner.example")

    assert progress_of(campaign).resendable == 1
    assert services.resend_failures(campaign, by=mina) == 1

    assert delivered() == ["new@partner.example"]


def test_the_days_to_answer_begin_when_the_mail_leaves(
    campaign, terms, ida, mina, time_machine
):
    terms.enroll_within_days = 7
    terms.save()
    confirmed(campaign, by=mina)
    run(campaign)
    OutgoingEmail.objects.update(status=MailStatus.HELD)
    Campaign.objects.update(status=CampaignStatus.RUNNING, ended_at=None)
    services.pause_campaign(campaign, by=mina)
    began = timezone.now()

    for day in range(1, 10):
        time_machine.move_to(began + datetime.timedelta(days=day), tick=False)
        for one in services.campaigns_to_run(at=timezone.now()):
            services.run_next_range(one, at=timezone.now())
        services.lapse_invitations(at=timezone.now())
        assert services.remind_next_people(at=timezone.now()) is None
    services.resume_campaign(campaign, by=mina)
    run(campaign, after=0 * MINUTE)

    assert delivered() == [ida.email]
    last_day = terms.today() + datetime.timedelta(days=7)
    assert Enrollment.objects.get().enroll_by == last_day
    time_machine.move_to(timezone.now() + datetime.timedelta(days=1), tick=False)
    run(campaign, after=0 * MINUTE)
    assert Enrollment.objects.get().enroll_by == last_day, "from then on it stays"


def test_once_somebody_was_told_the_last_day_stays(
    campaign, terms, nordvik, ida, mina, time_machine
):
    RoleAssignmentFactory(partner_account=nordvik, role=Role.INCENTIVES_ADMIN)
    terms.enroll_within_days = 7
    terms.save()
    confirmed(campaign, people=2, by=mina)
    run(campaign)
    mails = OutgoingEmail.objects.filter(is_bulk=True)
    mails.filter(to_user=ida).update(
        status=MailStatus.SENT, sent_at=timezone.now(), body_text="x", body_html="x"
    )
    mails.exclude(to_user=ida).update(status=MailStatus.HELD)
    last_day = Enrollment.objects.get(location__name="Göteborg").enroll_by

    time_machine.move_to(timezone.now() + datetime.timedelta(days=1), tick=False)
    run(campaign, after=0 * MINUTE)

    assert Enrollment.objects.get(location__name="Göteborg").enroll_by == last_day


def test_a_campaign_too_slow_for_the_last_day_is_refused(
    campaign, terms, nordvik, mina
):
    RoleAssignmentFactory.create_batch(
        49, partner_account=nordvik, role=Role.INCENTIVES_ADMIN
    )
    terms.enroll_by = terms.today() + datetime.timedelta(days=1)
    terms.save()
    services.change_campaign(campaign, mails_per_hour=1, by=mina)

    with pytest.raises(ValidationError, match="after the last day to enroll"):
        confirmed(campaign, people=50, by=mina)

    services.change_campaign(campaign, mails_per_hour=50, by=mina)
    confirmed(campaign, people=50, by=mina)


def test_who_was_not_mailed_before_stopping_is_mailed_by_the_next_campaign(
    many, terms, mina, monkeypatch
):
    at = timezone.now() + 2 * MINUTE
    while many.step != "mails":
        services.run_next_range(many, at=at)
        many.refresh_from_db()
    left = many.recipients.order_by("pk")[:3].values_list("email", flat=True)
    outbox.release(OutgoingEmail.objects.filter(pk__in=list(left)))
    told = delivered()
    services.stop_campaign(many, by=mina)
    company = PartnerAccountFactory()
    _agree(terms, company)
    LocationFactory(partner_account=company)
    RoleAssignmentFactory(partner_account=company, role=Role.INCENTIVES_ADMIN)
    campaign = services.plan_campaign(terms, by=mina)

    reach = reach_of(campaign, on=terms.today())
    confirmed(campaign, people=10, by=mina)
    run(campaign)
    told_now = delivered()

    assert (reach.locations, reach.locations_not_told) == (1, 18)
    assert reach.left_out["enrolled"] == 6
    assert (len(told), len(told_now)) == (3, 10)
    assert not set(told) & set(told_now)
    assert Invitation.objects.count() == 25, "each says who was told of what, once"
    assert Enrollment.objects.count() == 25


def test_every_step_is_in_the_trail(campaign, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    services.pause_campaign(campaign, by=mina)
    services.resume_campaign(campaign, by=mina)
    run(campaign)
    delivered()
    run(campaign)

    actions = AuditEvent.objects.filter(object_id=str(campaign.pk)).order_by("pk")
    assert list(actions.values_list("action", flat=True)) == [
        AuditAction.CAMPAIGN_PLANNED,
        AuditAction.CAMPAIGN_CONFIRMED,
        AuditAction.CAMPAIGN_STARTED,
        AuditAction.CAMPAIGN_PAUSED,
        AuditAction.CAMPAIGN_RESUMED,
        AuditAction.CAMPAIGN_FINISHED,
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SMTPDataError(451, b"later"), MailStatus.QUEUED),
        (SMTPDataError(554, b"never"), MailStatus.FAILED),
        (SMTPServerDisconnected(), MailStatus.UNKNOWN),
        (KeyboardInterrupt(), MailStatus.SENDING),
    ],
)
def test_what_goes_back_in_line_is_whole_without_what_others_share(
    campaign, ida, mina, monkeypatch, error, status
):
    confirmed(campaign, by=mina)
    run(campaign)
    mails = OutgoingEmail.objects.filter(to_user=ida)
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(outbox, "send_prepared", mock.Mock(side_effect=error))
        outbox.deliver()
    assert mails.get().status == status
    mails.update(lease_until=None)
    outbox.requeue(mails)
    if status == MailStatus.SENDING:
        outbox._begin(mails.get())

    (mail,) = mails
    assert (mail.shared_text, mail.own_words) == (None, "")
    assert ("Ida" in mail.body_text) == (status != MailStatus.FAILED)
    mails.update(status=MailStatus.QUEUED, next_attempt_at=timezone.now())
    assert delivered() == [ida.email]
    assert "Ida" in mailbox.outbox[0].body


def test_what_was_not_tried_refers_to_nothing_that_others_share(
    campaign, goteborg, nordvik, mina, monkeypatch
):
    RoleAssignmentFactory(
        partner_account=nordvik, role=Role.INCENTIVES_ADMIN, location=goteborg
    )
    confirmed(campaign, people=2, by=mina)
    run(campaign)
    away = SMTPSenderRefused(421, b"later", "portal@example.com")
    monkeypatch.setattr(outbox, "send_prepared", mock.Mock(side_effect=away))

    outbox.deliver()

    waiting = OutgoingEmail.objects.filter(status=MailStatus.QUEUED)
    assert waiting.filter(shared_text=None, own_words="").count() == 2


def test_each_mail_is_whole_again_when_shared_texts_are_taken_back(campaign, ida, mina):
    confirmed(campaign, by=mina)
    run(campaign)
    delivered()
    before = OutgoingEmail.objects.get(to_user=ida)
    assert before.shared_text

    taking_back.fill_bodies(apps, None)

    after = OutgoingEmail.objects.get(to_user=ida)
    assert (after.shared_text, after.own_words) == (None, "")
    assert (after.body_text, after.body_html) == (before.text, before.html)


@pytest.mark.parametrize("language", ["en", "sv"])
def test_what_is_filled_in_is_what_would_be_rendered(
    campaign, terms, goteborg, nordvik, ida, mina, language, monkeypatch
):
    names = ["Ann & <Co>", "Ö", "Noor شركة", "O'Neill {1}", "Kim B.V.", "A" * 90, "%s"]
    for number, name in enumerate(names):
        company = PartnerAccountFactory(name=f"{name} AB")
        _agree(terms, company)
        for place in (name, f"{name} 2")[: 1 + number % 2]:
            LocationFactory(partner_account=company, name=place)
        RoleAssignmentFactory(
            user=UserFactory(full_name=f"{name} Lund", language=language),
            partner_account=company,
            role=Role.INCENTIVES_ADMIN,
        )
    services.change_campaign(
        campaign,
        words_en="{name} of {company}:\n\nby {enroll_by} & {program}",
        words_sv="{name} från {company}: {year}",
        by=mina,
    )
    confirmed(campaign, people=1 + len(names), by=mina)
    run(campaign)
    waiting = list(OutgoingEmail.objects.filter(is_bulk=True).select_related("to_user"))

    filled = _said(waiting)
    monkeypatch.setattr(campaign_mails, "MOST_ALIKE", 0)
    rendered = _said(waiting)

    assert len(filled) == 1 + len(names)
    assert filled == rendered


@pytest.mark.parametrize("typed", ["\ue000", "\ue00099\ue001", "\ue0001\ue001"])
def test_a_mark_somebody_typed_stands_for_nothing_and_stops_no_mail(
    campaign, ida, mina, typed, monkeypatch
):
    with pytest.raises(ValidationError, match="not a letter, digit or sign"):
        services.change_campaign(campaign, words_en=f"To{typed} {{name}}", by=mina)
    Campaign.objects.update(words_en=f"To{typed} {{name}}", words_sv="Till {name}")
    confirmed(campaign, by=mina)
    run(campaign)
    waiting = list(OutgoingEmail.objects.filter(is_bulk=True).select_related("to_user"))

    assert f"To{typed} Ida" in _said(waiting)[0][2]
    assert delivered() == [ida.email]


def _said(mails):
    said = []
    words = campaign_mails.write(mails)
    for mail in mails:
        outbox.say(mail, words[mail.pk])
        said.append((mail.to_address, mail.subject, mail.text, mail.html))
    return said


def test_mails_written_later_say_what_the_campaign_says_by_then(
    campaign, terms, ida, mina, time_machine
):
    confirmed(campaign, by=mina)
    run(campaign)
    waiting = list(OutgoingEmail.objects.filter(is_bulk=True).select_related("to_user"))
    said = _said(waiting)
    assert _said(waiting) == said

    for change in (
        lambda: Campaign.objects.update(words_en="Hello {name}", words_sv="Hej {name}"),
        lambda: IncentiveProgram.objects.update(name="Another name"),
        lambda: ProgramTerms.objects.update(validation_hours=240),
        lambda: time_machine.move_to(timezone.now() + 20 * 24 * 60 * MINUTE),
    ):
        change()
        before, said = said, _said(waiting)
        assert said != before


def test_a_mail_that_cannot_be_written_keeps_no_other_from_leaving(
    client_of, campaign, goteborg, nordvik, ida, mina, monkeypatch
):
    other = UserFactory()
    RoleAssignmentFactory(
        user=other,
        partner_account=nordvik,
        role=Role.INCENTIVES_ADMIN,
        location=goteborg,
    )
    confirmed(campaign, people=2, by=mina)
    run(campaign)
    words = campaign_mails._words

    def fail_of_ida(mail, *args):
        return words(mail, *args) if mail.to_user == other else "".format[0]

    monkeypatch.setattr(campaign_mails, "_words", fail_of_ida)

    assert delivered() == [other.email]
    mail = OutgoingEmail.objects.get(to_user=ida)
    assert (mail.status, mail.last_error) == (MailStatus.FAILED, "TypeError")
    page = client_of(mina).get(campaign.get_absolute_url())
    assert "Send 1 failed mail again" in page.text
    monkeypatch.undo()
    outbox.requeue(OutgoingEmail.objects.filter(to_user=ida))
    assert delivered() == [ida.email], "the control"


def test_what_is_prepared_is_what_django_would_send(campaign, ida, mina, settings):
    settings.SENDER_NAME = "Åsas Partner Center"
    settings.SUPPORT_ADDRESS = "help@owner.example"
    ida.language = "sv"
    ida.save()
    confirmed(campaign, by=mina)
    run(campaign)
    delivered()
    mail = OutgoingEmail.objects.get(name="invitation")

    prepared = message_from_bytes(outbox.prepared_bytes(mail), policy=policy.default)

    ours = message_from_bytes(
        outbox.as_message(mail).message().as_bytes(), policy=policy.default
    )
    names = {name for name in ours if name not in ("Date", "Content-Type")}
    assert names <= set(prepared.keys())
    for name in names:
        assert prepared[name].strip() == ours[name].strip(), name
    for kind in ("plain", "html"):
        said, wanted = (
            one.get_body((kind,)).get_content().replace("\r\n", "\n").rstrip()
            for one in (prepared, ours)
        )
        assert said == wanted
    mail.subject = "Välkommen att ansöka: försäljningsbonus för återförsäljare åå"
    assert re.search(rb"(?<!\r)\n", outbox.prepared_bytes(mail)) is None
    mail.subject = "Two\nlines"
    with pytest.raises(ValueError, match="newlines"):
        outbox.prepared_bytes(mail)
    mail.subject, mail.own_words = "One", mail.own_words.replace("Ida", "x" * 2000)
    assert outbox.prepared_bytes(mail) is None, "too long a line for SMTP as it is"


def test_what_many_mails_say_is_asked_by_their_keys_whatever_else_there_is(
    campaign, goteborg, nordvik, mina, monkeypatch
):
    for _ in range(4):
        RoleAssignmentFactory(
            partner_account=nordvik, role=Role.INCENTIVES_ADMIN, location=goteborg
        )
    confirmed(campaign, people=5, by=mina)
    run(campaign)
    for module in (campaign_mails, prepared):
        monkeypatch.setattr(module, "FEW_KEYS", 2)
    mails = OutgoingEmail.objects.filter(is_bulk=True)

    with CaptureQueriesContext(connection) as asked:
        words = campaign_mails.write(mails)

    assert len(words) == 5
    unplanned = [one["sql"] for one in asked if "EXECUTE" not in one["sql"]]
    assert not [sql for sql in unplanned if "enrollment_invitation" in sql]
    assert len([one for one in asked if "EXECUTE" in one["sql"]]) >= 3


def test_a_worker_that_dies_while_sending_leaves_a_few_to_be_sent_once_more(
    campaign, goteborg, nordvik, mina, monkeypatch
):
    for _ in range(5):
        RoleAssignmentFactory(
            partner_account=nordvik, role=Role.INCENTIVES_ADMIN, location=goteborg
        )
    confirmed(campaign, people=6, by=mina)
    run(campaign)
    monkeypatch.setattr(outbox, "CHUNK", 2)
    prepared, handed = outbox.send_prepared, []

    def die_at_the_fourth(email, *args, **kwargs):
        prepared(email, *args, **kwargs)
        handed.append(email.pk)
        if len(handed) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(outbox, "send_prepared", die_at_the_fourth)
    mailbox.outbox.clear()
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver()
    rows = OutgoingEmail.objects.filter(is_bulk=True)
    assert rows.filter(status=MailStatus.SENT).count() == 2
    assert rows.filter(status=MailStatus.SENDING).count() == 2

    outbox.deliver()
    rows.filter(status=MailStatus.SENDING).update(
        lease_until=timezone.now() - MINUTE, next_attempt_at=timezone.now() - MINUTE
    )
    outbox.deliver()

    ids = [one.extra_headers["Message-ID"] for one in mailbox.outbox]
    assert len(set(ids)) == 6, "none is lost"
    assert sorted(map(ids.count, set(ids))) == [1, 1, 1, 1, 2, 2], "two are doubled"
    assert set(rows.values_list("status", flat=True)) == {MailStatus.SENT}


# --- Killed anywhere -----------------------------------------------------------------


@pytest.fixture
def many(terms, mina, monkeypatch):
    """A campaign of 24 locations and 12 people, in ranges of 5 and 4."""
    monkeypatch.setattr(campaigns, "LOCATIONS_AT_ONCE", 5)
    monkeypatch.setattr(campaigns, "PEOPLE_AT_ONCE", 4)
    for _ in range(12):
        company = PartnerAccountFactory()
        _agree(terms, company)
        LocationFactory.create_batch(2, partner_account=company)
        RoleAssignmentFactory(partner_account=company, role=Role.INCENTIVES_ADMIN)
    campaign = services.plan_campaign(terms, by=mina)
    return services.confirm_campaign(campaign, people=12, by=mina)


def interrupted(campaign, *, every=2):
    """Run a campaign whose every second range dies before it commits."""
    at, count = timezone.now() + 2 * MINUTE, 0
    while True:
        count += 1
        try:
            with transaction.atomic():
                went_on = services.run_next_range(campaign, at=at)
                if count % every == 0:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            continue
        if not went_on:
            return


def test_a_run_that_is_killed_in_every_second_range_invites_everybody_once(many):
    interrupted(many)

    assert Enrollment.objects.count() == 24
    assert EnrollmentEvent.objects.count() == 24
    assert PayoutAssignment.objects.count() == 24
    assert Invitation.objects.count() == 24
    assert OutgoingEmail.objects.count() == 12


def test_a_range_that_is_taken_twice_writes_nothing_twice(many):
    at = timezone.now() + 2 * MINUTE
    services.run_next_range(many, at=at)
    services.run_next_range(many, at=at)
    Campaign.objects.update(last_key=0)

    run(many)

    assert Enrollment.objects.count() == 24
    assert EnrollmentEvent.objects.count() == 24
    assert OutgoingEmail.objects.count() == 12


def test_without_its_constraint_a_range_that_is_taken_twice_would_invite_twice(many):
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX enrollment_enrollment_once")
    unguarded = campaigns.INVITE.replace(
        "ON CONFLICT (location_id, terms_id) DO NOTHING", ""
    )
    at = timezone.now() + 2 * MINUTE
    with mock.patch.object(campaigns, "INVITE", unguarded):
        services.run_next_range(many, at=at)
        services.run_next_range(many, at=at)
        Campaign.objects.update(last_key=0)
        services.run_next_range(many, at=at)

    assert Enrollment.objects.count() == 10
    assert Enrollment.objects.values("location").distinct().count() == 5


def test_a_person_is_in_a_campaign_once(many):
    run(many)
    recipient = CampaignRecipient.objects.order_by("pk").first()

    recipient.pk, recipient.email = None, _another_mail(recipient.email)
    with pytest.raises(IntegrityError), transaction.atomic():
        recipient.save()


def _another_mail(email):
    email.pk, email.dedupe_key = uuid.uuid4(), "another"
    email.save(force_insert=True)
    return email
