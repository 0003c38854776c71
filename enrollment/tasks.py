"""What the clock does to enrollments; a door, each call bears repetition."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.db import DatabaseError, OperationalError
from django.db.models import Model
from django.utils import timezone

from accounts.logs import log_failure
from accounts.time_limits import is_held
from enrollment import services
from enrollment.models import Campaign, RenewalPlan, ValueImport

logger = logging.getLogger(__name__)

# After this many seconds no other range is begun; the clock comes again.
LONG_ENOUGH = 50


@contextmanager
def _by_itself(
    one: Model, *, failed: Callable[[Any], None] | None = None
) -> Iterator[None]:
    """Keep what fails with one from the others; the next call comes back to it.

    `failed` is told, after the log.
    """
    try:
        yield
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        log_failure(logger, one, error)
        if failed is None:
            return
        try:
            failed(one)
        except DatabaseError as another:
            log_failure(logger, one, another)


@shared_task
def notify_waiting_admins() -> None:
    """Tell people who became Incentives admin after the invitation went out."""
    services.notify_waiting_admins()


@shared_task
def run_campaigns() -> None:
    """Take the next ranges of every campaign that is due, as far as time allows."""
    began = time.monotonic()
    for campaign in services.campaigns_to_run(at=timezone.now()):
        with _by_itself(campaign, failed=_note_failed_campaign):
            while time.monotonic() - began < LONG_ENOUGH:
                if not services.run_next_range(campaign, at=timezone.now()):
                    break


def _note_failed_campaign(campaign: Campaign) -> None:
    services.note_failed_try(campaign, at=timezone.now())


@shared_task
def remind_of_invitations() -> None:
    """Remind of invitations whose last day comes near, as far as time allows."""
    began = time.monotonic()
    while time.monotonic() - began < LONG_ENOUGH:
        if services.remind_next_people(at=timezone.now()) is None:
            return


@shared_task
def submit_batches() -> None:
    """Do what was submitted together and is not finished, as far as time allows.

    Any number of workers and requests share the rows.
    """
    until = time.monotonic() + LONG_ENOUGH
    for batch in services.batches_to_run():
        with _by_itself(batch):
            services.carry_on(batch, until=until)


@shared_task
def forget_old_batches() -> None:
    """Delete what was ticked and never sent, and results of long ago."""
    services.forget_old_batches(at=timezone.now())


@shared_task
def lapse_invitations() -> None:
    """Expire what was not submitted by its last day, as far as time allows.

    Any number of workers share the ranges; what one leaves, the next goes on with.
    """
    began = time.monotonic()
    while time.monotonic() - began < LONG_ENOUGH:
        if not services.lapse_invitations(at=timezone.now()):
            return


@shared_task
def note_expired_tax_profiles() -> None:
    """Send enrollments with an expired tax profile back to the partner."""
    began = time.monotonic()
    while time.monotonic() - began < LONG_ENOUGH:
        if not services.note_expired_tax_profiles(at=timezone.now()):
            return


@shared_task
def follow_changed_terms() -> None:
    """Move the enrollments that a program's changed terms put elsewhere."""
    began = time.monotonic()
    for terms in services.terms_to_follow():
        with _by_itself(terms):
            while time.monotonic() - began < LONG_ENOUGH:
                if not services.follow_changed_terms(terms, at=timezone.now()):
                    break


@shared_task
def follow_requirements() -> None:
    """Hold this year's requirements against everybody once a day, and when asked anew.

    It asks what is due and not done: what a worker leaves, the next one goes on with.
    """
    began = time.monotonic()
    for terms in services.terms_to_sweep(at=timezone.now()):
        with _by_itself(terms):
            while time.monotonic() - began < LONG_ENOUGH:
                if not services.follow_requirements(terms, at=timezone.now()):
                    services.finish_sweep(terms, at=timezone.now())
                    break


@shared_task
def end_discontinued() -> None:
    """End what is left of programs that were withdrawn."""
    began = time.monotonic()
    for program in services.programs_to_end():
        with _by_itself(program):
            while time.monotonic() - began < LONG_ENOUGH:
                if not services.end_next_of_program(
                    program, by=None, at=timezone.now()
                ):
                    break


@shared_task
def tell_of_standings() -> None:
    """Mail what is not eligible any more, what came back, and what was discontinued."""
    began = time.monotonic()
    while time.monotonic() - began < LONG_ENOUGH:
        if services.tell_next_of_standings(at=timezone.now()) is None:
            return


