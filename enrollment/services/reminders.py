"""Reminding of invitations 14, 7 and 2 days before their last day, until submitted.

What somebody began and left is reminded of as well: it lapses like the others.

Found by a query over what waits and what was told, so that a clock that stood still
catches up and a worker killed anywhere loses none and doubles none. `at` is now.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import translation

from accounts import outbox
from accounts.models import (
    MailStatus,
    MailTopic,
    MutedMail,
    OutgoingEmail,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, roles_with
from enrollment.models import Enrollment, FiscalCalendar, Invitation, Reminder
from enrollment.reminder_emails import reminder
from enrollment.services.invitations import with_holders
from enrollment.services.year_end_notices import step_due
from enrollment.states import EDITABLE

# Days before the last day to enroll.
STEPS = (14, 7, 2)
# A step that was missed is not caught up on the day before the next one.
NEAR = 1
PEOPLE_AT_ONCE = 100
# More reminders of one day than this come as one mail (experience.md §6.4).
MOST_SINGLE = 3
# One worker at a time: which one does not matter.
ONE_AT_A_TIME = 7_414_720


@transaction.atomic
def remind_next_people(*, at: datetime) -> int | None:
    """Remind the next people whose time has come; None when nobody is left.

    Returns how many mails were queued. Who submitted, declined, lost the role or wants
    no reminders gets none (experience.md §6.2, §6.4).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        if not cursor.fetchone()[0]:
            return None
    due: dict[int, dict[int, set]] = defaultdict(lambda: defaultdict(set))
    for day, calendars in FiscalCalendar.objects.by_day(at).items():
        for step in STEPS:
            for person, enrollment in _untold(day, calendars, step):
                due[person][step].add(enrollment)
    if not due:
        return None
    return _remind({person: due[person] for person in sorted(due)[:PEOPLE_AT_ONCE]}, at)


def _untold(day: date, calendars: Iterable[int], step: int) -> Iterable[tuple]:
    """The first people to remind at a step, each with what waits for them."""
    waiting = (Enrollment.objects.to_answer() | Enrollment.objects.to_submit()).filter(
        _is_due(day, step),
        # Said once more, so that an index finds them.
        status__in=EDITABLE,
        terms__fiscal_year__calendar__in=list(calendars),
    )
    told = Reminder.objects.filter(
        enrollment=OuterRef("pk"),
        user=OuterRef("holder"),
        days_before=step,
        last_day=OuterRef("enroll_by"),
    )
    muted = MutedMail.objects.filter(
        Q(program=None) | Q(program=OuterRef("terms__program")),
        user=OuterRef("holder"),
        topic=MailTopic.REMINDERS,
    )
    # Whoever handed it over is not reminded while somebody else can act for them.
    can_act = (
        RoleAssignment.objects.live()
        .covering(
            OuterRef("enrollment__location"), OuterRef("enrollment__terms__program")
        )
        .filter(
            user=OuterRef("handed_to"),
            partner_account=OuterRef("enrollment__location__partner_account"),
            role__in=roles_with(Permission.ENROLLMENT_EDIT),
        )
    )
    handed_over = Invitation.objects.filter(
        Exists(can_act), enrollment=OuterRef("pk"), user=OuterRef("holder")
    )
    # Whose invitation has not left hears of that first.
    held_back = Invitation.objects.filter(
        enrollment=OuterRef("pk"),
        user=OuterRef("holder"),
        email__status=MailStatus.HELD,
    )
    pairs = (
        with_holders(waiting)
        .exclude(Exists(told))
        .exclude(Exists(held_back))
        .exclude(Exists(muted))
        .exclude(Exists(handed_over))
    )
    first = (pairs.order_by("holder").values_list("holder", flat=True).distinct())[
        :PEOPLE_AT_ONCE
    ]
    return (
        pairs.filter(holder__in=list(first))
        .order_by()
        .values_list("holder", "pk")
        .distinct()
    )


def _is_due(day: date, step: int) -> Q:
    """Whose last day is so near; who was invited after the step's day is not reminded."""
    condition = Q(pk__in=[])
    for left in range(1, step + 1):
        if step_due(left, steps=STEPS, near=NEAR) == step:
            last_day = day + timedelta(days=left)
            condition |= Q(
                enroll_by=last_day,
                invited_at__date__lte=last_day - timedelta(days=step),
            )
    return condition


def _remind(due: dict[int, dict[int, set]], at: datetime) -> int:
    people = User.objects.in_bulk(due)
    enrollments = Enrollment.objects.for_pages().in_bulk(
        {key for steps in due.values() for keys in steps.values() for key in keys}
    )
    bundling = set(
        MutedMail.objects.filter(user__in=due, topic=MailTopic.SINGLE)
        .order_by()
        .values_list("user", flat=True)
    )
    mails: list[OutgoingEmail] = []
    told: list[Reminder] = []
    for person, steps in due.items():
        rows = [(enrollments[key], step) for step in steps for key in steps[step]]
        rows.sort(key=lambda row: (row[0].enroll_by, row[0].location.name, row[0].pk))
        is_bundle = person in bundling or len(rows) > MOST_SINGLE
        for some in [rows] if is_bundle else [[row] for row in rows]:
            with translation.override(people[person].language):
                mail = reminder(people[person], [row for row, _ in some], at=at)
            mails.append(mail)
            told += [
                Reminder(
                    enrollment=row,
                    user_id=person,
                    days_before=step,
                    last_day=row.enroll_by,
                    email=mail,
                )
                for row, step in some
            ]
    queued = outbox.queue_many(mails)
    Reminder.objects.bulk_create(told)
    return len(queued)
