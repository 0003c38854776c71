"""One company through a fiscal year's end, in Chromium, with its clock moved.

gunicorn, worker, PostgreSQL, Redis and a mail server as they run; the clock of the
portal and of this test is ahead of the machine's, and is moved while they run.
"""

import os
import re
import time
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
import time_machine
from celery import Celery
from django.core.management import call_command

from accounts import outbox
from accounts.tests.factories import (
    PASSWORD,
    IncentiveProgramFactory,
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.mail_server import MailServer
from enrollment.models import Enrollment, RenewalPlan
from enrollment.services import discontinue_program
from enrollment.tests.factories import (
    AgreementFactory,
    FiscalYearFactory,
    ProgramTermsFactory,
    enrolled,
)
from incentives_portal.tests.moved_clock import NOTICED, machine_time
from incentives_portal.tests.running import running_portal
from incentives_portal.tests.test_journeys import (
    button_of,
    validates,
    visitor,
    wait_until,
)
from incentives_portal.tests.wizards import answers, confirms, goes_on
from profiles.services import approve_version
from profiles.tests.country_answers import SWEDEN
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
    as_if_sent,
)

__all__ = ["visitor"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WINTER = datetime(2027, 2, 15, 9, tzinfo=UTC)
SPRING = datetime(2027, 5, 4, 9, tzinfo=UTC)
JUNE = datetime(2027, 6, 24, 9, tzinfo=UTC)
LAST_MINUTE = datetime(2027, 6, 30, 23, 59, tzinfo=UTC)
NIGHT = datetime(2027, 7, 1, 0, 0, 1, tzinfo=UTC)
MORNING = datetime(2027, 7, 1, 8, tzinfo=UTC)


class Clock:
    """The clock of the portal and of this process."""

    def __init__(self, file):
        self.file = file
        self._traveller = None
        self.move_to(WINTER)

    def move_to(self, moment: datetime) -> None:
        """Let it be this moment; time goes on from there."""
        ahead = moment.timestamp() - machine_time()
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(str(ahead))
        unfinished.rename(self.file)
        if self._traveller is None:
            self._traveller = time_machine.travel(moment, tick=True)
            self._moved = self._traveller.start()
        else:
            self._moved.move_to(moment, tick=True)
        # Every process has looked at the file since.
        time.sleep(6 * NOTICED)

    def stop(self) -> None:
        self._traveller.stop()


@pytest.fixture
def clock(tmp_path):
    clock = Clock(tmp_path / "clock")
    yield clock
    clock.stop()


@pytest.fixture
def mail():
    with MailServer() as server:
        yield server


@pytest.fixture
def portal(transactional_db, clock, mail, tmp_path, settings, monkeypatch):
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    with running_portal(
        mail_port=mail.port,
        folder=tmp_path,
        redis_database=8 + int(re.sub(r"\D", "", worker) or 0) % 8,
        clock=clock.file,
    ) as portal:
        app = Celery("two-years", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.conf.broker_url = portal.environment["REDIS_URL"]
        settings.PUBLIC_BASE_URL = portal.url
        monkeypatch.setattr(outbox, "current_app", app)
        app.send_task(outbox.WAKE_TASK)
        portal.tick = app.send_task
        wait_until(partial(is_heard, app))
        yield portal
        app.close()


def is_heard(app: Celery) -> bool:
    """Whether the worker has taken what waits for it."""
    with app.connection_for_read() as line:
        return not line.default_channel.client.llen("celery")


@pytest.fixture
def maria(nordvik):
    return UserFactory(full_name="Maria Petersson", email="maria@partner.example")


@pytest.fixture
def story(portal, nordvik, goteborg, malmo, program, ida, maria, sam):
    """What is there in the winter: two companies, two years, three programs."""
    year, following = (FiscalYearFactory(number=number) for number in (2027, 2028))
    direct, hosting, devices = (
        ProgramTermsFactory(program=one, fiscal_year=year)
        for one in (
            program,
            IncentiveProgramFactory(name="Hosting"),
            IncentiveProgramFactory(name="Devices"),
        )
    )
    for terms in (direct, hosting, devices):
        ProgramTermsFactory(program=terms.program, fiscal_year=following)
    AgreementFactory(partner_account=nordvik)
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    TaxProfileFactory(location=goteborg, created_by=maria, version__pending=True)
    lund = LocationFactory(partner_account=nordvik, name="Lund")
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=lund)
    asa = UserFactory(full_name="Åsa Nyström", email="asa@partner.example")
    asa.language = "sv"
    asa.save()
    RoleAssignmentFactory(user=asa, partner_account=nordvik, location=malmo)
    abroad = sam.role_assignments.get().partner_account
    AgreementFactory(partner_account=abroad, ends_on=date(2027, 5, 31))
    validating = enrolled(malmo, devices, status="validating")
    as_if_sent(
        validating.payout_assignments.get().tax_profile.versions.all(),
        status="pending",
        decided_at=None,
        decided_by=None,
    )
    return SimpleNamespace(
        asa=asa,
        bank=bank,
        into=following,
        # One tax form runs out in June, another on the very last day.
        mended=enrolled(malmo, direct, expires=date(2027, 6, 15)),
        forgotten=enrolled(lund, direct, expires=date(2027, 6, 30)),
        discontinued=enrolled(goteborg, hosting),
        validating=validating,
        without_agreement=enrolled(
            LocationFactory(partner_account=abroad, name="Kiel"), direct
        ),
    )


@pytest.mark.long
def test_two_fiscal_years_of_a_company(
    portal, story, clock, mail, visitor, program, goteborg, cast, lucia
):
    ida, sam, oscar, mina = cast.ida, cast.sam, cast.oscar, cast.mina
    # In the winter Göteborg is invited, enrolls, and is validated.
    call_command("invite", program.code)
    # axe has seen their pages in the other journeys.
    partner, operator = visitor(checks=False), visitor(checks=False)
    invitation = arrived(portal, mail, ida, "Partner Incentive Enrollment Invitation")
    partner.goes_to(button_of(invitation, "Get Started"))
    partner.signs_in(ida)
    partner.presses("Accept and continue")
    partner.presses("Submit enrollment")
    validates(operator, portal, oscar, program.name)
    # The company's first bank account takes two operators (domain.md §10.7).
    approve_version(story.bank.versions.get(), by=lucia)
    arrived(portal, mail, ida, f"Göteborg is enrolled in {program.name}")
    enrollment = Enrollment.objects.get(location=goteborg, terms__program=program)
    assert enrollment.is_enrolled

    # In the spring a program ends, and people are told what is at risk.
    clock.move_to(SPRING)
    discontinue_program(story.discontinued.terms.program, by=mina)
    portal.tick("enrollment.tasks.tell_of_year_ends")
    arrived(portal, mail, ida, "1 enrollment will not renew unless you act")
    arrived(portal, mail, sam, "1 enrollment will not renew unless you act")
    told = arrived(portal, mail, story.asa, "1 registrering förlängs inte utan åtgärd")
    swede = visitor(language="sv-SE", checks=False)
    swede.goes_to(f"{portal.url}/incentives/")
    swede.signs_in(story.asa)
    swede.sees("I riskzonen: skatteblanketten upphör 15 juni")
    swede.goes_to(button_of(told, "Förnya skatteblanketten"))
    sends_a_new_form(swede)
    swede.goes_to(f"{portal.url}/incentives/")
    swede.does_not_see("I riskzonen")
    validates(operator, portal, oscar, program.name, parts=("tax",))
    swede.goes_to(f"{portal.url}/")
    swede.sees("1 registrering förlängs automatiskt den 1 juli 2027")

    # In June the clock rehearses; one operator proposes, another approves.
    clock.move_to(JUNE)
    manager, approver = visitor(), visitor(checks=False)
    manager.goes_to(f"{portal.url}/ops/renewals/")
    manager.signs_in(mina)
    manager.presses("Rehearse now")
    portal.tick("enrollment.tasks.rehearse_renewals")
    plan = RenewalPlan.objects.get()
    wait_until(lambda: RenewalPlan.objects.get().is_rehearsed)
    manager.goes_to(portal.url + plan.get_absolute_url())
    manager.presses("Ask for approval")
    manager.sees("You prepared this plan. Somebody else has to approve it.")
    manager.sees("Lucia Ferrer")
    approver.goes_to(portal.url + plan.get_absolute_url())
    approver.signs_in(lucia)
    approver.presses("See every row")
    for row in ("Lund", "The tax profile has expired.", "Kiel"):
        approver.sees(row)
    approver.goes_to(portal.url + plan.get_absolute_url())
    clock.move_to(JUNE + timedelta(minutes=15))
    approver.presses("Approve this plan")
    approver.page.locator("[name=password]").fill(PASSWORD)
    approver.presses("Confirm")
    approver.sees("It begins to run by itself at 1 Jul, 00:00")

    # In the night the worker runs it; in the morning people read what became of it.
    clock.move_to(NIGHT)
    portal.tick("enrollment.tasks.renew_enrollments")
    wait_until(lambda: RenewalPlan.objects.get().is_finished)
    clock.move_to(MORNING)
    portal.tick("enrollment.tasks.tell_of_year_ends")
    manager.goes_to(f"{portal.url}{plan.get_absolute_url()}report/")
    manager.signs_in(mina)
    plan.refresh_from_db()
    for words in (plan.digest, "Lucia Ferrer", "done of 6 planned", "4continued"):
        manager.sees(words)
    arrived(portal, mail, sam, f"Enrollment ended: {program.name}, Kiel")

    told = arrived(portal, mail, ida, "Renewed for fiscal year 2028")
    partner.goes_to(button_of(told, "View"))
    partner.signs_in(ida)
    new = Enrollment.objects.get(renewed_from=enrollment)
    partner.goes_to(portal.url + new.get_absolute_url())
    partner.sees("Göteborg is enrolled")
    partner.presses("Continues the enrollment of fiscal year 2027")
    partner.sees("The fiscal year ended")
    partner.presses("Open the enrollment of fiscal year 2028")
    partner.goes_to(f"{portal.url}/incentives/past/")
    partner.sees("it continued in the next fiscal year")

    told = arrived(portal, mail, story.asa, "Förlängt för räkenskapsår 2028")
    swede.goes_to(button_of(told, "Visa"))
    swede.signs_in(story.asa)
    new = Enrollment.objects.get(renewed_from=story.mended)
    swede.goes_to(portal.url + new.get_absolute_url())
    swede.sees("Malmö är registrerad")
    swede.sees("Fortsätter registreringen för räkenskapsår 2027")
    swede.presses("Fortsätter registreringen för räkenskapsår 2027")
    swede.sees("Räkenskapsåret tog slut")

    became = {
        one.pk: one.renewals.values_list("status", flat=True).first()
        for one in Enrollment.objects.filter(terms__fiscal_year__number=2027)
    }
    assert became == {
        enrollment.pk: "enrolled",
        story.mended.pk: "enrolled",
        story.forgotten.pk: "action_required",
        story.validating.pk: "validating",
        story.without_agreement.pk: None,
        story.discontinued.pk: None,
    }
    # Nobody was told anything twice.
    assert set(mail.message_ids.values()) == {1}


def arrived(portal, mail, person, subject: str):
    """The one mail to a person with a subject; the clock asks for it, too."""

    def found() -> list:
        return [
            one
            for one in list(mail.messages)
            if person.email in one["To"] and one["Subject"].strip() == subject
        ]

    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end, [(m["To"], m["Subject"]) for m in mail.messages]
        portal.tick(outbox.WAKE_TASK)
        time.sleep(0.5)
    (message,) = found()
    return message


def sends_a_new_form(person) -> None:
    """Send the tax profile again, step by step, with nothing in it that expires."""
    goes_on(person)
    answers(person, SWEDEN.in_tax)
    answers(person, {"payer": "other", "registered": "no"})
    answers(person, {"org_number": "559999-0669"})
    # No document is needed.
    goes_on(person)
    confirms(person)
