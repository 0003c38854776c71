"""Submitting many enrollments together: chosen, sent once, worked row by row.

Each row goes through the services of a single enrollment, in a transaction's savepoint
of its own: one refusal undoes no other row (experience.md §3.1, P5). Requests and
workers do the next rows alike, so that neither a time-out nor a lost worker matters.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    transaction,
)
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.logs import log_failure
from accounts.models import IncentiveProgram, PartnerAccount, User
from accounts.roles import Permission
from accounts.services import check_still_may, lock_companies
from enrollment import emails
from enrollment.models import (
    BatchOutcome,
    BatchRow,
    Enrollment,
    EnrollmentBatch,
    ProgramAtLocation,
)
from enrollment.revisions import notes_in
from enrollment.services.enrollments import (
    accept_enrollment,
    start_open_enrollments,
    submit_enrollment,
)
from enrollment.services.invitations import with_holders

logger = logging.getLogger(__name__)

# The largest partner has so many locations; one page shows as many.
MOST_TOGETHER = 4_000
# How many rows, and how many mails, are written in one transaction.
ROWS_AT_ONCE = 10
PEOPLE_AT_ONCE = 50
# What was ticked and never sent is kept for so long, what was sent for so long.
KEPT_UNSENT = timedelta(days=7)
KEPT = timedelta(days=400)


@transaction.atomic
def begin_batch(
    company: PartnerAccount, *, places: Iterable[ProgramAtLocation], by: User
) -> EnrollmentBatch:
    """Keep what somebody ticked, so that one page can show all of it.

    Programs that are open to all are begun, or begun again, as by their own button:
    Enroll and ticking are the same wish (R26). Raises
    ValidationError when nothing of it can be enrolled, or it is too much at once.
    """
    places = list(places)
    if len(places) > MOST_TOGETHER:
        raise ValidationError(
            _("Choose %(most)d enrollments at most."),
            params={"most": MOST_TOGETHER},
            code="too_many",
        )
    to_begin = defaultdict(list)
    for place in places:
        if place.enrollment_id is None or place.enrollment.is_lapsed:
            to_begin[place.terms].append(place.location)
    programs = {terms.program_id for terms in to_begin}
    # In their order, and before the company: as withdrawing a program does.
    list(
        IncentiveProgram.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk__in=programs)
        .order_by("pk")
    )
    lock_companies(company.pk)
    chosen = {place.enrollment_id for place in places if place.enrollment_id}
    for terms, locations in to_begin.items():
        begun = start_open_enrollments(locations, terms=terms, by=by)
        chosen |= {enrollment.pk for enrollment in begun}
    chosen = list(
        Enrollment.objects.where_user_may(by, Permission.ENROLLMENT_EDIT)
        .of_company(company)
        .filter(pk__in=chosen)
        .order_by("location__name", "terms__program__name", "pk")
    )
    if not chosen:
        raise ValidationError(_("Tick at least one location."), code="nothing")
    batch = EnrollmentBatch.objects.create(
        partner_account=company, by=by, created_at=timezone.now()
    )
    BatchRow.objects.bulk_create(
        (BatchRow(batch=batch, enrollment=one) for one in chosen), batch_size=1000
    )
    return batch


@transaction.atomic
def send_batch(
    batch: EnrollmentBatch,
    *,
    seen: str,
    leaving_out: Collection[str] = (),
    agreed: Mapping[int, str],
    by: User,
) -> EnrollmentBatch:
    """Let what a page showed as ready be submitted, but for what is left out; once.

    `seen` is the page's note; a row that is not as it was shown then will be refused.
    `agreed` are the versions of agreements accepted on the page, by the terms' keys:
    they are accepted for every row of these terms, ready or not. Sending what is sent
    changes nothing. Raises ValidationError when the page is not readable, an agreement
    is not accepted, or nothing is left to do.
    """
    lock_companies(batch.partner_account_id)
    check_still_may(batch, permission=Permission.ENROLLMENT_EDIT, by=by)
    batch = EnrollmentBatch.objects.select_for_update(of=("self",)).get(pk=batch.pk)
    if batch.is_sent:
        return batch
    notes = notes_in(seen)
    if notes is None:
        raise ValidationError(
            _("This page was too old. Look at what is here now."), code="unreadable"
        )
    to_submit, to_accept = notes
    rows, missing = [], set()
    for row in batch.rows.select_related("enrollment__terms__program"):
        key, enrollment = str(row.enrollment_id), row.enrollment
        if key in leaving_out:
            continue
        is_agreed = enrollment.is_accepted and not enrollment.is_agreement_outdated
        if not is_agreed:
            row.agreement = agreed.get(enrollment.terms_id, "")
        if key in to_submit and not is_agreed and not row.agreement:
            missing.add(enrollment.terms.program.name)
        elif key in to_submit:
            row.seen, row.outcome = to_submit[key], BatchOutcome.TO_SUBMIT
            rows.append(row)
        elif key in to_accept and row.agreement:
            row.seen, row.outcome = to_accept[key], BatchOutcome.TO_ACCEPT
            rows.append(row)
    if missing:
        raise ValidationError(
            _(
                "Accept the agreement of %(programs)s, or leave out every location that "
                "needs it."
            ),
            params={"programs": ", ".join(sorted(missing))},
            code="agreement",
        )
    if not rows:
        raise ValidationError(_("Nothing is left to submit."), code="nothing")
    BatchRow.objects.bulk_update(rows, ["seen", "outcome", "agreement"], batch_size=500)
    batch.sent_at = timezone.now()
    batch.save(update_fields=["sent_at"])
    return batch


@transaction.atomic
def run_next_rows(batch: EnrollmentBatch) -> int | None:
    """Do the next rows of what was sent; return how many, None when none is left.

    Any number of requests and workers may call it: the company's lock lets one at a
    time, and what one wrote down the next finds done.
    """
    lock_companies(batch.partner_account_id)
    rows = list(
        batch.rows.to_do()
        .select_related(
            "enrollment__location__partner_account",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year__calendar",
        )
        .order_by("pk")[:ROWS_AT_ONCE]
    )
    for row in rows:
        _do(row, by=batch.by)
    BatchRow.objects.bulk_update(rows, ["outcome", "why"])
    return len(rows) or None


def _do(row: BatchRow, *, by: User) -> None:
    """Accept and submit one enrollment by the services that do it for one."""
    is_to_submit = row.outcome == BatchOutcome.TO_SUBMIT
    try:
        with translation.override(by.language), transaction.atomic():
            if row.agreement:
                accept_enrollment(row.enrollment, version=row.agreement, by=by)
            if is_to_submit:
                submit_enrollment(row.enrollment, seen=row.seen, is_told=False, by=by)
    except ValidationError as error:
        row.outcome = BatchOutcome.REFUSED
        row.why = " ".join(error.messages)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        if _is_of_the_moment(error):
            # Whoever comes next does it again.
            raise
        log_failure(logger, row, error)
        row.outcome = BatchOutcome.REFUSED
        with translation.override(by.language):
            row.why = _(
                "Something went wrong here, and nothing was submitted. Open this "
                "enrollment and submit it there."
            )
    else:
        row.outcome = BatchOutcome.ACCEPTED
        if is_to_submit:
            row.outcome = BatchOutcome.SUBMITTED


def _is_of_the_moment(error: Exception) -> bool:
    """Whether what went wrong is the database's, and not what is stored or the rule's."""
    return isinstance(error, DatabaseError | InterfaceError) and not isinstance(
        error, DataError | IntegrityError
    )


@transaction.atomic
def tell_next_of_batch(batch: EnrollmentBatch) -> int | None:
    """Send the next people their receipts, one each; None when it is finished.

    Everybody who may enroll what was submitted is told, as of a single one.
    """
    batch = (
        EnrollmentBatch.objects.select_for_update(of=("self",))
        .select_related("partner_account", "by")
        .get(pk=batch.pk)
    )
    if batch.is_finished or batch.rows.to_do().exists():
        return None
    submitted = Enrollment.objects.filter(
        batch_rows__batch=batch, batch_rows__outcome=BatchOutcome.SUBMITTED
    )
    holders = with_holders(submitted).filter(holder__gt=batch.told_to)
    some = list(
        holders.order_by("holder")
        .values_list("holder", flat=True)
        .distinct()[:PEOPLE_AT_ONCE]
    )
    theirs: dict[int, set] = defaultdict(set)
    for person, key in (
        holders.filter(holder__in=some).order_by().values_list("holder", "pk")
    ):
        theirs[person].add(key)
    people = User.objects.in_bulk(some)
    enrollments = (
        Enrollment.objects.for_pages()
        .select_related("submitted_by")
        .in_bulk({key for keys in theirs.values() for key in keys})
    )
    for person in some:
        emails.enrollments_submitted(
            people[person], [enrollments[key] for key in theirs[person]], batch=batch
        )
    if some:
        batch.told_to = some[-1]
    if len(some) < PEOPLE_AT_ONCE:
        batch.finished_at = timezone.now()
    batch.save(update_fields=["told_to", "finished_at"])
    return None if batch.is_finished else len(some)


def carry_on(batch: EnrollmentBatch, *, until: float) -> None:
    """Do rows, then tell people, until nothing is left or the clock says `until`.

    `until` is of time.monotonic(). What is left the next caller goes on with.
    """
    while time.monotonic() < until:
        if run_next_rows(batch) is None and tell_next_of_batch(batch) is None:
            return


def batches_to_run() -> list[EnrollmentBatch]:
    """Return what was sent and is not finished, the longest waiting first."""
    waiting = EnrollmentBatch.objects.to_run().select_related("by", "partner_account")
    return list(waiting.order_by("sent_at", "pk"))


def forget_old_batches(*, at: datetime) -> int:
    """Delete selections that were never sent, and results of long ago; return how many.

    The enrollments keep their own history.
    """
    old = EnrollmentBatch.objects.filter(
        Q(sent_at=None, created_at__lt=at - KEPT_UNSENT) | Q(finished_at__lt=at - KEPT)
    )
    count = old.count()
    old.delete()
    return count
