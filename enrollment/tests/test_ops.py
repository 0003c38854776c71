"""The operators' pages: what waits today, invitations, and the validation queue."""

import datetime
import re
import threading
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group
from django.core.cache import caches
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone

from accounts import stretches
from accounts.models import OutgoingEmail
from accounts.operators import OPERATOR_GROUPS
from accounts.templatetags.portal import ago, moment
from accounts.tests.cast import operator
from accounts.tests.factories import (
    FactorResetFactory,
    IncentiveProgramFactory,
    LocationFactory,
    PartnerAccountFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet
from enrollment import ops, program_rows, queues, services
from enrollment.models import (
    Campaign,
    CampaignStatus,
    Enrollment,
    EnrollmentEvent,
    Invitation,
    PayoutAssignment,
)
from enrollment.services import enrollments
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    FiscalCalendarFactory,
    FiscalYearFactory,
    ProgramTermsFactory,
    RequirementFactory,
    fiscal_number,
)
from enrollment.tests.service_modules import replace_in_steps
from enrollment.tests.test_campaigns import delivered, run
from profiles import services as profile_services
from profiles.models import BankProfile, BankProfileVersion, TaxProfileVersion
from profiles.services import deciding
from profiles.tests.factories import (
    BANK_DETAILS,
    IBAN,
    BankProfileFactory,
    BankVersionFactory,
    TaxProfileFactory,
    TaxVersionFactory,
    as_if_sent,
)
from profiles.tests.service_modules import modules_with

OPERATOR_PAGES = """ops:today ops:invitations ops:validation ops:renewals ops:locations
ops:mail ops:audit ops:sign_ins ops:recoveries""".split()
OTHER_IBAN = "SE4550000000058398257466"
HOUR = datetime.timedelta(hours=1)
PROGRAM = "Cloud Solution Provider – Direct Bill"


def words(response) -> str:
    """What a reader sees of a page, in one line."""
    text = re.sub(r"<(script|style|svg).*?</\1>", " ", response.content.decode())
    text = re.sub(r"<[^>]+>", " ", text.partition("<main")[2])
    text = text.replace("&amp;", "&").replace("&#x27;", "'").replace("&quot;", '"')
    return " ".join(text.split())


def back_in_time(row, hours: float, *names: str) -> None:
    """Let something have happened hours ago."""
    moment = timezone.now() - hours * HOUR
    type(row)._default_manager.filter(pk=row.pk).update(**dict.fromkeys(names, moment))


@shared
def reader(db):
    """An operator who reads, and does nothing else."""
    user = UserFactory(full_name="Ruth Reader", operator=True)
    user.groups.set(user.groups.model.objects.filter(name="Reader"))
    return user


@shared
def waiting(goteborg, terms, maria, ida):
    """Göteborg's enrollment, sent by Ida; both profiles are new and were sent by Maria.

    The company was paid before, to another account: one operator is enough.
    """
    BankProfileFactory(partner_account=goteborg.partner_account, created_by=maria)
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account,
        name="Nordvik SEK main",
        created_by=maria,
        version__pending=True,
    )
    tax = TaxProfileFactory(
        location=goteborg, name="Nordvik SE", created_by=maria, version__pending=True
    )
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        submitted_by=ida,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__currency="SEK",
    )
    return SimpleNamespace(
        enrollment=enrollment,
        bank=bank,
        tax=tax,
        url=reverse("ops:enrollment", kwargs={"pk": enrollment.pk}),
        confirm_url=reverse("ops:confirm", kwargs={"pk": enrollment.pk}),
    )


@shared
def another_waits(malmo, terms, maria):
    """A second enrollment in the queue, of Malmö, three hours old."""
    bank = BankProfileFactory(
        partner_account=malmo.partner_account, created_by=maria, version__pending=True
    )
    enrollment = EnrollmentFactory(
        location=malmo,
        terms=terms,
        submitted=True,
        payout__bank_profile=bank,
        payout__tax_profile=TaxProfileFactory(location=malmo, created_by=maria),
        payout__currency="SEK",
    )
    back_in_time(enrollment, 3, "status_since")
    return enrollment


def form_values(response, part: str) -> dict[str, str]:
    """What the browser would send with a part's button."""
    (values,) = [
        found
        for found in re.findall(
            r'name="part" value="(\w+)">\s*<input type="hidden" name="seen" '
            r'value="([^"]*)"',
            response.content.decode(),
        )
        if found[0] == part
    ]
    return {"part": values[0], "seen": values[1]}


def buttons(response) -> list[tuple[str, bool]]:
    """What the page decides by its words, and whether each is a primary button."""
    return [
        (text, "btn--quiet" not in css)
        for css, text in re.findall(
            r'<button class="([^"]+)"[^>]*>([^<]+)</button>',
            response.content.decode().partition("<main")[2],
        )
        if "btn--small" not in css
    ]


def approve(client, page, part: str, *, follow: bool = False, **more):
    """Open the page as an operator does, and press a part's button."""
    values = form_values(client.get(page.url), part)
    return client.post(page.confirm_url, values | more, follow=follow)


# --- Today ----------------------------------------------------------------------------


def queue_of(client, name: str) -> tuple[int, str]:
    """The number and the age in a row of the Today page."""
    response = client.get(reverse("ops:today"))
    (queue,) = [row for row in response.context["queues"] if str(row.name) == name]
    return queue.count, queue.age


def test_today_says_when_every_queue_is_empty(client_of, oscar, terms):
    response = client_of(oscar).get(reverse("ops:today"))

    assert "Queues are empty." in words(response)
    assert "Start reviewing" not in words(response)


@pytest.mark.parametrize("group", [None, *OPERATOR_GROUPS])
def test_today_opens_for_every_operator_with_what_their_group_may_see(
    db, client_of, group
):
    client = client_of(operator("Iris Ahl", *([group] if group else ())))

    today = client.get(reverse("ops:today"))

    leads_to = {queue.url.partition("?")[0] for queue in today.context["queues"]}
    leads_to |= {way.url for way in today.context["nav"]}
    assert {url: client.get(url).status_code for url in leads_to} == dict.fromkeys(
        leads_to, 200
    )
    asked = [name for name in OPERATOR_PAGES if reverse(name) in leads_to]
    refused = set(OPERATOR_PAGES) - set(asked)
    assert {client.get(reverse(name)).status_code for name in refused} <= {403}
    assert ("ops:recoveries" in asked) is (group == "Identity manager")


def test_today_counts_what_waits_and_how_long(client_of, oscar, waiting):
    back_in_time(waiting.enrollment, 31, "status_since")

    client = client_of(oscar)

    assert queue_of(client, "Waiting for validation") == (1, "31 hours")
    assert queue_of(client, "Overdue for validation") == (0, "")


def test_today_counts_what_is_overdue(client_of, oscar, waiting, another_waits):
    # R43
    back_in_time(waiting.enrollment, 49, "status_since")

    client = client_of(oscar)

    assert queue_of(client, "Waiting for validation") == (2, "49 hours")
    assert queue_of(client, "Overdue for validation") == (1, "49 hours")


def bound(monkeypatch, name: str, number: int) -> None:
    """Let a bound of the queues be as low as a test needs, wherever it is looked at."""
    for one in (queues.invitations, queues.today, queues.waiting, queues):
        if hasattr(one, name):
            monkeypatch.setattr(one, name, number)


def test_numbers_of_many_are_kept_a_minute_and_say_as_of_when(
    client_of, oscar, mina, waiting, another_waits, monkeypatch
):
    name, said = "Waiting for validation", "The numbers are as of"
    page = client_of(oscar).get(reverse("ops:today"))
    # What is not many is counted each time.
    assert said not in words(page)
    bound(monkeypatch, "MOST_WAITING", 1)
    page = client_of(oscar).get(reverse("ops:today"))
    assert f"{name} more than 1" in words(page)
    assert said in words(page)

    back_in_time(waiting.enrollment, 100, "status_since")

    assert queue_of(client_of(oscar), name) == (2, "3 hours")
    # Whoever has other rights has other numbers; and after the minute they are anew.
    assert queue_of(client_of(mina), name) == (2, "4 days")
    caches["numbers"].clear()
    assert queue_of(client_of(oscar), name) == (2, "4 days")


