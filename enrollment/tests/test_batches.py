"""Many locations at once: ticked, checked on one page, submitted, a result for each."""

import csv
import datetime
import io
import re
import time
import uuid
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, ProgrammingError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import OutgoingEmail, RoleAssignment
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from enrollment import services, tasks
from enrollment.models import (
    BatchRow,
    Enrollment,
    EnrollmentBatch,
    EnrollmentEvent,
    ProgramAtLocation,
)
from enrollment.services import batches
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
)
from enrollment.tests.test_publishing import publish
from enrollment.tests.test_views import text
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

YESTERDAY = timezone.localdate() - datetime.timedelta(days=1)
BEGIN = reverse("enrollment:begin_batch")


def place_at(world, name: str, **facts) -> Enrollment:
    """An invited location whose default bank and tax profile are there."""
    location = LocationFactory(partner_account=world.company, name=name)
    if facts.pop("has_bank", True):
        DefaultBankProfileFactory(
            location=location, bank_profile=world.bank, set_by=world.ida
        )
    if facts.pop("has_tax", True):
        TaxProfileFactory(location=location, created_by=world.ida)
    return EnrollmentFactory(location=location, terms=world.terms, **facts)


@shared
def world(nordvik, program, ida, maria):
    """Ida enrolls everywhere: two ready, one lacks tax, one lacks all, one is late."""
    AgreementFactory(partner_account=nordvik)
    RoleAssignmentFactory(user=ida, partner_account=nordvik)
    world = SimpleNamespace(
        company=nordvik,
        ida=ida,
        terms=ProgramTermsFactory(program=program),
        bank=BankProfileFactory(
            partner_account=nordvik, name="Nordvik main", created_by=maria
        ),
    )
    world.accepted = place_at(world, "Arvika", accepted=True, accepted_by=ida)
    world.invited = place_at(world, "Borås")
    world.no_tax = place_at(world, "Cehul", has_tax=False, accepted=True)
    world.nothing = place_at(world, "Dals", has_bank=False, has_tax=False)
    world.late = place_at(world, "Eda", enroll_by=YESTERDAY)
    world.all = [
        world.accepted,
        world.invited,
        world.no_tax,
        world.nothing,
        world.late,
    ]
    return world


@pytest.fixture
def page(client_of, ida):
    return client_of(ida)


def key(enrollment) -> str:
    return f"{enrollment.terms_id}-{enrollment.location_id}"


def chosen(page, *enrollments) -> EnrollmentBatch:
    """Tick rows and come to the page that checks them."""
    response = page.post(BEGIN, {"row": [key(one) for one in enrollments]})
    batch = EnrollmentBatch.objects.latest("created_at")
    assert response.headers["Location"].endswith(f"/enroll/together/{batch.pk}/")
    return batch


def batch_of(world, *enrollments) -> EnrollmentBatch:
    places = ProgramAtLocation.objects.filter(enrollment__in=enrollments)
    return services.begin_batch(world.company, places=places, by=world.ida)


def form_of(page, batch, *, agrees: bool = True, **more) -> dict:
    """What the page's form sends, every agreement accepted unless `agrees` is off."""
    body = page.get(batch.get_absolute_url()).content.decode()
    form = {"seen": re.search(r'name="seen" value="([^"]+)"', body)[1]}
    form |= dict(re.findall(r'name="(version-\d+)" value="([^"]*)"', body))
    if agrees:
        form["agree"] = re.findall(r'name="agree" value="(\d+)"', body)
    return form | more


def submit_url(batch) -> str:
    return reverse("enrollment:submit_batch", kwargs={"pk": batch.pk})


def outcomes(batch) -> dict[str, str]:
    return dict(batch.rows.values_list("enrollment__location__name", "outcome"))


def statuses(*enrollments) -> list[str]:
    found = dict(Enrollment.objects.values_list("pk", "status"))
    return [found[one.pk] for one in enrollments]


def test_rows_are_ticked_where_their_reader_can_enroll_them(page, world):
    for view in ("program", "location", "matrix"):
        body = page.get(reverse("enrollment:overview"), {"view": view}).content.decode()
        ticks = set(re.findall(r'name="row" value="([\d-]+)"', body))
        assert ticks == {key(one) for one in world.all if one != world.late}, view
        assert "Enroll all 4 that wait for you" in body


