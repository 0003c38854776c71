"""Telling people where enrollments went: not eligible, lapsed, back, discontinued.

Found by a query over where they stand and who was told, so that a clock that stood still
catches up and a worker killed anywhere loses none and doubles none. One mail per person
for everything that waits to be told. `at` is now.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils import translation

from accounts import outbox
from accounts.models import OutgoingEmail, User
from enrollment.models import Enrollment, EnrollmentEvent, StandingNotice
from enrollment.services.invitations import with_holders
from enrollment.standing_emails import (
    eligibility_lost,
    eligibility_regained,
    enrollment_lapsed,
    program_discontinued,
)
from enrollment.states import ENDS_WITH_PROGRAM, OPEN, EndReason, EnrollmentStatus

# What was a mistake is often mended in this time, and nobody has to know.
QUIET_FOR = timedelta(hours=1)
# What is older was known before notices were written, or nobody asks any more.
OLDEST = timedelta(days=3)
PEOPLE_AT_ONCE = 100
# One worker at a time: which one does not matter.
ONE_AT_A_TIME = 7_414_721
# Who declined lost nothing.
OF_INTEREST = ENDS_WITH_PROGRAM - {EnrollmentStatus.DECLINED}


@transaction.atomic
def tell_next_of_standings(*, at: datetime) -> int | None:
    """Tell the next people where their enrollments went; None when nobody is left.

    Whoever may enroll there is told, once each time: that it is not eligible any more,
    when that has stood for an hour, with what is not met; that it came back, if they
    were told before; that what somebody began was not submitted in time; that the
    program was discontinued. Returns how many mails were queued.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        if not cursor.fetchone()[0]:
            return None
    for find, write in (
        (_lost, eligibility_lost),
        (_lapsed, enrollment_lapsed),
        (_discontinued, program_discontinued),
    ):
        due = _next_people(_not_told(find(at)))
        if due:
            return _tell(due, write, at=at)
    back = _next_people(_told_otherwise())
    return _tell_back(back, at=at) if back else None


def _lost(at: datetime) -> QuerySet[Enrollment]:
    return _went(EnrollmentStatus.INELIGIBLE, at=at).filter(
        status_since__lte=at - QUIET_FOR
    )


def _lapsed(at: datetime) -> QuerySet[Enrollment]:
    """What somebody began and did not submit; who never answered was reminded."""
    return _went(EnrollmentStatus.EXPIRED, at=at).filter(
        end_reason=EndReason.NOT_ANSWERED,
        accepted_at__isnull=False,
        # What ended long ago is not looked at.
        terms__fiscal_year__ends_on__gte=(at - OLDEST).date(),
    )


def _discontinued(at: datetime) -> QuerySet[Enrollment]:
    """What ended with its program, unless it was declined before it was Not eligible."""
    steps = EnrollmentEvent.objects.filter(enrollment=OuterRef("pk"))
    ended = steps.filter(
        from_status=EnrollmentStatus.INELIGIBLE,
        to_status=EnrollmentStatus.DISCONTINUED,
        at=OuterRef("status_since"),
    )
    lost = steps.filter(to_status=EnrollmentStatus.INELIGIBLE).order_by("-pk")
    return (
        _went(EnrollmentStatus.DISCONTINUED, at=at)
        .alias(had=Subquery(lost.values("from_status")[:1]))
        .exclude(Exists(ended), had=EnrollmentStatus.DECLINED)
    )


def _went(status: EnrollmentStatus, *, at: datetime) -> QuerySet[Enrollment]:
    """What went to a status lately, from one that somebody had something of."""
    step = EnrollmentEvent.objects.filter(
        enrollment=OuterRef("pk"),
        to_status=status,
        at=OuterRef("status_since"),
        from_status__in=OF_INTEREST,
    )
    return Enrollment.objects.filter(
        Exists(step), status=status, status_since__gt=at - OLDEST
    )


def _not_told(enrollments: QuerySet[Enrollment]) -> QuerySet[Enrollment]:
    told = StandingNotice.objects.filter(
        enrollment=OuterRef("pk"),
        user=OuterRef("holder"),
        since=OuterRef("status_since"),
    )
    return with_holders(enrollments).exclude(Exists(told))


def _told_otherwise() -> QuerySet[Enrollment]:
    """What is open again though its holder was told that it is not eligible."""
    told = StandingNotice.objects.filter(
        enrollment=OuterRef("pk"), user=OuterRef("holder"), is_over=False
    )
    notices = StandingNotice.objects.filter(is_over=False)
    open_again = Enrollment.objects.filter(
        status__in=OPEN, pk__in=notices.order_by().values("enrollment")
    )
    return with_holders(open_again).filter(Exists(told))


def _next_people(pairs: QuerySet[Enrollment]) -> dict[int, set[UUID]]:
    """The next people, each with everything that waits to be told."""
    first = pairs.order_by("holder").values_list("holder", flat=True).distinct()
    some = list(first[:PEOPLE_AT_ONCE])
    due: dict[int, set[UUID]] = defaultdict(set)
    waiting = pairs.filter(holder__in=some).order_by().values_list("holder", "pk")
    for person, enrollment in waiting.distinct():
        due[person].add(enrollment)
    return due


def _tell(due: dict[int, set[UUID]], write: Callable, *, at: datetime) -> int:
    enrollments = _rows(due)
    mails: list[OutgoingEmail] = []
    notices: list[StandingNotice] = []
    for person, theirs in _by_person(due, enrollments):
        for some in _by_program(theirs) if write is program_discontinued else [theirs]:
            with translation.override(person.language):
                mail = write(person, some)
            mails.append(mail)
            notices += [
                StandingNotice(
                    enrollment=one,
                    user=person,
                    since=one.status_since,
                    email=mail,
                    # Of more time, or a new invitation, a mail of its own tells.
                    is_over=write is enrollment_lapsed,
                )
                for one in some
            ]
    queued = outbox.queue_many(mails)
    StandingNotice.objects.bulk_create(notices)
    return len(queued)


def _tell_back(due: dict[int, set[UUID]], *, at: datetime) -> int:
    enrollments = _rows(due)
    mails = []
    for person, theirs in _by_person(due, enrollments):
        with translation.override(person.language):
            mails.append(eligibility_regained(person, theirs))
        StandingNotice.objects.filter(
            user=person, enrollment__in=[one.pk for one in theirs]
        ).update(is_over=True)
    return len(outbox.queue_many(mails))


def _rows(due: dict[int, set[UUID]]) -> dict[UUID, Enrollment]:
    keys = {key for keys in due.values() for key in keys}
    return Enrollment.objects.for_pages().in_bulk(keys)


def _by_person(
    due: dict[int, set[UUID]], enrollments: dict[UUID, Enrollment]
) -> Iterable[tuple[User, list[Enrollment]]]:
    people = User.objects.in_bulk(due)
    for key in sorted(due):
        theirs = [enrollments[one] for one in due[key]]
        theirs.sort(key=lambda row: (row.terms.program.name, row.location.name, row.pk))
        yield people[key], theirs


def _by_program(enrollments: list[Enrollment]) -> Iterable[list[Enrollment]]:
    groups: dict[int, list[Enrollment]] = defaultdict(list)
    for one in enrollments:
        groups[one.terms.program_id].append(one)
    return groups.values()