def test_invitations_and_programs_of_many_are_counted_once_a_minute(
    client_of, mina, terms, goteborg, malmo, monkeypatch
):
    client, said = client_of(mina), "The numbers are as of"
    pages = ("ops:invitations", "ops:programs")
    EnrollmentFactory(location=goteborg, terms=terms)
    for name in pages:
        assert said not in words(client.get(reverse(name))), name
    bound(monkeypatch, "MANY", 0)
    monkeypatch.setattr(program_rows, "MANY", 0)

    first = {name: words(client.get(reverse(name))) for name in pages}
    EnrollmentFactory(location=malmo, terms=terms)

    for name in pages:
        assert said in first[name], name
        assert words(client.get(reverse(name))) == first[name], name
    caches["numbers"].clear()
    for name in pages:
        assert words(client.get(reverse(name))) != first[name], name


def test_today_counts_mail_that_does_not_arrive(client_of, oscar, goteborg, terms, ida):
    services.invite_locations(terms, by=None)
    OutgoingEmail.objects.update(status="failed")
    back_in_time(OutgoingEmail.objects.get(), 100, "created_at")

    assert queue_of(client_of(oscar), "Undelivered mail") == (1, "4 days")


def test_today_counts_locations_to_invite(client_of, mina, goteborg, malmo, terms):
    ProgramTermsFactory(countries=["NO"])

    assert queue_of(client_of(mina), "Eligible locations to invite") == (2, "")


def test_today_counts_invited_locations_that_nobody_can_enroll(
    client_of, mina, goteborg, malmo, terms, ida
):
    # R6: Ida covers Göteborg; Malmö has nobody.
    services.invite_locations(terms, by=None)
    back_in_time(Enrollment.objects.get(location=malmo), 5, "status_since")

    queue = queue_of(client_of(mina), "Invited locations that nobody can enroll")

    assert queue == (1, "5 hours")


def test_a_location_invited_to_two_programs_is_counted_once(
    client_of, mina, malmo, terms
):
    EnrollmentFactory(location=malmo, terms=terms)
    EnrollmentFactory(location=malmo, terms=ProgramTermsFactory())

    queue = queue_of(client_of(mina), "Invited locations that nobody can enroll")

    assert queue[0] == 1


def test_today_counts_what_waits_for_a_second_operator(client_of, oscar, mina, changed):
    profile_services.approve_version(changed.bank.versions.get(number=2), by=oscar)
    asked = RecoveryRequestFactory()
    checked = RecoveryRequestFactory(
        state="reviewed",
        evidence="The register.",
        reviewed_by=oscar,
        reviewed_at=timezone.now(),
    )
    back_in_time(asked, 5, "asked_at")
    signed = "Bank accounts that wait for a second operator"
    recovery = "Companies without an admin that wait for a second operator"

    assert queue_of(client_of(oscar), signed)[0] == 1
    assert "second operator" not in words(client_of(mina).get(reverse("ops:today")))
    mina.groups.add(Group.objects.get(name="Identity manager"))
    client = client_of(mina)
    assert queue_of(client, "Companies that ask for an admin") == (1, "5 hours")
    # The company's people can object for three days.
    assert queue_of(client, recovery) == (0, "")
    back_in_time(checked, 73, "asked_at")
    assert queue_of(client, recovery)[0] == 1
    lost = "Lost second factors that wait for a second person"
    vouched = FactorResetFactory(
        state="vouched", vouched_by=oscar, vouched_at=timezone.now(), evidence="Met."
    )
    assert queue_of(client, lost)[0] == 0
    back_in_time(vouched, 25, "asked_at")
    assert queue_of(client, lost)[0] == 1
    assert (
        f'href="{reverse("ops:recoveries")}"'
        in client.get(reverse("ops:today")).content.decode()
    )


def test_who_gives_second_approvals_alone_sees_what_waits_for_them(
    client_of, oscar, changed, another_waits
):
    aino = UserFactory(full_name="Aino Approver", operator=True)
    aino.groups.set(Group.objects.filter(name="Approver"))
    client = client_of(aino)
    assert queues.next_waiting(timezone.now(), by=aino) is None
    assert "Approver decide this" not in words(client.get(changed.url))

    approve(client_of(oscar), changed, "bank")

    assert queues.next_waiting(timezone.now(), by=aino).key == changed.enrollment.pk
    text = words(client.get(changed.url))
    assert "Give the second approval" in text
    assert "Confirm tax" not in text
    assert "A validator decides this." in text
    approve(client, changed, "bank", follow=True)
    assert changed.bank.versions.get(number=2).is_approved
    text = words(
        client.post(
            changed.confirm_url,
            form_values(client_of(oscar).get(changed.url), "tax"),
            follow=True,
        )
    )
    assert "group Validator decide this" in text


def test_today_leads_to_every_queue(client_of, oscar, waiting):
    response = client_of(oscar).get(reverse("ops:today"))

    for url in ("/ops/validation/", "/ops/validation/?overdue=on", "/ops/mail/"):
        assert f'href="{url}"' in response.content.decode()
    assert words(response).count("Start reviewing") == 1
    assert f'href="{waiting.url}">Start reviewing' in response.content.decode()


def test_who_does_not_validate_is_not_asked_to_review(client_of, mina, waiting):
    response = client_of(mina).get(reverse("ops:today"))

    assert "Start reviewing" not in words(response)


def test_a_closed_location_needs_nobody_who_can_enroll_it(
    client_of, mina, malmo, terms
):
    EnrollmentFactory(location=malmo, terms=terms)
    malmo.closed_at = timezone.now()
    malmo.save()

    queue = queue_of(client_of(mina), "Invited locations that nobody can enroll")

    assert queue == (0, "")


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (datetime.timedelta(0), "0 minutes"),
        (datetime.timedelta(minutes=1), "1 minute"),
        (datetime.timedelta(minutes=59, seconds=59), "59 minutes"),
        (datetime.timedelta(hours=1), "1 hour"),
        (datetime.timedelta(hours=71, minutes=59), "71 hours"),
        (datetime.timedelta(hours=72), "3 days"),
        (datetime.timedelta(minutes=-5), "0 minutes"),
    ],
)
def test_an_age_is_told_in_hours_as_long_as_the_promise_is_near(age, told):
    now = timezone.now()

    assert queues.age(now - age, now) == told


# --- Invitations ------------------------------------------------------------------------


def program_row(client, terms):
    response = client.get(reverse("ops:invitations"))
    (row,) = [row for row in response.context["programs"] if row.terms == terms]
    return row


def test_invitations_show_where_every_location_of_a_program_stands(
    client_of, mina, nordvik, terms, ida
):
    invited, uncovered, acting, validating, enrolled, declined, _left, _second = (
        LocationFactory.create_batch(8, partner_account=nordvik)
    )
    RoleAssignmentFactory(partner_account=nordvik, location=invited)
    RoleAssignmentFactory(partner_account=nordvik, location=acting)
    EnrollmentFactory(location=invited, terms=terms)
    EnrollmentFactory(location=uncovered, terms=terms)
    EnrollmentFactory(location=acting, terms=terms, status="action_required")
    EnrollmentFactory(location=validating, terms=terms, submitted=True)
    EnrollmentFactory(location=enrolled, terms=terms, complete=True)
    EnrollmentFactory(location=declined, terms=terms, status="declined")

    row = program_row(client_of(mina), terms)

    # Göteborg, two of the batch are left.
    assert row.to_invite == 3
    assert (row.invited, row.in_progress, row.enrolled) == (2, 2, 1)
    assert row.uncovered == 1


def test_the_button_says_how_many_will_be_invited(
    client_of, mina, goteborg, malmo, terms
):
    response = client_of(mina).get(reverse("ops:invitations"))

    assert "Plan a campaign : Cloud Solution Provider – Direct Bill" in words(response)