def test_one_page_groups_what_was_ticked_by_what_is_missing(page, world):
    batch = chosen(page, *world.all[:4])
    # Its last day passes while it waits.
    Enrollment.objects.filter(pk=world.no_tax.pk).update(enroll_by=YESTERDAY)
    shown = page.get(batch.get_absolute_url())
    groups = shown.context["page"]

    def names(group):
        return [one.row.location.name for one in group]

    assert names(groups.ready) == ["Arvika", "Borås"]
    assert names(groups.one) == []
    assert names(groups.more) == ["Dals"]
    assert names(groups.stopped) == ["Cehul"]
    Enrollment.objects.filter(pk=world.no_tax.pk).update(
        enroll_by=world.terms.fiscal_year.ends_on
    )
    shown = page.get(batch.get_absolute_url())
    assert names(shown.context["page"].one) == ["Cehul"]
    seen = text(shown)
    # The account of each row, its last four and currency; the agreement once.
    assert seen.count("Nordvik main •••• 0003 SEK") == 2
    assert "A tax profile is missing. Add a tax profile" in seen
    assert (
        reverse("enrollment:profiles", kwargs={"pk": world.no_tax.pk}) + "#tax"
        in shown.content.decode()
    )
    assert seen.count("The rules of the program.") == 1
    program = world.terms.program.name
    assert f"I accept the agreement of {program} for 2 locations" in seen
    assert "Submit the 2 that are ready" in seen


def test_what_is_ready_is_submitted_and_every_row_has_its_result(page, world, maria):
    RoleAssignmentFactory(user=maria, partner_account=world.company)
    only_boras = UserFactory()
    RoleAssignmentFactory(
        user=only_boras,
        partner_account=world.company,
        location=world.invited.location,
    )
    batch = chosen(page, *world.all)

    answer = page.post(submit_url(batch), form_of(page, batch), follow=True)

    assert outcomes(batch) == {
        "Arvika": "submitted",
        "Borås": "submitted",
        "Cehul": "listed",
        "Dals": "accepted",
    }
    assert statuses(*world.all) == ["validating", "validating"] + ["invited"] * 3
    seen = text(answer)
    assert "2 enrollments submitted – now it is the program owner's turn" in seen
    for one in (world.accepted, world.invited):
        assert one.reference in seen
    # What was accepted for all waits as begun.
    world.nothing.refresh_from_db()
    assert world.nothing.accepted_by == world.ida
    assert world.nothing.agreement_version == world.terms.agreement_version
    # One receipt for each person, of what they may enroll.
    mails = {mail.to_user: mail for mail in OutgoingEmail.objects.all()}
    assert OutgoingEmail.objects.count() == 3
    assert mails[world.ida].name == mails[maria].name == "enrollments_submitted"
    for one in (world.accepted, world.invited):
        assert one.reference in mails[maria].body_text
        assert one.reference in mails[maria].body_html
    assert mails[only_boras].name == "enrollment_submitted"
    assert world.accepted.reference not in mails[only_boras].body_text
    # The table says the same.
    export = page.get(reverse("enrollment:export_batch", kwargs={"pk": batch.pk}))
    lines = b"".join(export.streaming_content).decode("utf-8-sig")
    assert [row[1:4:2] for row in csv.reader(io.StringIO(lines))][1:] == [
        ["Arvika", "Submitted"],
        ["Borås", "Submitted"],
        ["Cehul", "Not sent"],
        ["Dals", "Accepted, something is missing"],
    ]


def test_the_agreement_has_to_be_accepted_or_its_rows_left_out(page, world):
    batch = chosen(page, world.accepted, world.invited)
    form = form_of(page, batch, agrees=False)

    refused = page.post(submit_url(batch), form)

    assert refused.status_code == 422
    assert f"Accept the agreement of {world.terms.program.name}" in text(refused)
    assert statuses(world.accepted) == ["invited"]
    form["leave_out"] = str(world.invited.pk)
    page.post(submit_url(batch), form)
    assert statuses(world.accepted, world.invited) == ["validating", "invited"]
    world.invited.refresh_from_db()
    assert not world.invited.is_accepted