@shared_task
def tell_of_tax_expiry() -> None:
    """Mail whoever can renew a tax form before it expires.

    Any number of workers share the people; what one leaves, the next goes on with.
    """
    began = time.monotonic()
    if not services.begin_tax_expiry_notices(at=timezone.now()):
        return
    while time.monotonic() - began < LONG_ENOUGH:
        if services.tell_next_of_tax_expiry(at=timezone.now()) is None:
            return


@shared_task
def prepare_year_ends() -> None:
    """Rehearse the years that begin soon; remind operators of what they left open."""
    services.prepare_year_ends(at=timezone.now())


@shared_task
def rehearse_renewals() -> None:
    """Write down the rehearsals that were asked for, as far as time allows.

    Any number of workers share the ranges; what one leaves, the next goes on with.
    """
    began = time.monotonic()
    for plan in services.unfinished_rehearsals():
        with _by_itself(plan):
            while time.monotonic() - began < LONG_ENOUGH:
                if services.rehearse_next_range(plan) is None:
                    services.finish_rehearsal(plan)
                    break


@shared_task
def renew_enrollments() -> None:
    """Let every approved plan run that is due, however late it became (R61-R65).

    It asks what is due and not done, never what time it is. Each call takes the ranges
    that nobody else is at, so that any number of workers share them, and asked twice,
    it runs once. A plan that is not what was approved is paused, for people to see.
    """
    began = time.monotonic()
    for plan in services.due_plans(at=timezone.now()):
        with _by_itself(plan):
            _renew(plan, until=began + LONG_ENOUGH)


def _renew(plan: RenewalPlan, *, until: float) -> None:
    try:
        plan = services.start_renewals(plan, by=None)
    except ValidationError as error:
        # Withdrawn meanwhile: the others run all the same.
        logger.warning("year end %s: %s", plan.pk, " ".join(error.messages))
        return
    try:
        _take_ranges(plan, until=until)
    except ValidationError as error:
        logger.error("year end %s paused: %s", plan.pk, " ".join(error.messages))
        services.pause_renewals(plan, by=None)


def _take_ranges(plan: RenewalPlan, *, until: float) -> None:
    while time.monotonic() < until:
        if services.renew_next_range(plan) is None:
            services.finish_renewals(plan)
            break


@shared_task
def undo_renewals() -> None:
    """Put back the year ends whose undoing is approved, as far as time allows."""
    began = time.monotonic()
    for plan in services.plans_to_undo():
        with _by_itself(plan):
            while time.monotonic() - began < LONG_ENOUGH:
                if services.undo_next_range(plan) is None:
                    services.finish_undoing(plan)
                    break


@shared_task
def tell_of_year_ends() -> None:
    """Mail what years to come put at risk, and what became of those that began.

    Any number of workers share the people; what one leaves, the next goes on with.
    """
    began = time.monotonic()
    if not services.begin_year_end_notices(at=timezone.now()):
        return
    while time.monotonic() - began < LONG_ENOUGH:
        if services.tell_next_people(at=timezone.now()) is None:
            return


@shared_task
def import_values() -> None:
    """Read the files of measured values that wait, and apply those whose day has come.

    It asks what is due and not done: whatever a worker left, the next one goes on with.
    """
    began = time.monotonic()
    for one in services.imports_to_cancel():
        with _by_itself(one):
            services.finish_canceling(one)
    for one in services.imports_to_read():
        with _by_itself(one):
            while time.monotonic() - began < LONG_ENOUGH:
                if not _started(one, services.read_next_lines):
                    break
    for one in services.imports_to_apply(at=timezone.now()):
        with _by_itself(one):
            if time.monotonic() - began < LONG_ENOUGH:
                _started(one, services.carry_out_import)


def _started(
    one: ValueImport, step: Callable[[ValueImport], ValueImport | None]
) -> bool:
    """Count a start and take a step; return whether there was one to take.

    A start of its own that only waited for somebody else is not counted.
    """
    if not services.start_import(one):
        return False
    try:
        return step(one) is not None
    except OperationalError as error:
        if is_held(error):
            services.take_start_back(one)
        raise


@shared_task
def forget_old_imports() -> None:
    """Delete the lines of files that were imported long ago."""
    services.forget_old_imports(at=timezone.now())