def test_a_planned_campaign_is_led_to_and_beside_a_draft_another_is_planned(
    client_of, mina, oscar, goteborg, ida, terms
):
    def next_step() -> tuple[str, list[str]]:
        page = client_of(mina).get(reverse("ops:invitations"))
        led_to = re.findall(r"/ops/campaigns/[-0-9a-f]{36}/", page.content.decode())
        return words(page), led_to

    campaign = services.plan_campaign(terms, by=mina)
    said, led_to = next_step()
    assert led_to == [campaign.get_absolute_url()]
    assert "Go on with the draft" in said
    assert "Plan another campaign" in said
    assert "Plan a campaign" not in said

    # Who may only look is led there, too, and plans nothing.
    looking = words(client_of(oscar).get(reverse("ops:invitations")))
    assert "Campaign: Draft" in looking
    assert "Plan another" not in looking

    client_of(mina).post(reverse("ops:plan_campaign", kwargs={"pk": terms.pk}))
    draft = Campaign.objects.unfinished().exclude(pk=campaign.pk).get()
    services.confirm_campaign(campaign, people=1, by=mina)
    # What is under way is told, and hides no draft.
    said, led_to = next_step()
    assert led_to == [campaign.get_absolute_url(), draft.get_absolute_url()]
    assert "Campaign: About to be sent" in said
    assert "Go on with the draft" in said
    assert "Plan another" not in said

    services.discard_campaign(draft, by=mina)
    assert next_step()[1] == [campaign.get_absolute_url()]
    run(campaign)
    delivered()
    assert run(campaign).status == CampaignStatus.FINISHED
    assert next_step()[1] == []


def test_kept_numbers_hide_no_button(
    client_of, mina, oscar, goteborg, terms, monkeypatch
):
    url = reverse("ops:invitations")
    EnrollmentFactory(location=goteborg, terms=terms)
    none, plan = "No one is waiting for an invitation.", "Plan a campaign"
    page = words(client_of(mina).get(url))
    assert none in page
    assert plan not in page
    bound(monkeypatch, "MANY", 0)
    client_of(mina).get(url)

    LocationFactory(partner_account=goteborg.partner_account)

    client = client_of(mina)
    assert program_row(client, terms).to_invite == 0
    page = words(client.get(url))
    assert "The numbers are as of" in page
    assert none not in page
    assert plan in page
    assert none in words(client_of(oscar).get(url))
    # Beside a draft another one can be planned, too.
    services.plan_campaign(terms, by=mina)
    assert "Plan another campaign" in words(client.get(url))


def test_who_is_to_be_invited_counts_among_many(
    client_of, mina, goteborg, malmo, terms, monkeypatch
):
    # A year begins: nobody is invited yet, and all of them are to be.
    bound(monkeypatch, "MANY", 1)
    url = reverse("ops:invitations")

    assert "The numbers are as of" in words(client_of(mina).get(url))

    bound(monkeypatch, "MANY", 2)
    caches["numbers"].clear()
    assert "The numbers are as of" not in words(client_of(mina).get(url))


def test_an_open_program_has_a_sentence_instead_of_a_button(
    client_of, mina, goteborg, program
):
    # R26
    ProgramTermsFactory(program=program, open_to_all=True)

    response = client_of(mina).get(reverse("ops:invitations"))

    assert "is open to all: partners find it in their Overview" in words(response)
    assert "<button" not in response.content.decode().partition("<main")[2]


def test_a_program_past_its_last_day_says_so(client_of, mina, goteborg, terms):
    terms.enroll_by = terms.today() - datetime.timedelta(days=1)
    terms.save()

    row = program_row(client_of(mina), terms)

    assert row.why_not.startswith("The last day to enroll in")
    assert row.to_invite == 0


def test_only_running_years_of_programs_on_offer_are_listed(
    client_of, mina, terms, program
):
    year = fiscal_number(timezone.localdate())
    ProgramTermsFactory(program=program, fiscal_year=FiscalYearFactory(number=year - 1))
    ProgramTermsFactory(program=program, fiscal_year=FiscalYearFactory(number=year + 1))
    ProgramTermsFactory(program=IncentiveProgramFactory(discontinued_at=timezone.now()))

    response = client_of(mina).get(reverse("ops:invitations"))

    assert [row.terms for row in response.context["programs"]] == [terms]


def test_a_year_runs_in_its_own_calendar_s_zone(db):
    # R66: at noon UTC on 30 June the new year has begun on Kiritimati, not in Hawaii.
    for code, zone in (("east", "Pacific/Kiritimati"), ("west", "Pacific/Honolulu")):
        calendar = FiscalCalendarFactory(code=code, time_zone=zone)
        for number in (2026, 2027):
            year = FiscalYearFactory(calendar=calendar, number=number)
            ProgramTermsFactory(
                program__code=f"{code.upper()}{number}", fiscal_year=year
            )
    noon = datetime.datetime(2026, 6, 30, 12, tzinfo=datetime.UTC)

    rows, _as_of = queues.program_invitations(noon)

    assert {row.terms.program.code for row in rows} == {"EAST2027", "WEST2026"}


def test_kept_numbers_end_with_the_day_of_each_program(goteborg, terms, monkeypatch):
    # R66: on Kiritimati the last day to enroll ends while it is still that day in UTC.
    zone, today = "Pacific/Kiritimati", timezone.localdate()
    terms.fiscal_year.calendar.time_zone = zone
    terms.fiscal_year.calendar.save()
    terms.enroll_by = today
    terms.save()
    midnight = datetime.datetime.combine(
        today + datetime.timedelta(days=1), datetime.time(), ZoneInfo(zone)
    ).astimezone(datetime.UTC)
    bound(monkeypatch, "MANY", -1)
    # So many programs that their keys are longer than a key of the cache can be.
    for number in range(14):
        ProgramTermsFactory(pk=10**17 + number, fiscal_year=terms.fiscal_year)

    def to_invite(seconds: int) -> int:
        at = midnight + datetime.timedelta(seconds=seconds)
        rows, _as_of = queues.program_invitations(at)
        return sum(row.to_invite for row in rows if row.terms == terms)

    assert (to_invite(-30), to_invite(20)) == (1, 0)


def test_without_any_program_the_page_says_what_to_do(client_of, mina):
    response = client_of(mina).get(reverse("ops:invitations"))

    assert "No program has terms for this fiscal year." in words(response)


def test_who_may_not_send_sees_the_numbers_and_who_can(
    client_of, oscar, goteborg, terms
):
    client = client_of(oscar)

    assert program_row(client, terms).to_invite == 1
    assert "A program manager can invite them." in words(
        client.get(reverse("ops:invitations"))
    )
    url = reverse("ops:plan_campaign", kwargs={"pk": terms.pk})
    assert client.post(url).status_code == 403


def test_the_invitations_page_asks_a_constant_number_of_queries(
    client_of, mina, terms, django_assert_max_num_queries, django_assert_num_queries
):
    EnrollmentFactory(terms=terms, status="expired", end_reason="not_answered")
    client = client_of(mina)
    url = reverse("ops:invitations")
    client.get(url)
    with django_assert_max_num_queries(15) as few:
        client.get(url)

    for _ in range(5):
        more = ProgramTermsFactory()
        RequirementFactory(terms=more)
        EnrollmentFactory(terms=more)
        EnrollmentFactory(terms=more, status="expired", end_reason="not_answered")

    with django_assert_num_queries(len(few)):
        client.get(url)


@shared
def lapsed(goteborg, terms):
    """Nobody answered Göteborg's invitation in time."""
    return EnrollmentFactory(
        location=goteborg, terms=terms, status="expired", end_reason="not_answered"
    )


def test_a_lapsed_invitation_is_listed_and_sent_anew(client_of, mina, lapsed, ida):
    # domain.md §10.4
    client = client_of(mina)
    page = words(client.get(reverse("ops:invitations")))
    assert "Nordvik IT AB · Göteborg" in page
    assert f"Invite anew : Göteborg, {PROGRAM}" in page

    response = client.post(
        reverse("ops:invite_anew", kwargs={"pk": lapsed.pk}), follow=True
    )

    assert response.redirect_chain == [(reverse("ops:invitations"), 302)]
    assert f"Göteborg is invited to {PROGRAM}, until 30 June" in words(response)
    assert "Not answered in time" not in words(response)
    assert OutgoingEmail.objects.addressed_to(ida).count() == 1


def test_of_many_lapsed_invitations_the_latest_are_counted_and_listed(
    client_of, mina, lapsed, malmo, terms, monkeypatch
):
    late = EnrollmentFactory(
        location=malmo, terms=terms, status="expired", end_reason="not_answered"
    )
    back_in_time(lapsed, 5, "status_since")
    path = reverse("ops:invitations")
    assert list(client_of(mina).get(path).context["lapsed"]) == [late, lapsed]
    assert "Not answered in time 2" in words(client_of(mina).get(path))

    monkeypatch.setattr(stretches, "MOST_PAGED", 1)

    page = client_of(mina).get(path)
    assert list(page.context["lapsed"]) == [late]
    assert "Not answered in time more than 1" in words(page)


