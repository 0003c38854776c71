"""An approved year end carried out: run, left aside, decided."""

from datetime import UTC, date, datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, connection, transaction

from accounts.models import AuditAction, AuditEvent, Location
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    MeasuredValue,
    RenewalPlan,
    RenewalRow,
    SetAside,
    TermsVersion,
)
from enrollment.services import renewals
from enrollment.states import RENEWALS, EndReason
from enrollment.tests.test_renewal import Value, World, made, outcome_of
from enrollment.tests.year_end import (
    LAST_MOMENT,
    NIGHT,
    WORLDS,
    approve,
    lucia,
    made_once,
    mina,
    pictures,
    rows,
    run,
    take_its_place,
    tamper,
)
from profiles.models import TaxProfile, TaxProfileVersion

__all__ = ["lucia", "made_once", "mina", "rows"]
pytestmark = pytest.mark.django_db

LATE = datetime(2027, 7, 20, tzinfo=UTC)


# Beside the lines of the table: what a requirement of the new year is known of.
MEASURED = {
    "asks": World(asks=True, value=Value(12, 0), on=date(2027, 6, 20)),
    "not measured": World(asks=True),
}


@shared
def approved(made_once) -> RenewalPlan:
    made_once.rows |= {name: made(world)[0] for name, world in MEASURED.items()}
    return approve(made_once)


# --- Run ---------------------------------------------------------------------


def test_every_enrollment_becomes_what_the_plan_says(rows, approved):
    plan = run(approved)

    for name, world in WORLDS.items():
        end = RENEWALS[outcome_of(world)]
        old = Enrollment.objects.get(pk=rows[name].pk)
        new = Enrollment.objects.filter(renewed_from=old).first()
        assert (old.status, old.end_reason) == ("expired", end.ends_as), name
        assert (new and new.status) == end.renews_as, name
    assert plan.is_finished
    assert plan.finished_at == NIGHT
    assert not SetAside.objects.exists()


def test_what_continues_is_paid_as_before_and_earns_from_the_first_day(rows, approved):
    old = rows["continues"]
    used = old.payout_assignments.get()

    run(approved)

    new = Enrollment.objects.get(renewed_from=old)
    assert new.terms.fiscal_year == approved.into
    assert new.earns_from == date(2027, 7, 1)
    assert new.enrolled_at == NIGHT
    assert (new.accepted_by, new.submitted_by) == (old.accepted_by, old.submitted_by)
    assert new.enroll_by == date(2028, 6, 30)
    paid = new.payout_assignments.get()
    assert paid.earning_type.terms == new.terms
    for name in ("bank_profile", "tax_profile", "bank_version", "tax_version"):
        assert getattr(paid, name) == getattr(used, name)
    assert (paid.currency, paid.method) == (used.currency, used.method)


def test_what_lacks_something_does_not_earn_until_it_is_mended(rows, approved):
    run(approved)

    new = Enrollment.objects.get(renewed_from=rows["form expires"])
    assert (new.status, new.enrolled_at, new.earns_from) == (
        "action_required",
        None,
        None,
    )


def test_history_tells_both_sides_with_the_reasons(rows, approved):
    run(approved)

    old = rows["form expires"].events.get(code="year_ended")
    assert (old.from_status, old.to_status, old.note) == (
        "enrolled",
        "expired",
        "tax_expired",
    )
    new = EnrollmentEvent.objects.get(
        code="renewed", enrollment__renewed_from=rows["form expires"]
    )
    assert (new.from_status, new.to_status, new.by) == ("", "action_required", None)
    unmet = rows["not eligible"].events.get(code="year_ended")
    assert unmet.note.startswith("requirement-")


def test_one_audit_event_records_the_run_with_the_digest(approved):
    run(approved)

    event = AuditEvent.objects.get(action=AuditAction.RENEWALS_FINISHED)
    assert event.after["digest"] == approved.digest
    assert event.actor is None


def test_a_run_again_changes_nothing(approved):
    run(approved)
    after = pictures()

    run(approved)

    assert pictures() == after


def test_nothing_runs_before_the_year_begins(approved):
    with pytest.raises(ValidationError, match="has not begun"):
        services.start_renewals(approved, by=None, at=LAST_MOMENT)
    assert services.due_plans(at=LAST_MOMENT) == []
    assert services.due_plans(at=NIGHT) == [approved]


def test_a_late_run_holds_papers_against_the_first_day(rows, approved):
    # Both were good on 1 July, and are not when the run gets there.
    kept = rows["continues"]
    kept.location.partner_account.agreements.update(terminated_on=date(2027, 7, 10))
    tamper(
        TaxProfileVersion.objects.filter(
            profile=kept.payout_assignments.get().tax_profile
        ),
        expires_on=date(2027, 7, 5),
    )

    run(approved, at=LATE)

    assert not SetAside.objects.exists()
    new = Enrollment.objects.get(renewed_from=kept)
    assert (new.status, new.earns_from) == ("enrolled", date(2027, 7, 1))


