"""Telling partners of tax forms that are about to expire: before it is too late.

The database remembers who was told: a notice moves on in the transaction that queues
the mails, so that a worker killed anywhere loses none and doubles none; the mails' keys
say the same once more. `at` is now.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import translation

from accounts import outbox
from accounts.models import OutgoingEmail, RoleAssignment, User
from accounts.roles import Permission, roles_with
from enrollment.models import FiscalCalendar, PayoutAssignment, TaxExpiryNotice
from enrollment.services.year_end_notices import step_due
from enrollment.tax_expiry_emails import what_expires
from profiles.models import TaxProfileVersion
from profiles.states import USING, ProfileStatus

# Days before the last day of a form.
STEPS = (120, 60, 14)
PARTS = 4
PEOPLE_AT_ONCE = 100


@transaction.atomic
def begin_tax_expiry_notices(*, at: datetime) -> int:
    """Begin what is due and not begun; return how many notices are open now.

    Days are the programs' (R66): a step is due as soon as it is that day in the first
    of their calendars. A step is overtaken by the next one.
    """
    today = _today(at)
    if today is None:
        return 0
    last_days = (
        TaxProfileVersion.objects.filter(
            status=ProfileStatus.APPROVED,
            expires_on__range=(today, today + timedelta(days=max(STEPS))),
        )
        .order_by()
        .values_list("expires_on", flat=True)
        .distinct()
    )
    due = {
        (last_day, step)
        for last_day in last_days
        if (step := step_due((last_day - today).days, steps=STEPS))
    }
    TaxExpiryNotice.objects.bulk_create(
        (
            TaxExpiryNotice(last_day=last_day, days_before=step, part=part)
            for last_day, step in sorted(due)
            for part in range(PARTS)
        ),
        ignore_conflicts=True,
    )
    is_due = Q(pk__in=[])
    for last_day, step in due:
        is_due |= Q(last_day=last_day, days_before=step)
    unfinished = TaxExpiryNotice.objects.filter(finished_at=None)
    unfinished.exclude(is_due).update(finished_at=at)
    return unfinished.count()


@transaction.atomic
def tell_next_of_tax_expiry(*, at: datetime) -> int | None:
    """Tell the next people of a notice that nobody else is at; None when none is left.

    Returns how many mails were queued.
    """
    notice = (
        TaxExpiryNotice.objects.filter(finished_at=None)
        .select_for_update(skip_locked=True)
        .order_by("pk")
        .first()
    )
    if notice is None:
        return None
    people = _next_people(notice)
    if not people:
        notice.finished_at = at
        notice.save(update_fields=["finished_at"])
        return 0
    queued = outbox.queue_many(_mails(people, notice))
    notice.last_person = max(people)
    notice.mails += len(queued)
    notice.save(update_fields=["last_person", "mails"])
    return len(queued)


def _today(at: datetime) -> date | None:
    """The day it is in the calendar where it is latest; None without any program."""
    return max(FiscalCalendar.objects.by_day(at), default=None)


def _expiring(notice: TaxExpiryNotice) -> QuerySet[TaxProfileVersion]:
    """The forms a notice is about: in force, in use, and not renewed yet.

    One that was approved after the step's day is no news to who sent it.
    """
    step_day = notice.last_day - timedelta(days=notice.days_before)
    renewal = TaxProfileVersion.objects.filter(
        profile=OuterRef("profile"), status=ProfileStatus.PENDING
    )
    return (
        TaxProfileVersion.objects.filter(
            status=ProfileStatus.APPROVED,
            expires_on=notice.last_day,
            decided_at__date__lte=step_day,
            profile__archived_at=None,
            profile__location__closed_at=None,
        )
        .exclude(Exists(renewal))
        .filter(Exists(_uses()))
    )


def _uses() -> QuerySet[PayoutAssignment]:
    """What is paid by a version's profile: chosen, or the location's only one."""
    return PayoutAssignment.objects.filter(
        location=OuterRef("profile__location"),
        standing__used_tax=OuterRef("profile"),
        enrollment__status__in=USING,
    )


def _renewing() -> QuerySet[RoleAssignment]:
    """The roles by which people may renew a tax profile."""
    return RoleAssignment.objects.live().filter(
        role__in=roles_with(Permission.PROFILE_EDIT)
    )


def _next_people(notice: TaxExpiryNotice) -> dict[int, User]:
    """Whoever may renew a tax profile in a company with an expiring one, by key."""
    companies = _expiring(notice).values("profile__location__partner_account")
    holders = (
        _renewing()
        .filter(partner_account__in=companies, user_id__gt=notice.last_person)
        .alias(part_of_all=F("user_id") % PARTS)
        .filter(part_of_all=notice.part)
        .order_by("user_id")
        .values_list("user_id", flat=True)
        .distinct()[:PEOPLE_AT_ONCE]
    )
    return User.objects.in_bulk(list(holders))


def _mails(people: dict[int, User], notice: TaxExpiryNotice) -> list[OutgoingEmail]:
    mails = []
    for person, versions in _by_person(people, notice).items():
        with translation.override(people[person].language):
            mails.append(
                what_expires(
                    people[person],
                    versions,
                    last_day=notice.last_day,
                    step=notice.days_before,
                )
            )
    return mails


def _by_person(
    people: Iterable[int], notice: TaxExpiryNotice
) -> dict[int, list[TaxProfileVersion]]:
    """The expiring forms that each of some people may renew, in two questions."""
    assignment = "profile__location__partner_account__role_assignments"
    pairs = (
        _expiring(notice)
        .annotate(
            assignment=F(assignment),
            holder=F(f"{assignment}__user"),
            only_location=F(f"{assignment}__location"),
        )
        .filter(
            Q(only_location=None) | Q(only_location=F("profile__location")),
            assignment__in=_renewing().filter(user__in=list(people)).values("pk"),
        )
        .order_by("holder", "profile__location__name", "profile__name", "pk")
        .values_list("holder", "pk")
        .distinct()
    )
    theirs: dict[int, list] = defaultdict(list)
    for person, key in pairs:
        theirs[person].append(key)
    counted = (
        _uses()
        .order_by()
        .values("standing__used_tax")
        .annotate(enrollments=Count("enrollment", distinct=True))
        .values("enrollments")
    )
    known = (
        TaxProfileVersion.objects.select_related("profile__location__partner_account")
        .defer("details")
        .annotate(uses=Coalesce(Subquery(counted), 0))
        .in_bulk({key for keys in theirs.values() for key in keys})
    )
    return {
        person: [known[key] for key in keys if key in known]
        for person, keys in theirs.items()
    }