def test_pressing_invite_anew_twice_invites_once(client_of, mina, lapsed, ida):
    url = reverse("ops:invite_anew", kwargs={"pk": lapsed.pk})

    for _press in range(2):
        client_of(mina).post(url)

    assert OutgoingEmail.objects.addressed_to(ida).count() == 1


def test_why_it_is_not_sent_anew_is_said(client_of, mina, lapsed):
    RequirementFactory(terms=lapsed.terms)

    response = client_of(mina).post(
        reverse("ops:invite_anew", kwargs={"pk": lapsed.pk}), follow=True
    )

    assert "Göteborg is closed or does not meet what" in words(response)


def test_what_cannot_be_sent_anew_is_not_listed(client_of, mina, lapsed, malmo):
    EnrollmentFactory(location=malmo, terms=lapsed.terms, status="declined")
    lapsed.terms.enroll_by = lapsed.terms.today() - datetime.timedelta(days=1)
    lapsed.terms.save()

    page = words(client_of(mina).get(reverse("ops:invitations")))

    assert "Not answered in time" not in page
    assert "Malmö" not in page


def test_who_may_not_send_sees_who_can_invite_anew(client_of, oscar, lapsed):
    client = client_of(oscar)

    page = words(client.get(reverse("ops:invitations")))
    url = reverse("ops:invite_anew", kwargs={"pk": lapsed.pk})

    assert "A program manager can invite it anew." in page
    assert client.post(url).status_code == 403


# --- The validation queue --------------------------------------------------------------------


def listed(client, **filters) -> list[str]:
    response = client.get(reverse("ops:validation"), filters)
    return [row.name for row in response.context["rows"]]


def test_the_queue_says_when_nothing_waits(client_of, oscar):
    response = client_of(oscar).get(reverse("ops:validation"))

    assert "Nothing waiting." in words(response)


def test_a_submitted_enrollment_waits_with_what_is_left_to_validate(
    client_of, oscar, waiting
):
    # R37
    response = client_of(oscar).get(reverse("ops:validation"))

    assert (
        "Nordvik IT AB Göteborg · 6120102 · SE Cloud Solution Provider – Direct Bill "
        "Bank Pending validation Tax Pending validation 0 minutes"
    ) in words(response)
    assert f'href="{waiting.url}"' in response.content.decode()


def test_the_parts_show_how_far_each_is(client_of, oscar, lucia, waiting, maria):
    (row,) = rows(oscar)
    assert [part.status.label for part in row.parts] == ["Pending validation"] * 2

    profile_services.approve_version(waiting.tax.versions.get(), by=oscar)
    (row,) = rows(oscar)
    assert [str(part.status.label) for part in row.parts] == [
        "Pending validation",
        "Validated",
    ]


def rows(user):
    keys = queues.validation_queue(timezone.now())
    return queues.waiting_rows(keys, at=timezone.now())


def test_an_approved_profile_is_confirmed_for_each_enrollment(
    client_of, oscar, waiting
):
    as_if_sent(
        BankProfileVersion.objects.all(),
        status="approved",
        decided_at=timezone.now(),
        approved_at=timezone.now(),
        decided_by=oscar,
    )

    (row,) = rows(oscar)

    assert [str(part.status.label) for part in row.parts] == [
        "To be confirmed",
        "Pending validation",
    ]


def test_a_profile_that_no_waiting_enrollment_uses_waits_by_itself(
    client_of, oscar, nordvik, goteborg, maria
):
    bank = BankProfileFactory(
        partner_account=nordvik, name="New account", version__pending=True
    )
    tax = TaxProfileFactory(location=goteborg, name="New form", version__pending=True)

    response = client_of(oscar).get(reverse("ops:validation"))

    for name, profile in (("bank", bank), ("tax", tax)):
        version = profile.versions.get()
        url = reverse(f"ops:{name}_version", kwargs={"pk": version.pk})
        assert f'href="{url}"' in response.content.decode()
    assert words(response).count("not used by an enrollment that waits") == 2


def test_a_profile_is_not_listed_beside_the_enrollment_that_uses_it(
    client_of, oscar, waiting
):
    assert listed(client_of(oscar)) == ["Cloud Solution Provider – Direct Bill"]


def test_a_profile_of_an_enrollment_that_waits_for_the_partner_is_listed(
    client_of, oscar, lucia, waiting
):
    """The bank was returned; the tax profile is still to be decided."""
    profile_services.return_version(
        waiting.bank.versions.get(),
        returned=[
            {"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}
        ],
        by=lucia,
    )

    assert listed(client_of(oscar)) == ["Nordvik SE"]


def test_archived_profiles_do_not_wait(client_of, oscar, nordvik, maria):
    profile = BankProfileFactory(partner_account=nordvik, version__pending=True)
    BankProfile.objects.filter(pk=profile.pk).update(
        archived_at=timezone.now(), archived_by=maria
    )

    assert listed(client_of(oscar)) == []


def test_the_queue_is_oldest_first_with_overdue_on_top(
    client_of, oscar, waiting, nordvik, goteborg
):
    # R43
    bank = BankProfileFactory(
        partner_account=nordvik,
        name="Oldest account",
        version__pending=True,
        version__submitted_at=timezone.now() - 60 * HOUR,
    )
    TaxProfileFactory(
        location=goteborg,
        name="Newest form",
        version__pending=True,
        version__submitted_at=timezone.now() - 1 * HOUR,
    )
    back_in_time(waiting.enrollment, 49, "status_since")

    client = client_of(oscar)
    response = client.get(reverse("ops:validation"))

    assert listed(client) == [
        "Oldest account",
        "Cloud Solution Provider – Direct Bill",
        "Newest form",
    ]
    assert [row.is_overdue for row in response.context["rows"]] == [True, True, False]
    assert words(response).count("Overdue") == 3  # two rows and the filter's label
    # It stays pending; it is not approved by itself.
    assert bank.versions.get().is_pending


@pytest.fixture
def mixed(nordvik, goteborg, malmo, terms, maria, waiting, another_waits):
    """A queue with a bit of everything: two enrollments, three profiles."""
    german = PartnerAccountFactory(name="Hanseatic GmbH", country="DE")
    BankProfileFactory(
        partner_account=german, name="German account", version__pending=True
    )
    TaxProfileFactory(
        location=LocationFactory(partner_account=german, country="NL"),
        name="Dutch form",
        version__pending=True,
    )
    BankProfileFactory(
        partner_account=nordvik,
        name="Late account",
        version__pending=True,
        version__submitted_at=timezone.now() - 60 * HOUR,
    )


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["Late account", PROGRAM, PROGRAM, "German account", "Dutch form"]),
        ({"part": "bank"}, ["Late account", PROGRAM, PROGRAM, "German account"]),
        ({"part": "tax"}, [PROGRAM, PROGRAM, "Dutch form"]),
        ({"country": "NL"}, ["Dutch form"]),
        ({"country": "DE"}, ["German account"]),
        ({"overdue": "on"}, ["Late account"]),
        ({"overdue": "on", "part": "tax"}, []),
        ({"part": "bank", "country": "SE"}, ["Late account", PROGRAM, PROGRAM]),
        # Nonsense chooses nothing.
        (
            {"part": "shoe"},
            ["Late account", PROGRAM, PROGRAM, "German account", "Dutch form"],
        ),
    ],
)
def test_filters_in_the_address_narrow_the_queue(
    client_of, oscar, mixed, filters, names
):
    assert sorted(listed(client_of(oscar), **filters)) == sorted(names)


def test_a_part_that_is_validated_is_not_waited_for(
    client_of, oscar, waiting, another_waits
):
    profile_services.approve_version(waiting.tax.versions.get(), by=oscar)
    for version in another_waits.location.tax_profiles.get().versions.all():
        another_waits.payout_assignments.update(tax_version=version)

    assert len(listed(client_of(oscar), part="tax")) == 0
    assert len(listed(client_of(oscar), part="bank")) == 2


def test_only_countries_in_the_queue_can_be_chosen(client_of, oscar, mixed):
    response = client_of(oscar).get(reverse("ops:validation"))

    choices = response.context["filter"].fields["country"].choices
    assert [code for code, _label in choices] == ["", "DE", "NL", "SE"]