@pytest.mark.parametrize(
    ("line", "value", "measured_on", "at", "outcomes"),
    [
        # Mended since the rehearsal; lost since; lost after the first day, run late.
        ("not eligible", 12, date(2027, 6, 28), NIGHT, ("not_eligible", "enrolled")),
        ("asks", 9, date(2027, 6, 28), NIGHT, ("enrolled", "not_eligible")),
        ("asks", 9, date(2027, 7, 5), LATE, ("enrolled", "not_eligible")),
        # Measured on a day that is still to come: not known yet, so as it was.
        ("not measured", 9, date(2027, 7, 2), NIGHT, None),
        # Too old when the run comes: not known any more, and that ends nothing.
        ("asks", 12, date(2027, 6, 1), LATE, None),
    ],
)
def test_what_is_measured_since_the_rehearsal_counts(
    rows, approved, line, value, measured_on, at, outcomes
):
    enrollment = rows[line]
    terms = enrollment.terms.program.terms.get(fiscal_year=approved.into)
    MeasuredValue.objects.update_or_create(
        location=enrollment.location,
        criterion=terms.requirements.get().criterion,
        defaults={"value": value, "measured_on": measured_on},
    )

    run(approved, at=at)

    asides = SetAside.objects.values_list("enrollment", "planned", "found")
    assert list(asides) == ([(enrollment.pk, *outcomes)] if outcomes else [])
    assert Enrollment.objects.filter(renewed_from=enrollment).exists() is (
        outcomes is None
    )


def test_only_what_was_paused_is_resumed(approved, mina):
    with pytest.raises(ValidationError, match="not where that can be done"):
        services.resume_renewals(approved, by=mina)
    with pytest.raises(ValidationError, match="not where that can be done"):
        services.pause_renewals(approved, by=mina)


def test_a_range_that_breaks_leaves_nothing_behind(approved, monkeypatch):
    before = pictures()
    services.start_renewals(approved, by=None, at=NIGHT)
    monkeypatch.setattr(renewals, "PAY_AS_BEFORE", "SELECT 1 / 0")

    with pytest.raises(DataError, match="division by zero"), transaction.atomic():
        services.renew_next_range(approved, at=NIGHT)
    assert pictures() == before

    monkeypatch.undo()
    assert run(approved).is_finished


def test_rows_changed_after_approval_do_not_run(approved):
    services.start_renewals(approved, by=None, at=NIGHT)
    tamper(RenewalRow.objects.filter(outcome="no_agreement"), outcome="enrolled")

    with pytest.raises(ValidationError, match="not what was approved"):
        services.renew_next_range(approved, at=NIGHT)


# --- What changed between approval and run -----------------------------------


@pytest.fixture
def drifted(rows, approved) -> Enrollment:
    """Its tax form was archived after the approval."""
    enrollment = rows["continues"]
    profile = enrollment.payout_assignments.get().tax_profile
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE profiles_taxprofile SET archived_at = now(), archived_by_id = %s "
            "WHERE id = %s",
            [enrollment.submitted_by_id, profile.pk],
        )
    return enrollment


def test_what_drifted_is_set_aside_and_left_alone(rows, approved, drifted):
    run(approved)

    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.planned, aside.found, aside.reasons) == (
        drifted,
        "enrolled",
        "at_risk",
        ["tax_archived"],
    )
    drifted.refresh_from_db()
    assert drifted.status == "enrolled"
    assert not Enrollment.objects.filter(renewed_from=drifted)
    # The others went their way.
    assert Enrollment.objects.filter(renewed_from=rows["validating"])
    assert approved.ranges.get().set_aside == 1


def test_what_is_new_since_the_approval_is_set_aside(approved):
    newcomer, _ = made(World())

    run(approved)

    newcomer.refresh_from_db()
    assert newcomer.status == "enrolled"
    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.planned, aside.found) == (newcomer, "", "enrolled")


def test_what_has_ended_since_is_set_aside(rows, approved):
    Enrollment.objects.filter(pk=rows["continues"].pk).update(
        status="expired", end_reason=EndReason.PROGRAM_ENDED
    )

    run(approved)

    aside = SetAside.objects.get()
    assert (aside.planned, aside.found) == ("enrolled", "")


def test_a_place_taken_in_the_new_year_is_set_aside(rows, approved):
    old = rows["continues"]
    take_its_place(old, approved)

    run(approved)

    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.found) == (old, "")
    old.refresh_from_db()
    assert old.status == "enrolled"


def test_a_person_carries_out_what_is_found(approved, drifted, mina):
    run(approved)

    services.decide_set_aside(
        SetAside.objects.get(), apply=True, reason="Checked by phone.", by=mina
    )
    services.decide_set_aside(
        SetAside.objects.get(), apply=True, reason="Checked by phone.", by=mina
    )

    drifted.refresh_from_db()
    assert (drifted.status, drifted.end_reason) == ("expired", "continued_with_gaps")
    assert Enrollment.objects.get(renewed_from=drifted).status == "action_required"
    decided = SetAside.objects.get()
    assert (decided.decided_by, decided.reason) == (mina, "Checked by phone.")
    assert not SetAside.objects.undecided().exists()


