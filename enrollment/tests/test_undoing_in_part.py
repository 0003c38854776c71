"""What is undone of a year end that did not simply run to its end."""

import pytest
from django.core.exceptions import ValidationError

from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import Enrollment, EnrollmentEvent, RenewalPlan, SetAside
from enrollment.tests.test_renewal import World, made
from enrollment.tests.test_undoing import WHY, standings, undone
from enrollment.tests.year_end import (
    BEFORE,
    NIGHT,
    approve,
    lucia,
    made_once,
    mina,
    rows,
    run,
    year,
)

__all__ = ["lucia", "made_once", "mina", "rows", "year"]
pytestmark = pytest.mark.django_db


@shared
def approved(made_once) -> RenewalPlan:
    return approve(made_once)


def test_a_run_that_was_stopped_is_undone_as_far_as_it_went(
    rows, year, mina, lucia, monkeypatch
):
    monkeypatch.setattr("enrollment.services.renewals.ROWS_AT_ONCE", 1)
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=lucia)
    before = standings()
    services.start_renewals(plan, by=None, at=NIGHT)
    services.renew_next_range(plan, at=NIGHT)
    services.renew_next_range(plan, at=NIGHT)
    plan = services.pause_renewals(plan, by=mina)
    assert standings() != before

    plan = undone(plan, asks=mina, approves=lucia)

    assert standings() == before
    assert plan.ranges.exclude(undone_at=None).count() == 2


def test_what_had_ended_before_has_its_reason_again(rows, year, mina, lucia):
    old = rows["inactive"]
    Enrollment.objects.filter(pk=old.pk).update(
        status="discontinued", end_reason="program_ended"
    )
    EnrollmentEvent.objects.create(
        enrollment=old,
        code="discontinued",
        from_status="enrolled",
        to_status="discontinued",
        at=BEFORE,
    )
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.propose_renewals(plan, by=mina)
    run(services.approve_renewals(plan, digest=plan.digest, by=lucia))
    assert standings()[old.pk] == ("expired", "year_ended")

    undone(RenewalPlan.objects.get(pk=plan.pk), asks=mina, approves=lucia)

    assert standings()[old.pk] == ("discontinued", "program_ended")


def test_what_runs_or_did_not_run_is_not_undone(approved, mina):
    with pytest.raises(ValidationError, match="Only a year end that ran"):
        services.ask_to_undo(approved, reason=WHY, by=mina)
    services.start_renewals(approved, by=None, at=NIGHT)

    with pytest.raises(ValidationError, match="Stop it first"):
        services.ask_to_undo(approved, reason=WHY, by=mina)


def test_nothing_set_aside_is_decided_once_it_is_undone(rows, approved, mina, lucia):
    made(World())
    run(approved)
    aside = SetAside.objects.get()
    undone(RenewalPlan.objects.get(pk=approved.pk), asks=mina, approves=lucia)

    with pytest.raises(ValidationError, match="The year end was undone"):
        services.decide_set_aside(aside, apply=True, reason="Checked.", by=mina)