def test_an_empty_answer_offers_to_clear_the_filter(client_of, oscar, waiting):
    response = client_of(oscar).get(reverse("ops:validation"), {"overdue": "on"})

    assert "Nothing that waits matches the filter. Clear the filter" in words(response)


def test_a_long_queue_has_pages_that_keep_the_filter(client_of, oscar, nordvik):
    for number in range(30):
        BankProfileFactory(
            partner_account=nordvik,
            name=f"Account {number:02}",
            version__pending=True,
            version__submitted_at=timezone.now() - number * HOUR,
        )
    client = client_of(oscar)
    url = reverse("ops:validation")

    response = client.get(url, {"part": "bank"})
    first = response.context
    second = client.get(url + first["page"].next).context
    back = client.get(url + second["page"].previous).context

    assert [len(page["rows"]) for page in (first, second, back)] == [25, 5, 25]
    assert first["rows"][0].name == back["rows"][0].name == "Account 29"
    assert second["rows"][-1].name == "Account 00"
    assert "?part=bank&amp;after=" in response.content.decode()


@shared
def asked(nordvik):
    """The oldest account of all, of which the partner is asked."""
    return BankProfileFactory(
        partner_account=nordvik,
        name="Asked account",
        version__pending=True,
        version__submitted_at=timezone.now() - 90 * HOUR,
        version__asked_at=timezone.now() - 80 * HOUR,
    )


def test_the_queue_goes_on_from_a_row_through_all_that_waits(
    client_of, oscar, mixed, asked, monkeypatch
):
    monkeypatch.setattr("enrollment.ops.ROWS_PER_PAGE", 1)
    client, url = client_of(oscar), reverse("ops:validation")
    pages = [client.get(url).context]
    while there := pages[-1]["page"].next:
        pages.append(client.get(url + there).context)
    back = [pages[-1]]
    while there := back[-1]["page"].previous:
        back.append(client.get(url + there).context)

    keys = [page["rows"][0].key for page in pages]
    assert keys == [key for key, *_ in queues.validation_queue(timezone.now())]
    assert len(keys) == 6
    assert pages[-1]["rows"][0].name == "Asked account"
    assert [page["rows"][0].key for page in back] == keys[::-1]


def test_the_queue_goes_on_from_where_a_row_was_that_is_decided(
    client_of, oscar, mixed, monkeypatch
):
    monkeypatch.setattr("enrollment.ops.ROWS_PER_PAGE", 1)
    client, url = client_of(oscar), reverse("ops:validation")
    before = listed(client)
    there = client.get(url).context["page"].next
    second = client.get(url + there).context["rows"][0].key
    BankProfile.objects.filter(name="Late account").update(
        archived_at=timezone.now(), archived_by=oscar
    )

    assert before == ["Late account"]
    assert client.get(url + there).context["rows"][0].key == second
    for nonsense in ("after=7", "after=1.2.3", "before=0.99999999999999999999.x"):
        assert client.get(f"{url}?{nonsense}").context["rows"][0].key == second


def test_of_very_many_it_is_said_that_they_are_more(
    client_of, oscar, mixed, monkeypatch
):
    # Nobody needs to know whether 40 000 wait or 41 000, and counting them takes long.
    bound(monkeypatch, "MOST_WAITING", 4)
    monkeypatch.setattr(ops, "ROWS_PER_PAGE", 4)
    client = client_of(oscar)

    page = client.get(reverse("ops:validation"))
    narrowed = client.get(reverse("ops:validation"), {"part": "tax"})
    dutch = client.get(reverse("ops:validation"), {"country": "NL"}).content.decode()
    today = client.get(reverse("ops:today"))

    assert "More than 4 wait, oldest first" in words(page)
    countries = dict(page.context["filter"].fields["country"].choices)
    assert {"DE", "NL", "SE", "FI"} <= set(countries)
    assert re.findall(r'value="(\w+)" selected', dutch) == ["NL"]
    # The number is a kept one; what a filter leaves is counted now.
    assert "The numbers are as of" in words(page)
    assert "The numbers are as of" not in words(narrowed)
    assert "3 wait, oldest first" in words(narrowed)
    assert "Waiting for validation more than 4 60 hours" in words(today)
    assert "Overdue for validation 1 60 hours" in words(today)


def test_what_is_to_be_invited_is_counted_by_program_where_locations_are_many(
    client_of, mina, terms, goteborg, monkeypatch
):
    RequirementFactory(terms=terms)
    bound(monkeypatch, "MOST_ASKED", 0)

    today = client_of(mina).get(reverse("ops:today"))

    assert "Eligible locations to invite by program –" in words(today)
    assert "Queues are empty." not in words(today)


def test_today_asks_a_constant_number_of_queries(
    client_of,
    oscar,
    mixed,
    asked,
    django_assert_num_queries,
    django_assert_max_num_queries,
):
    client = client_of(oscar)
    url = reverse("ops:today")
    client.get(url)
    with django_assert_max_num_queries(15) as few:
        client.get(url)

    for _ in range(4):
        BankProfileFactory(version__pending=True)
        TaxProfileFactory(version__pending=True)
        EnrollmentFactory(submitted=True)

    with django_assert_num_queries(len(few)):
        client.get(url)


def test_the_queue_asks_a_constant_number_of_queries(
    client_of,
    oscar,
    mixed,
    nordvik,
    terms,
    django_assert_num_queries,
    django_assert_max_num_queries,
):
    client = client_of(oscar)
    url = reverse("ops:validation")
    with django_assert_max_num_queries(15) as few:
        client.get(url)

    for _ in range(4):
        location = LocationFactory(partner_account=nordvik)
        BankProfileFactory(partner_account=nordvik, version__pending=True)
        TaxProfileFactory(location=location, version__pending=True)
        EnrollmentFactory(
            location=location,
            terms=terms,
            submitted=True,
            payout__bank_profile=BankProfileFactory(partner_account=nordvik),
            payout__tax_profile=TaxProfileFactory(location=location),
            payout__currency="SEK",
        )

    with django_assert_num_queries(len(few)):
        client.get(url)


def test_the_queue_never_opens_sealed_details(client_of, oscar, mixed, monkeypatch):
    # security.md: what a list does not show, it does not decrypt.
    opened = []
    for model in (BankProfileVersion, TaxProfileVersion):
        field = model._meta.get_field("details")
        monkeypatch.setattr(
            type(field), "from_db_value", lambda *args: opened.append(args)
        )

    client_of(oscar).get(reverse("ops:validation"))

    assert opened == []


# --- One enrollment ------------------------------------------------------------------------


def test_the_page_shows_both_panels_with_what_was_sent(client_of, oscar, waiting):
    text = words(client_of(oscar).get(waiting.url))

    assert "Nordvik IT AB · Göteborg" in text
    assert "Submitted by Ida Lund" in text
    assert waiting.enrollment.reference in text
    for shown in (
        "Nordvik SEK main, version 1",
        "Account holder, exactly as the bank has it Nordvik IT AB",
        "Sweden The program pays to banks everywhere.",
        "SEK The program pays in EUR, USD and the bank's own currency.",
        "Nordvik SE, version 1",
        "Sent Maria Petersson",
        "This program pays to banks in Sweden.",
        "This program and the bank accept the currency.",
        "Every detail that this program asks for is there.",
    ):
        assert shown in text


def test_numbers_are_masked_to_their_end(client_of, oscar, waiting):
    # R59
    content = client_of(oscar).get(waiting.url).content.decode()

    assert IBAN not in content
    assert "5599990669" not in content
    assert "ending in 0003" in content


def test_what_the_program_does_not_accept_is_pointed_out(client_of, oscar, waiting):
    terms = waiting.enrollment.terms
    type(terms).objects.filter(pk=terms.pk).update(
        bank_countries=["NO"],
        currencies=["NOK"],
        pays_local_currency=False,
        required_tax_details=["vat_number"],
    )

    text = words(client_of(oscar).get(waiting.url))

    assert "The program pays to banks in Norway." in text
    assert "The program pays in NOK." in text
    assert "Look twice: This program cannot pay to banks in Sweden." in text
    assert "Look twice: This program or the bank does not accept the currency." in text
    assert "Look twice: Details that this program asks for are missing." in text


def test_countries_that_are_not_paid_to_are_named(client_of, oscar, waiting):
    terms = waiting.enrollment.terms
    type(terms).objects.filter(pk=terms.pk).update(
        bank_countries_refused=["BR"], currencies=[]
    )

    text = words(client_of(oscar).get(waiting.url))

    assert "The program pays to banks everywhere but in Brazil." in text
    assert "The program pays in the bank's own currency." in text