def test_nothing_is_decided_without_a_reason(approved, drifted, mina):
    run(approved)

    with pytest.raises(ValidationError, match="Say why"):
        services.decide_set_aside(
            SetAside.objects.get(), apply=True, reason=" ", by=mina
        )


def test_many_are_decided_at_once_and_those_that_cannot_be_are_named(
    rows, approved, drifted, mina
):
    take_its_place(rows["form expires"], approved)
    run(approved)
    taken = SetAside.objects.get(enrollment=rows["form expires"])

    refused = services.decide_alike(
        SetAside.objects.order_by("pk"), apply=True, reason="All checked.", by=mina
    )

    assert list(refused) == [taken]
    assert "nothing to carry out" in refused[taken]
    assert list(SetAside.objects.undecided()) == [taken]


def test_a_person_leaves_it(approved, drifted, mina):
    run(approved)

    services.decide_set_aside(
        SetAside.objects.get(), apply=False, reason="Checked by phone.", by=mina
    )

    drifted.refresh_from_db()
    assert drifted.status == "enrolled"


def test_what_somebody_decided_otherwise_is_not_overwritten(
    approved, drifted, mina, lucia
):
    run(approved)
    services.decide_set_aside(
        SetAside.objects.get(), apply=False, reason="Checked by phone.", by=mina
    )

    with pytest.raises(ValidationError, match="Mina Okafor decided this"):
        services.decide_set_aside(
            SetAside.objects.get(), apply=True, reason="Checked by phone.", by=lucia
        )


def test_nothing_is_carried_out_where_the_place_is_taken(rows, approved, mina):
    take_its_place(rows["continues"], approved)
    run(approved)

    with pytest.raises(ValidationError, match="nothing to carry out"):
        services.decide_set_aside(
            SetAside.objects.get(), apply=True, reason="Checked by phone.", by=mina
        )
    assert SetAside.objects.undecided().exists()


def test_what_ends_for_another_reason_is_set_aside_and_what_continues_is_not(
    rows, approved
):
    ends, continues = rows["not eligible"], rows["form expires"]
    Location.objects.filter(pk=ends.location_id).update(closed_at=NIGHT)
    profile = continues.payout_assignments.get().tax_profile_id
    TaxProfile.objects.filter(pk=profile).update(
        archived_at=NIGHT, archived_by=continues.submitted_by
    )

    run(approved)

    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.planned, aside.found) == (
        ends,
        "not_eligible",
        "not_eligible",
    )
    assert aside.reasons[0] == "location_closed"
    assert continues.events.get(code="year_ended").note == "tax_archived"


@pytest.fixture
def lost(rows, approved, time_machine) -> SetAside:
    """Measured after the rehearsal, and not enough: the approved plan says no end."""
    time_machine.move_to(NIGHT, tick=False)
    MeasuredValue.objects.filter(location=rows["asks"].location).update(
        value=9, measured_on=date(2027, 6, 28)
    )
    run(approved)
    return SetAside.objects.get(found="not_eligible")


def decide(row: SetAside, *, by) -> SetAside:
    return services.decide_set_aside(row, apply=True, reason="Measured.", by=by)


def test_nobody_ends_an_enrollment_alone_that_was_planned_to_continue(
    lost, approved, mina, lucia
):
    with pytest.raises(ValidationError) as prepared:
        decide(lost, by=mina)
    with pytest.raises(ValidationError) as without_the_right:
        decide(lost, by=UserFactory(is_staff=True))
    assert prepared.value.code == "four_eyes"
    assert without_the_right.value.code == "not_deciding"

    decide(lost, by=lucia)

    lost.enrollment.refresh_from_db()
    assert lost.enrollment.end_reason == "not_eligible"


def test_whose_terms_end_an_enrollment_does_not_carry_it_out(lost, approved, lucia):
    terms = lost.enrollment.terms.program.terms.get(fiscal_year=approved.into)
    TermsVersion.objects.create(
        terms=terms, number=7, content={}, published_by=lucia, published_at=NIGHT
    )

    with pytest.raises(ValidationError) as refused:
        decide(lost, by=lucia)

    assert refused.value.code == "four_eyes"
    # Leaving it as it is ends nothing.
    services.decide_set_aside(lost, apply=False, reason="Looked.", by=lucia)


def test_nothing_is_carried_out_that_nobody_has_seen(lost, lucia, mina):
    MeasuredValue.objects.filter(location=lost.enrollment.location).update(value=12)

    with pytest.raises(ValidationError) as refused:
        decide(lost, by=lucia)

    assert refused.value.code == "changed"
    shown = SetAside.objects.get(pk=lost.pk)
    assert (shown.found, shown.reasons, shown.decided_at) == ("enrolled", [], None)
    with pytest.raises(ValidationError, match="has changed since"):
        # Whoever still has the older page before them.
        decide(lost, by=lucia)
    decide(shown, by=mina)
    assert Enrollment.objects.get(renewed_from=lost.enrollment).status == "enrolled"