def test_as_many_can_be_left_out_as_the_page_shows(page, world):
    batch = chosen(page, world.accepted, world.invited)
    others = [str(uuid.UUID(int=one)) for one in range(services.MOST_TOGETHER - 1)]

    left = form_of(page, batch, leave_out=[*others, str(world.invited.pk)])
    page.post(submit_url(batch), left)

    assert outcomes(batch) == {"Arvika": "submitted", "Borås": "listed"}


@pytest.mark.long
def test_four_hundred_locations_are_submitted_in_one_go(page, world, monkeypatch):
    """The request need not wait for any of it: workers do what is left (P5)."""
    monkeypatch.setattr("enrollment.views.batches.SECONDS_IN_REQUEST", -1)
    places = [place_at(world, f"Place {one}") for one in range(400)]
    page.post(f"{BEGIN}?q=place", {"all": "1"})
    batch = EnrollmentBatch.objects.get()

    answer = page.post(submit_url(batch), form_of(page, batch))

    assert answer.status_code == 302
    assert batch.rows.to_do().count() == 400
    tasks.submit_batches()
    assert statuses(*places) == ["validating"] * 400


def test_what_somebody_changed_meanwhile_is_set_aside_with_its_reason(
    page, world, maria
):
    RoleAssignmentFactory(user=maria, partner_account=world.company)
    other = BankProfileFactory(
        partner_account=world.company, name="Nordvik EUR", created_by=maria
    )
    batch = chosen(page, world.accepted, world.invited)
    form = form_of(page, batch)
    services.choose_bank_profile(world.accepted, bank_profile=other, by=maria)
    services.choose_currency(world.accepted, currency="EUR", by=maria)

    answer = page.post(submit_url(batch), form, follow=True)

    assert outcomes(batch) == {"Arvika": "refused", "Borås": "submitted"}
    assert statuses(world.accepted) == ["invited"]
    seen = text(answer)
    assert "This enrollment was changed meanwhile." in seen
    assert "Bank profile: Nordvik main Nordvik EUR Maria Petersson" in seen
    # The control: without the note it would have gone to the other account.
    BatchRow.objects.filter(enrollment=world.accepted).update(
        outcome="to_submit", seen="", why=""
    )
    services.run_next_rows(batch)
    assert statuses(world.accepted) == ["validating"]


def test_an_agreement_changed_meanwhile_is_not_accepted_unread(page, world):
    batch = chosen(page, world.invited)
    form = form_of(page, batch)
    type(world.terms).objects.update(agreement_version="2")

    page.post(submit_url(batch), form)

    assert outcomes(batch) == {"Borås": "refused"}
    assert "was changed meanwhile" in batch.rows.get().why
    world.invited.refresh_from_db()
    assert not world.invited.is_accepted


def test_sent_twice_it_is_submitted_once(page, world):
    batch = chosen(page, world.accepted, world.invited)
    form = form_of(page, batch)
    for _ in "123":
        assert page.post(submit_url(batch), form).status_code == 302

    events = EnrollmentEvent.objects.filter(code="submitted")
    assert events.count() == 2
    assert OutgoingEmail.objects.filter(name="enrollments_submitted").count() == 1
    # Ticked again, what is with the program owner is not offered.
    assert page.post(BEGIN, {"row": [key(world.accepted)]}, follow=True).context[
        "messages"
    ]
    assert EnrollmentBatch.objects.count() == 1


def test_a_worker_goes_on_where_the_request_or_another_worker_stopped(
    page, world, monkeypatch
):
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr("enrollment.views.batches.SECONDS_IN_REQUEST", -1)
    batch = chosen(page, world.accepted, world.invited)

    waiting = page.post(submit_url(batch), form_of(page, batch), follow=True)

    assert "Submitting together" in text(waiting)
    assert "0 of 2 enrollments" in text(waiting)
    assert b'http-equiv="refresh" content="5; url=?looks_again=1"' in waiting.content
    assert services.run_next_rows(batch) == 1
    assert services.tell_next_of_batch(batch) is None
    assert not OutgoingEmail.objects.exists()
    tasks.submit_batches()
    batch.refresh_from_db()
    assert batch.is_finished
    assert set(outcomes(batch).values()) == {"submitted"}
    assert OutgoingEmail.objects.filter(name="enrollments_submitted").count() == 1
    assert services.batches_to_run() == []