def test_earning_types_with_profiles_of_their_own_are_told_apart(
    client_of, oscar, goteborg, program, nordvik, maria
):
    AgreementFactory(partner_account=nordvik)
    terms = ProgramTermsFactory(
        program=program, earning_types=[("rebate", 60), ("co_op", 40)]
    )
    main, second = BankProfileFactory.create_batch(
        2, partner_account=nordvik, created_by=maria
    )
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        payout__bank_profile=main,
        payout__tax_profile=TaxProfileFactory(location=goteborg),
        payout__currency="SEK",
    )
    enrollment.payout_assignments.filter(earning_type__kind="co_op").update(
        bank_profile=second
    )

    response = client_of(oscar).get(
        reverse("ops:enrollment", kwargs={"pk": enrollment.pk})
    )

    bank, tax = response.context["review"].parts
    assert [row.earning_types for row in bank.versions] == [["Rebate"], ["Co-op"]]
    assert [row.earning_types for row in tax.versions] == [["Rebate", "Co-op"]]
    # One decision about both accounts.
    assert len(bank.seen) == 2


def test_the_history_tells_every_step_newest_first(client_of, oscar, waiting, ida):
    for code, hours in (("submitted", 1), ("invited", 3), ("accepted", 2)):
        EnrollmentEvent.objects.create(
            enrollment=waiting.enrollment,
            code=code,
            from_status="",
            to_status="invited",
            by=ida,
            at=timezone.now() - hours * HOUR,
        )

    response = client_of(oscar).get(waiting.url)

    events = [event.code for event in response.context["review"].events]
    assert events == ["submitted", "accepted", "invited"]


def test_an_overdue_enrollment_says_what_was_promised(client_of, oscar, waiting):
    # R43
    back_in_time(waiting.enrollment, 49, "status_since")

    assert "Overdue An answer was promised by" in words(
        client_of(oscar).get(waiting.url)
    )


def test_approving_both_parts_completes_the_enrollment(client_of, oscar, waiting):
    # R39, R40
    client = client_of(oscar)

    half = approve(client, waiting, "bank", follow=True)
    waiting.enrollment.refresh_from_db()
    assert waiting.enrollment.is_validating
    assert "The bank profile is validated. The tax profile is left." in words(half)

    whole = approve(client, waiting, "tax", follow=True)
    waiting.enrollment.refresh_from_db()
    assert waiting.enrollment.is_enrolled
    assert waiting.enrollment.enrolled_at is not None
    assert f"Göteborg is enrolled in {PROGRAM}." in words(whole)
    assert waiting.bank.versions.get().is_approved
    assert waiting.tax.versions.get().is_approved


def test_parts_can_be_approved_in_any_order(client_of, oscar, waiting):
    client = client_of(oscar)

    half = approve(client, waiting, "tax", follow=True)
    assert "The tax profile is validated. The bank profile is left." in words(half)

    approve(client, waiting, "bank")
    waiting.enrollment.refresh_from_db()
    assert waiting.enrollment.is_enrolled


def test_validated_parts_say_by_whom(client_of, oscar, lucia, waiting):
    approve(client_of(oscar), waiting, "bank")
    approve(client_of(lucia), waiting, "tax")

    text = words(client_of(oscar).get(waiting.url))

    assert "Validated by Oscar Sand" in text
    assert "Validated by Lucia Ferrer" in text
    history = [
        (event.code, event.by)
        for event in waiting.enrollment.events.order_by("at", "pk")
    ]
    assert history == [
        ("bank_confirmed", oscar),
        ("tax_confirmed", lucia),
        ("enrolled", lucia),
    ]


def test_the_last_part_offers_to_go_on_with_the_next(
    client_of, oscar, waiting, another_waits
):
    client = client_of(oscar)
    first = client.get(waiting.url)
    assert "and next" not in words(first)
    approve(client, waiting, "bank")
    assert buttons(client.get(waiting.url)) == [
        ("Approve tax", True),
        ("Approve tax and next", False),
    ]

    response = approve(client, waiting, "tax", and_next="on", follow=True)

    url = reverse("ops:enrollment", kwargs={"pk": another_waits.pk})
    assert response.redirect_chain == [(url, 302)]
    assert f"Göteborg is enrolled in {PROGRAM}." in words(response)
    assert "Nordvik IT AB · Malmö" in words(response)


def test_a_button_says_what_it_does(client_of, oscar, lucia, changed):
    # A change in force takes two; an approved profile is only confirmed.
    assert buttons(client_of(oscar).get(changed.url)) == [
        ("Give the first approval", True),
        ("Confirm tax", False),
    ]
    approve(client_of(oscar), changed, "tax")
    assert buttons(client_of(oscar).get(changed.url)) == [
        ("Give the first approval", True),
        ("Give the first approval and next", False),
    ]
    approve(client_of(oscar), changed, "bank")
    assert buttons(client_of(lucia).get(changed.url)) == [
        ("Give the second approval", True),
        ("Give the second approval and next", False),
    ]


def test_a_profile_approved_before_is_confirmed_by_its_button(
    client_of, oscar, waiting
):
    profile_services.approve_version(waiting.tax.versions.get(), by=oscar)
    PayoutAssignment.objects.update(tax_version=None)
    assert buttons(client_of(oscar).get(waiting.url)) == [
        ("Approve bank", True),
        ("Confirm tax", False),
    ]


def test_a_version_that_waits_says_since_when(client_of, oscar, changed):
    version = changed.bank.versions.get(number=2)
    as_if_sent(
        changed.bank.versions.filter(pk=version.pk),
        submitted_at=timezone.now() - 30 * HOUR,
    )
    version.refresh_from_db()
    said = f"Waiting since {moment(version.submitted_at)} ({ago(version.submitted_at)})"

    text = words(client_of(oscar).get(changed.url))

    assert said in text
    # The tax profile is approved.
    assert text.count("Waiting since") == 1


def test_the_history_names_the_version_of_the_agreement(client_of, oscar, waiting, ida):
    EnrollmentEvent.objects.create(
        enrollment=waiting.enrollment,
        code="accepted",
        from_status="invited",
        to_status="action_required",
        by=ida,
        note="1",
        at=timezone.now(),
    )
    text = words(client_of(oscar).get(waiting.url))
    assert "Invitation accepted: agreement version 1 " in text


# --- Returning what is in force ---------------------------------------------------------------


def version_page(part: str, version) -> str:
    return reverse(f"ops:{part}_version", kwargs={"pk": version.pk})


@pytest.mark.parametrize("others", [0, 1, 10])
def test_who_returns_a_version_in_force_reads_whom_it_holds_up(
    client_of, lucia, oscar, waiting, nordvik, others
):
    for part in ("bank", "tax"):
        approve(client_of(oscar), waiting, part)
    for number in range(others):
        EnrollmentFactory(
            location=LocationFactory(partner_account=nordvik, name=f"Plats {number}"),
            terms=waiting.enrollment.terms,
            complete=True,
            payout__bank_profile=waiting.bank,
        )
    # It waits for the partner already.
    EnrollmentFactory(
        location=LocationFactory(partner_account=nordvik, name="Kalmar"),
        terms=waiting.enrollment.terms,
        submitted=True,
        status="action_required",
        payout__bank_profile=waiting.bank,
    )
    page = client_of(lucia).get(version_page("bank", waiting.bank.versions.get()))

    text = words(page)
    told, _sign, _after = text.partition("What is wrong")
    said = {
        0: "1 enrollment uses it and goes to Action required:",
        1: "2 enrollments use it and go to Action required:",
        10: "11 enrollments use it and go to Action required:",
    }[others]
    assert f"{said} {PROGRAM}, Göteborg" in told
    assert told.count(f"{PROGRAM}, ") == min(others + 1, 10)
    assert ("and 1 more" in told) == (others == 10)
    assert "Kalmar" not in text


def test_a_version_in_force_that_nothing_uses_holds_up_nobody(
    client_of, oscar, nordvik, maria
):
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    text = words(client_of(oscar).get(version_page("bank", bank.versions.get())))
    assert "No enrollment uses it now." in text


def test_a_version_under_review_names_no_enrollments(client_of, oscar, waiting):
    text = words(
        client_of(oscar).get(version_page("bank", waiting.bank.versions.get()))
    )
    assert "Action required" not in text
    assert "No enrollment uses it now." not in text


@pytest.mark.parametrize("part", ["bank", "tax"])
def test_the_reasons_of_a_closed_list_name_their_field(client_of, oscar, waiting, part):
    version = getattr(waiting, part).versions.get()
    content = client_of(oscar).get(version_page(part, version)).content.decode()
    options = re.findall(r'<option value="(\w+):OTHER">([^<]+)</option>', content)
    assert len(options) > 3
    texts = [text for _field, text in options]
    assert len(set(texts)) == len(set(options))
    assert all(text.endswith(": Something else") for text in texts)
    # Banks are asked for no document.
    assert ("document:" in content) == (part == "tax")


def test_when_nothing_else_waits_the_queue_is_shown(client_of, oscar, waiting):
    client = client_of(oscar)
    approve(client, waiting, "bank")

    response = approve(client, waiting, "tax", and_next="on", follow=True)

    assert response.redirect_chain == [(reverse("ops:validation"), 302)]
    assert "Nothing waiting." in words(response)


def test_a_decided_enrollment_leads_to_the_next_in_the_queue(
    client_of, oscar, waiting, another_waits
):
    client = client_of(oscar)
    approve(client, waiting, "bank")
    approve(client, waiting, "tax", follow=True)

    response = client.get(waiting.url)

    url = reverse("ops:enrollment", kwargs={"pk": another_waits.pk})
    assert f'href="{url}">Next in the queue' in response.content.decode()
    assert "<form" not in response.content.decode().partition("<main")[2]


def test_when_all_is_decided_the_page_says_that_nothing_else_waits(
    client_of, oscar, waiting
):
    client = client_of(oscar)
    approve(client, waiting, "bank")
    approve(client, waiting, "tax", follow=True)

    assert "Nothing else is waiting." in words(client.get(waiting.url))


def test_approving_leads_on_to_returning_with_reasons(client_of, oscar, waiting):
    content = client_of(oscar).get(waiting.url).content.decode()

    for name, profile in (("bank", waiting.bank), ("tax", waiting.tax)):
        version = profile.versions.get()
        url = reverse(f"ops:{name}_version", kwargs={"pk": version.pk})
        assert f'href="{url}#return"' in content


# --- Four eyes -------------------------------------------------------------------------------


def test_who_submitted_does_not_decide(client_of, oscar, waiting):
    # Rule 78
    Enrollment.objects.filter(pk=waiting.enrollment.pk).update(submitted_by=oscar)
    client = client_of(oscar)

    page = client.get(waiting.url)
    assert words(page).count("You submitted this. Somebody else has to decide it.") == 2
    assert "<form" not in page.content.decode().partition("<main")[2]

    values = {"part": "bank", "seen": waiting.bank.versions.get().pk}
    response = client.post(waiting.confirm_url, values, follow=True)
    assert words(response).count("You submitted this. Somebody else has to") == 3
    assert waiting.bank.versions.get().is_pending


def test_who_sent_the_profile_does_not_validate_it(
    client_of, oscar, goteborg, terms, nordvik
):
    # Rule 78: one of the two parts is theirs.
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        payout__bank_profile=BankProfileFactory(
            partner_account=nordvik, created_by=oscar, version__pending=True
        ),
        payout__tax_profile=TaxProfileFactory(location=goteborg, version__pending=True),
        payout__currency="SEK",
    )
    url = reverse("ops:enrollment", kwargs={"pk": enrollment.pk})

    bank, tax = client_of(oscar).get(url).context["review"].parts

    assert not bank.action
    assert str(bank.sentence).startswith("You submitted this.")
    assert tax.action.label == "Approve tax"


@shared
def changed(goteborg, terms, nordvik, maria, ida):
    """The account in force is changed: version 2 waits beside version 1."""
    bank = BankProfileFactory(
        partner_account=nordvik, name="Nordvik SEK main", created_by=maria
    )
    BankVersionFactory(
        profile=bank,
        number=2,
        pending=True,
        submitted_by=maria,
        usable_from=timezone.now(),
        details=dict(BANK_DETAILS, iban=OTHER_IBAN, street="Hamngatan 4"),
    )
    tax = TaxProfileFactory(location=goteborg, created_by=maria)
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        submitted_by=ida,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__currency="SEK",
    )
    return SimpleNamespace(
        enrollment=enrollment,
        bank=bank,
        tax=tax,
        url=reverse("ops:enrollment", kwargs={"pk": enrollment.pk}),
        confirm_url=reverse("ops:confirm", kwargs={"pk": enrollment.pk}),
    )


def test_a_change_is_shown_against_the_version_in_force(client_of, oscar, changed):
    response = client_of(oscar).get(changed.url)
    text = words(response)

    assert "Changed since version 1, which is in force" in text
    assert "Street address Storgatan 1 Hamngatan 4" in text
    assert "IBAN •••• 0003 ending in 0003 •••• 7466 ending in 7466" in text
    assert OTHER_IBAN not in response.content.decode()


def test_a_new_version_that_changes_nothing_says_so(client_of, oscar, changed):
    version = changed.bank.versions.get(number=2)
    version.details = dict(BANK_DETAILS)
    as_if_sent(
        changed.bank.versions.filter(pk=version.pk),
        details=version.__dict__["details"],
    )

    text = words(client_of(oscar).get(changed.url))

    assert "Nothing differs from version 1, which is in force." in text


def test_a_change_of_an_account_in_force_takes_two_operators(
    client_of, oscar, lucia, changed
):
    # domain.md §10.7
    first = client_of(oscar)
    assert "two operators have to approve it" in words(first.get(changed.url))
    assert "Give the first approval" in words(first.get(changed.url))

    response = approve(first, changed, "bank", follow=True)

    text = words(response)
    assert "Another operator has to approve it too." in text
    assert "You gave the first approval." in text
    assert "First approval Oscar Sand" in text
    assert "Second approval needed" in text
    changed.enrollment.refresh_from_db()
    assert changed.enrollment.is_validating
    assert changed.bank.versions.get(number=2).is_pending

    second = client_of(lucia)
    assert "Oscar Sand gave the first approval. Yours is the second" in words(
        second.get(changed.url)
    )
    approve(second, changed, "bank")
    assert changed.bank.versions.get(number=2).is_approved
    assert changed.bank.versions.get(number=1).status == "replaced"


def test_the_first_operator_cannot_give_the_second_approval_by_a_direct_post(
    client_of, oscar, changed
):
    client = client_of(oscar)
    approve(client, changed, "bank", follow=True)

    values = {"part": "bank", "seen": changed.bank.versions.get(number=2).pk}
    response = client.post(changed.confirm_url, values, follow=True)

    assert "needs a second operator" in words(response)
    assert "Choose what to approve" not in words(response)
    assert changed.bank.versions.get(number=2).is_pending


def test_the_queue_says_that_a_second_approval_is_needed(client_of, oscar, changed):
    approve(client_of(oscar), changed, "bank")

    (row,) = rows(oscar)

    assert [str(part.status.label) for part in row.parts] == [
        "Second approval needed",
        "To be confirmed",
    ]


def test_what_waits_for_a_second_operator_is_not_next_for_the_first(
    client_of, oscar, lucia, changed, another_waits
):
    back_in_time(changed.enrollment, 20, "status_since")
    now = timezone.now()
    approve(client_of(oscar), changed, "bank")
    # The tax part is still his to confirm.
    assert queues.next_waiting(now, by=oscar).key == changed.enrollment.pk

    approve(client_of(oscar), changed, "tax")

    assert queues.next_waiting(now, by=oscar).key == another_waits.pk
    assert queues.next_waiting(now, by=lucia).key == changed.enrollment.pk
    # The list itself hides nothing.
    assert len(rows(oscar)) == 2


def test_a_profile_by_itself_that_he_seconded_is_not_next_for_him(
    oscar, lucia, changed
):
    Enrollment.objects.filter(pk=changed.enrollment.pk).update(
        status="invited",
    )
    version = changed.bank.versions.get(number=2)
    profile_services.approve_version(version, by=oscar)
    now = timezone.now()

    assert queues.next_waiting(now, by=oscar) is None
    assert queues.next_waiting(now, by=lucia).key == version.pk


# --- Somebody else was faster ------------------------------------------------------------------