def submitting_fails_for(monkeypatch, enrollment, error):
    submit = services.submit_enrollment

    def fail(one, **facts):
        if one.pk == enrollment.pk:
            raise error
        return submit(one, **facts)

    monkeypatch.setattr(batches, "submit_enrollment", fail)


@pytest.mark.parametrize("kind", [ValueError, IntegrityError])
def test_a_row_that_goes_wrong_keeps_no_other_from_being_submitted(
    page, world, monkeypatch, caplog, kind
):
    submitting_fails_for(monkeypatch, world.invited, kind("SE45 5000 0000"))
    batch = chosen(page, world.invited, world.accepted)

    result = page.post(submit_url(batch), form_of(page, batch), follow=True)

    assert outcomes(batch) == {"Arvika": "submitted", "Borås": "refused"}
    assert "Something went wrong here, and nothing was submitted." in text(result)
    # Nothing half is stored, and no log holds what was typed.
    assert statuses(world.invited) == ["invited"]
    assert "enrollment.BatchRow" in caplog.text
    assert f"{kind.__name__} at" in caplog.text
    assert "SE45" not in caplog.text
    batch.refresh_from_db()
    assert batch.is_finished


@pytest.mark.parametrize("kind", [OperationalError, ProgrammingError])
def test_what_only_had_to_wait_is_done_by_who_comes_next(
    page, world, monkeypatch, kind
):
    with monkeypatch.context() as patched:
        submitting_fails_for(patched, world.invited, kind("deadlock"))
        batch = chosen(page, world.invited, world.accepted)
        form = form_of(page, batch)
        with pytest.raises(kind):
            page.post(submit_url(batch), form)
        assert set(outcomes(batch).values()) == {"to_submit"}

    tasks.submit_batches()

    assert set(outcomes(batch).values()) == {"submitted"}


def test_all_that_match_the_filter_are_chosen_at_once(page, world):
    page.post(f"{BEGIN}?q=bor", {"all": "1"})
    assert set(outcomes(EnrollmentBatch.objects.get())) == {"Borås"}
    page.post(BEGIN, {"all": "1"})
    newest = EnrollmentBatch.objects.latest("created_at")
    assert set(outcomes(newest)) == {"Arvika", "Borås", "Cehul", "Dals"}


def test_too_many_are_taken_in_parts_and_said_so(page, world, monkeypatch):
    monkeypatch.setattr(batches, "MOST_TOGETHER", 2)
    monkeypatch.setattr(services, "MOST_TOGETHER", 2)

    answer = page.post(BEGIN, {"all": "1"}, follow=True)

    assert "These are the first 2 enrollments." in answer.content.decode()
    assert set(outcomes(EnrollmentBatch.objects.get())) == {"Arvika", "Borås"}
    with pytest.raises(ValidationError, match="2 enrollments at most"):
        batch_of(world, *world.all)


def test_what_a_program_changed_since_rows_were_accepted_is_read_before_they_are_sent(
    page, world, mina
):
    # experience.md §4.5
    for hours in (72, 96):
        draft = services.begin_terms_draft(
            world.terms.program, fiscal_year=world.terms.fiscal_year, by=mina
        )
        draft.content |= {"validation_hours": hours}
        draft.save()
        version = publish(draft, mina).number
        rows = Enrollment.objects.filter(pk=world.accepted.pk, terms_version=None)
        rows.update(terms_version=version)

    shown = text(page.get(chosen(page, *world.all[:2]).get_absolute_url()))

    assert "What programs changed since you accepted" in shown
    assert "Promised answer 3 days 4 days" in shown
    only_new = chosen(page, world.invited)
    said = text(page.get(only_new.get_absolute_url()))
    assert "What programs changed since you accepted" not in said