def test_a_late_decision_shows_the_other_s(client_of, oscar, lucia, waiting):
    values = form_values(client_of(oscar).get(waiting.url), "tax")
    approve(client_of(lucia), waiting, "bank")
    approve(client_of(lucia), waiting, "tax")

    response = client_of(oscar).post(waiting.confirm_url, values, follow=True)

    text = words(response)
    assert response.status_code == 200
    assert "This enrollment is not waiting for validation any more: Enrolled." in text
    assert text.count("Validated by Lucia Ferrer") == 2
    assert "Validated by Oscar Sand" not in text


def test_approving_what_another_approved_meanwhile_changes_nothing(
    client_of, oscar, lucia, waiting
):
    values = form_values(client_of(oscar).get(waiting.url), "bank")
    approve(client_of(lucia), waiting, "bank")

    response = client_of(oscar).post(waiting.confirm_url, values, follow=True)

    assert "Validated by Lucia Ferrer" in words(response)
    event = waiting.enrollment.events.get(code="bank_confirmed")
    assert f"Lucia Ferrer already decided this, {moment(event.at)}." in words(response)
    assert "The bank profile is validated." not in words(response)
    events = EnrollmentEvent.objects.filter(code="bank_confirmed")
    assert [event.by for event in events] == [lucia]


def test_a_version_nobody_looked_at_is_not_approved(client_of, oscar, waiting, maria):
    client = client_of(oscar)
    values = form_values(client.get(waiting.url), "bank")
    waiting.bank.versions.update(status="replaced")
    newer = BankVersionFactory(
        profile=waiting.bank,
        number=2,
        pending=True,
        submitted_by=maria,
        details=dict(BANK_DETAILS, iban=OTHER_IBAN),
    )

    response = client.post(waiting.confirm_url, values, follow=True)

    assert "The partner changed this meanwhile. Look at what is here now." in words(
        response
    )
    newer.refresh_from_db()
    assert newer.is_pending
    assert "Nordvik SEK main, version 2" in words(response)


def test_a_submission_that_was_recalled_cannot_be_approved(
    client_of, oscar, waiting, ida
):
    client = client_of(oscar)
    values = form_values(client.get(waiting.url), "bank")
    services.recall_enrollment(waiting.enrollment, by=ida)

    response = client.post(waiting.confirm_url, values, follow=True)

    assert "not waiting for validation any more: Action required." in words(response)
    assert "The partner has not submitted this enrollment." in words(response)
    assert waiting.bank.versions.get().is_pending


def test_a_tax_profile_that_expired_meanwhile_sends_it_back_to_the_partner(
    client_of, oscar, waiting, maria
):
    # R54
    TaxVersionFactory(
        profile=TaxProfileFactory(
            location=waiting.enrollment.location, version=False, created_by=maria
        )
    )
    as_if_sent(
        waiting.tax.versions.all(),
        expires_on=timezone.localdate() - datetime.timedelta(days=1),
    )

    response = approve(client_of(oscar), waiting, "bank", follow=True)

    waiting.enrollment.refresh_from_db()
    assert waiting.enrollment.is_action_required
    assert "Göteborg needs the partner again: Action required." in words(response)


def decide_at_once(waiting, oscar, lucia, monkeypatch) -> list:
    """Oscar confirms on the enrollment's page, Lucia approves on the profile's."""
    barrier = threading.Barrier(2)
    # Each holds one lock here and is about to ask for the other's.
    meet(monkeypatch, enrollments, "_versions_used", barrier)
    meet(monkeypatch, deciding, "refuse_own", barrier)
    version = waiting.bank.versions.get()
    return at_once(
        lambda: services.confirm_payout(waiting.enrollment, part="bank", by=oscar),
        lambda: profile_services.approve_version(version, by=lucia),
    )


@pytest.mark.django_db(transaction=True)
def test_two_operators_on_two_pages_at_once_both_get_an_answer(
    waiting, oscar, lucia, monkeypatch
):
    outcomes = decide_at_once(waiting, oscar, lucia, monkeypatch)

    assert not [error for error in outcomes if isinstance(error, Exception)]
    assert waiting.bank.versions.get().is_approved
    assert EnrollmentEvent.objects.filter(code="bank_confirmed").count() == 1


@pytest.mark.django_db(transaction=True)
def test_locking_the_enrollment_first_would_lock_two_operators_up(
    waiting, oscar, lucia, monkeypatch
):
    """The control of the test above."""
    for module in modules_with("lock_companies"):
        monkeypatch.setattr(module, "lock_companies", lambda *keys: None)
    replace_in_steps(monkeypatch, "lock_companies", lambda *keys: None)

    outcomes = decide_at_once(waiting, oscar, lucia, monkeypatch)

    assert [error for error in outcomes if isinstance(error, OperationalError)]


@pytest.mark.parametrize(
    "values",
    [{}, {"part": "shoe"}, {"part": "bank"}, {"part": "bank", "seen": "no-version"}],
)
def test_a_form_that_makes_no_sense_changes_nothing(client_of, oscar, waiting, values):
    response = client_of(oscar).post(waiting.confirm_url, values, follow=True)

    assert "Choose what to approve: bank or tax." in words(response)
    assert waiting.bank.versions.get().is_pending
    assert waiting.tax.versions.get().is_pending


# --- Who may ------------------------------------------------------------------------------------


def test_a_reader_sees_where_it_stands_but_no_details_and_no_button(
    client_of, reader, waiting
):
    response = client_of(reader).get(waiting.url)
    text = words(response)

    assert text.count("A validator decides this.") == 2
    assert "Pending validation" in text
    assert "0003" not in text
    assert "Account holder" not in text
    assert "<form" not in response.content.decode().partition("<main")[2]


def test_a_reader_is_not_led_to_pages_that_refuse_them(
    client_of, reader, waiting, nordvik
):
    profile = BankProfileFactory(partner_account=nordvik, version__pending=True)
    version_url = reverse("ops:bank_version", kwargs={"pk": profile.versions.get().pk})
    client = client_of(reader)

    queue = client.get(reverse("ops:validation")).content.decode()
    page = client.get(waiting.url).content.decode()

    assert waiting.url in queue
    assert version_url not in queue
    assert "/ops/validation/bank/" not in page


def test_a_reader_cannot_approve(client_of, reader, waiting):
    response = client_of(reader).post(waiting.confirm_url, {"part": "bank"})

    assert response.status_code == 403
    assert waiting.bank.versions.get().is_pending


def test_partners_are_told_there_is_no_such_page(client_of, ida, greta, waiting, terms):
    # R16
    addresses = [
        reverse("ops:today"),
        reverse("ops:invitations"),
        reverse("ops:validation"),
        waiting.url,
    ]
    for person in (ida, greta):
        client = client_of(person)
        assert [client.get(url).status_code for url in addresses] == [404] * 4
        assert client.post(waiting.confirm_url, {"part": "bank"}).status_code == 404
        invite = reverse("ops:plan_campaign", kwargs={"pk": terms.pk})
        assert client.post(invite).status_code == 404


def test_an_enrollment_that_does_not_exist_is_not_found(client_of, oscar):
    url = reverse(
        "ops:enrollment", kwargs={"pk": "00000000-0000-4000-8000-000000000000"}
    )

    assert client_of(oscar).get(url).status_code == 404


def test_changes_come_by_post_only(client_of, oscar, mina, waiting, terms):
    looked = client_of(oscar).get(waiting.confirm_url)
    assert looked.url == reverse("ops:enrollment", kwargs={"pk": waiting.enrollment.pk})
    assert waiting.enrollment.payout_assignments.get().bank_version is None

    looked = client_of(mina).get(reverse("ops:plan_campaign", kwargs={"pk": terms.pk}))
    assert looked.url == reverse("ops:invitations")
    assert not Invitation.objects.filter(enrollment__terms=terms).exists()


def test_an_invited_enrollment_shows_no_panels(client_of, oscar, goteborg, terms):
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    url = reverse("ops:enrollment", kwargs={"pk": enrollment.pk})

    assert "The partner has not submitted this enrollment." in words(
        client_of(oscar).get(url)
    )


def test_the_page_of_one_enrollment_asks_few_queries(
    client_of, oscar, changed, another_waits, django_assert_max_num_queries
):
    client = client_of(oscar)
    client.get(changed.url)

    with django_assert_max_num_queries(18):
        client.get(changed.url)