def test_programs_that_are_open_to_all_are_begun_by_choosing_them(page, world):
    terms = ProgramTermsFactory(
        program=IncentiveProgramFactory(name="Open one"), open_to_all=True
    )
    places = ProgramAtLocation.objects.filter(terms=terms)
    rows = [place.pk for place in places]
    assert len(rows) >= 5

    for _ in "12":
        page.post(BEGIN, {"row": rows})

    begun = Enrollment.objects.filter(terms=terms)
    assert begun.count() == len(rows)
    assert {one.events.get().code for one in begun} == {"started"}
    assert all(one.payout_assignments.count() == 1 for one in begun)
    batch = EnrollmentBatch.objects.latest("created_at")
    page.post(submit_url(batch), form_of(page, batch))
    assert begun.filter(status="validating").count() == 3


def test_a_selection_is_its_makers_alone(page, client_of, world, maria, sam):
    RoleAssignmentFactory(user=maria, partner_account=world.company)
    batch = chosen(page, world.accepted)
    form = form_of(page, batch)
    for stranger in (maria, sam):
        there = client_of(stranger)
        assert there.get(batch.get_absolute_url()).status_code == 404
        assert there.post(submit_url(batch), form).status_code == 404
    # What is not theirs is not chosen either.
    client_of(sam).post(BEGIN, {"row": [key(one) for one in world.all]})
    assert EnrollmentBatch.objects.count() == 1
    # The note of another page says nothing of these rows.
    other = chosen(page, world.invited)
    assert page.post(submit_url(other), form).status_code == 422
    assert page.post(submit_url(other), {"seen": "x"}).status_code == 422
    assert statuses(world.invited) == ["invited"]


def test_who_lost_the_role_submits_nothing_of_what_they_ticked(page, world):
    batch = chosen(page, world.accepted, world.invited)
    form = form_of(page, batch)
    batch = services.send_batch(
        batch,
        seen=form["seen"],
        agreed={world.terms.pk: world.terms.agreement_version},
        by=world.ida,
    )
    late = batch_of(world, world.no_tax)
    RoleAssignment.objects.update(revoked_at=timezone.now())

    with pytest.raises(ValidationError, match="has ended"):
        services.send_batch(late, seen=form["seen"], agreed={}, by=world.ida)
    services.carry_on(batch, until=time.monotonic() + 60)

    assert set(outcomes(batch).values()) == {"refused"}
    assert "has ended" in batch.rows.first().why
    assert statuses(world.accepted, world.invited) == ["invited"] * 2
    with pytest.raises(ValidationError, match="Tick at least one location"):
        batch_of(world, world.accepted)


def test_the_pages_ask_as_much_of_many_rows_as_of_few(
    page, world, django_assert_num_queries, django_assert_max_num_queries
):
    few = chosen(page, world.accepted, world.invited)
    more = chosen(
        page, *world.all, *(place_at(world, f"Place {one}") for one in range(8))
    )
    for batch in (few, more):
        page.get(batch.get_absolute_url())
        with django_assert_max_num_queries(15):
            page.get(batch.get_absolute_url())
        page.post(submit_url(batch), form_of(page, batch))
        with django_assert_max_num_queries(15):
            page.get(batch.get_absolute_url())


def test_what_was_ticked_and_never_sent_is_forgotten(world):
    now = timezone.now()
    old, sent, new = (batch_of(world, world.accepted) for _ in "123")
    long_ago = now - datetime.timedelta(days=8)
    EnrollmentBatch.objects.filter(pk__in=[old.pk, sent.pk]).update(created_at=long_ago)
    EnrollmentBatch.objects.filter(pk=sent.pk).update(
        sent_at=long_ago, finished_at=long_ago
    )

    tasks.forget_old_batches()

    assert set(EnrollmentBatch.objects.all()) == {sent, new}
    services.forget_old_batches(at=now + datetime.timedelta(days=500))
    assert not EnrollmentBatch.objects.exists()


def test_a_look_at_the_step_leads_to_the_page_it_belongs_to(page, world):
    batch = chosen(page, world.accepted)
    assert page.get(BEGIN).headers["Location"].endswith("/incentives/")
    assert page.get(submit_url(batch)).headers["Location"].endswith(f"{batch.pk}/")
    export = page.get(reverse("enrollment:export_batch", kwargs={"pk": batch.pk}))
    assert export.status_code == 302
    assert Client().post(BEGIN).status_code == 302
