"""Inviting: who is eligible, who is told, and what a person has opened.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import outbox
from accounts.models import AuditAction, Location, User
from accounts.roles import Permission, Role, roles_with
from accounts.scoping import holds_now
from accounts.services import record_audit_event
from accounts.templatetags.portal import within
from accounts.time_limits import is_held
from enrollment import emails
from enrollment.eligibility import (
    eligible_locations,
    locations_to_invite,
    payout_of,
    why_not_enrolling,
    why_not_inviting,
)
from enrollment.models import (
    Campaign,
    Enrollment,
    EnrollmentEvent,
    Invitation,
    ProgramTerms,
)
from enrollment.services.choosing import add_payout_assignments
from enrollment.services.lapsing import reopen_invitation
from enrollment.services.moving import read_alone
from enrollment.states import EnrollmentStatus

LOCATIONS_AT_ONCE = 5000
PEOPLE_AT_ONCE = 200


@dataclass(frozen=True)
class InvitationRun:
    """What one run of inviting did, or why it invited nobody."""

    invited: int = 0
    mails: int = 0
    without_admin: int = 0
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The whole of it in words, for the page and the command."""
        if self.reason:
            return self.reason
        sentences = [
            ngettext(
                "%(count)d location was invited.",
                "%(count)d locations were invited.",
                self.invited,
            )
            % {"count": self.invited}
            if self.invited
            else _("No location was left to invite.")
        ]
        if self.mails:
            sentences.append(
                ngettext(
                    "%(count)d mail is on its way.",
                    "%(count)d mails are on their way.",
                    self.mails,
                )
                % {"count": self.mails}
            )
        if self.without_admin:
            sentences.append(
                ngettext(
                    "Nobody can enroll %(count)d of them; the Global and Account "
                    "admins there are told.",
                    "Nobody can enroll %(count)d of them; the Global and Account "
                    "admins there are told.",
                    self.without_admin,
                )
                % {"count": self.without_admin}
            )
        return " ".join(sentences)


@transaction.atomic
def invite_locations(
    terms: ProgramTerms, *, by: User | None, at: datetime | None = None
) -> InvitationRun:
    """Invite every eligible location of a program's year that has no enrollment.

    Each gets an enrollment in status Invited; each Incentives admin with scope one
    mail for all their locations; locations without one are told of to the Global and
    Account admins (R18, R28, R29; rule 74). Run again, it adds nothing. A program
    that is open to all invites nobody (R26); neither does one that is discontinued,
    outside its fiscal year or past its last day: the reason is returned. Raises
    ValidationError while another run for the program goes on and on.

    It is one transaction, in a web request too, so that a campaign is whole or not at
    all. Tried with 20,000 locations and 2,000 people: three minutes and 150 MB on two
    busy cores, so that such a campaign belongs to the command, which no web server
    cuts off.
    """
    at = at or timezone.now()
    terms = _locked_or_busy(terms)
    today = terms.fiscal_year.calendar.day_at(at)
    reason = why_not_inviting(terms, on=today)
    if reason:
        return InvitationRun(reason=reason)
    keys = list(
        locations_to_invite(terms, on=today).order_by("pk").values_list("pk", flat=True)
    )
    for some in _parts(keys, LOCATIONS_AT_ONCE):
        _create_enrollments(terms, some, by=by, at=at)
    mails = _tell_waiting_admins(terms, at=at)
    uncovered = _locations_nobody_can_enroll(terms, invited_at=at)
    for account, locations in uncovered.items():
        emails.nobody_can_enroll(account, locations=locations, terms=terms, at=at)
    run = InvitationRun(
        invited=len(keys),
        mails=mails,
        without_admin=sum(len(locations) for locations in uncovered.values()),
    )
    if run.invited:
        record_audit_event(
            terms,
            action=AuditAction.INVITATIONS_SENT,
            by=by,
            partner_account=None,
            after={
                "invited": run.invited,
                "mails": run.mails,
                "without_admin": run.without_admin,
            },
        )
    return run


@transaction.atomic
def invite_anew(
    enrollment: Enrollment, *, by: User | None, at: datetime | None = None
) -> Enrollment:
    """Invite a location again whose invitation nobody answered (domain.md §10.4).

    Every Incentives admin of it gets a mail and a message on the home page, those who
    had one before too; where nobody can enroll, the Global and Account admins do. Of
    a program that is open to all nobody is told (R26). What invites today gives the
    last day; no other term is extended. Done twice, it invites once. Raises
    ValidationError when the invitation did not lapse, the program is closed for new
    enrollments, and the location is closed or not eligible (R28).
    """
    at = at or timezone.now()
    terms = _locked_or_busy(enrollment.terms)
    today = terms.fiscal_year.calendar.day_at(at)
    enrollment = read_alone(enrollment)
    if enrollment.is_invited:
        return enrollment
    _refuse_inviting_anew(enrollment, terms=terms, on=today)
    enrollment = reopen_invitation(enrollment, by=by, at=at)
    mails = 0 if terms.is_open_to_all else _tell_anew(enrollment, terms=terms, at=at)
    record_audit_event(
        enrollment,
        action=AuditAction.INVITED_ANEW,
        by=by,
        partner_account=enrollment.location.partner_account,
        after={"enroll_by": enrollment.enroll_by.isoformat(), "mails": mails},
    )
    return enrollment


def notify_waiting_admins(*, terms: ProgramTerms | None = None) -> int:
    """Tell every Incentives admin of an invitation they have not been told of.

    Found by a query, so it serves a person who became Incentives admin later, and a
    run again. Each program's year is a transaction of its own; one that another run
    is telling about is left to it. Returns the number of mails queued.
    """
    waiting = untold(_invitations_to_answer())
    years = ProgramTerms.objects.filter(pk__in=waiting.values("terms"))
    if terms is not None:
        years = years.filter(pk=terms.pk)
    return sum(_tell_if_free(year) for year in years.order_by("pk"))


@transaction.atomic
def open_invitation(invitation: Invitation) -> Invitation:
    """Remember that this person selected the message on the home page (R23, R25)."""
    Invitation.objects.filter(pk=invitation.pk, opened_at=None).update(
        opened_at=timezone.now()
    )
    invitation.refresh_from_db()
    return invitation


def note_link_opened(invitation: Invitation) -> None:
    """Remember when its addressee first came by the mail's link; nothing else changes.

    No audit event: it is a measure of the mail, and grants nothing.
    """
    Invitation.objects.filter(pk=invitation.pk, link_opened_at=None).update(
        link_opened_at=timezone.now()
    )


@transaction.atomic
def _tell_if_free(terms: ProgramTerms) -> int:
    locked = lock_terms(terms, skip_locked=True)
    return _tell_waiting_admins(locked, at=timezone.now()) if locked else 0


def _locked_or_busy(terms: ProgramTerms) -> ProgramTerms:
    try:
        hold_values()
        return lock_terms(terms)
    except OperationalError as error:
        if not is_held(error):
            raise
        raise ValidationError(
            _(
                "Somebody else is inviting to %(program)s, or values are being "
                "applied. Look again in a minute."
            ),
            code="busy",
            params={"program": terms.program.name},
        ) from error


def hold_values(*, skip_locked: bool = False) -> bool:
    """Let no file of values be applied or undone until what is invited is written.

    Whoever applies one holds the criteria alone, before anything else: so it sees who
    was invited by the values of before, and moves them. False: one is being applied.
    """
    waiting = " SKIP LOCKED" if skip_locked else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) = (SELECT count(*) FROM enrollment_criterion) FROM "
            f"(SELECT id FROM enrollment_criterion ORDER BY id FOR SHARE{waiting}) held"
        )
        return cursor.fetchone()[0]


def lock_terms(
    terms: ProgramTerms, *, skip_locked: bool = False
) -> ProgramTerms | None:
    """Lock a program and its year: one run at a time invites and tells (None: busy).

    The program's row keeps its withdrawal apart from a run. Nothing that only refers
    to the two rows waits.
    """
    return (
        ProgramTerms.objects.select_for_update(
            of=("self", "program"), no_key=True, skip_locked=skip_locked
        )
        .select_related("program", "fiscal_year__calendar")
        .filter(pk=terms.pk)
        .first()
    )


def _refuse_inviting_anew(
    enrollment: Enrollment, *, terms: ProgramTerms, on: date
) -> None:
    if not enrollment.is_lapsed:
        raise ValidationError(
            _(
                "Only an invitation that was not answered in time can be sent anew. "
                "This enrollment is %(status)s."
            ),
            code="not_lapsed",
            params={"status": within(enrollment.get_status_display())},
        )
    reason = why_not_enrolling(terms, on=on)
    if reason:
        raise ValidationError(reason, code="closed")
    location = enrollment.location
    if not eligible_locations(terms, on=on).filter(pk=location.pk).exists():
        raise ValidationError(
            _("%(location)s is closed or does not meet what %(program)s asks now."),
            code="not_eligible",
            params={"location": location.name, "program": terms.program.name},
        )


def _create_enrollments(
    terms: ProgramTerms, keys: list[int], *, by: User | None, at: datetime
) -> None:
    # Once for all of them, not once for each.
    prefetch_related_objects([terms], "earning_types")
    last_day = terms.last_day_for(terms.fiscal_year.calendar.day_at(at))
    enrollments = Enrollment.objects.bulk_create(
        (
            Enrollment(
                location=location,
                partner_account_id=location.partner_account_id,
                terms=terms,
                status=EnrollmentStatus.INVITED,
                status_since=at,
                invited_at=at,
                enroll_by=last_day,
            )
            for location in Location.objects.filter(pk__in=keys).order_by("pk")
        ),
        batch_size=1000,
    )
    EnrollmentEvent.objects.bulk_create(
        (
            EnrollmentEvent(
                enrollment=enrollment,
                code=EnrollmentEvent.Code.INVITED,
                to_status=EnrollmentStatus.INVITED,
                by=by,
                at=at,
            )
            for enrollment in enrollments
        ),
        batch_size=1000,
    )
    add_payout_assignments(enrollments)


def _tell_waiting_admins(terms: ProgramTerms, *, at: datetime) -> int:
    """Queue one mail per person for all their locations; the lock is the caller's."""
    today = terms.fiscal_year.calendar.day_at(at)
    pairs = (
        untold(_invitations_to_answer().filter(terms=terms, enroll_by__gte=today))
        .order_by("location__partner_account__name", "location__name", "pk", "holder")
        .values_list("holder", "pk")
        .distinct()
    )
    awaiting: dict[int, list[Any]] = defaultdict(list)
    for person, enrollment in pairs:
        awaiting[person].append(enrollment)
    return sum(
        _tell_people(terms, {person: awaiting[person] for person in some}, at=at)
        for some in _parts(sorted(awaiting), PEOPLE_AT_ONCE)
    )


def _tell_anew(enrollment: Enrollment, *, terms: ProgramTerms, at: datetime) -> int:
    """Mail everybody who may enroll, whoever was told before; return how many."""
    this = Enrollment.objects.filter(pk=enrollment.pk)
    holders = with_holders(this).order_by("holder").values_list("holder", flat=True)
    awaiting = {person: [enrollment.pk] for person in holders.distinct()}
    if not awaiting:
        company = enrollment.location.partner_account
        emails.nobody_can_enroll(
            company, locations=[enrollment.location], terms=terms, at=at
        )
    told = Invitation.objects.filter(enrollment=enrollment, user__in=awaiting)
    for invitation in told:
        invitation.opened_at = None
    return _tell_people(
        terms,
        awaiting,
        at=at,
        told={(one.user_id, one.enrollment_id): one for one in told},
    )


def _tell_people(
    terms: ProgramTerms,
    awaiting: dict[int, list[Any]],
    *,
    at: datetime,
    told: Mapping[tuple[int, Any], Invitation] = MappingProxyType({}),
) -> int:
    """Queue the mails; `told` are invitations of before that carry the new mail now."""
    people = User.objects.in_bulk(awaiting)
    enrollments = Enrollment.objects.for_pages().in_bulk(
        {key for keys in awaiting.values() for key in keys}
    )
    payouts = payout_of(enrollments.values(), on=terms.fiscal_year.calendar.day_at(at))
    mails, invitations = [], []
    for person, keys in awaiting.items():
        theirs = [
            told.get((person, key))
            or Invitation(enrollment=enrollments[key], user=people[person])
            for key in keys
        ]
        mail = emails.invitation_sent(
            people[person], theirs, terms=terms, payouts=payouts
        )
        for invitation in theirs:
            invitation.email = mail
        mails.append(mail)
        invitations += theirs
    queued = outbox.queue_many(mails)
    new = [invitation for invitation in invitations if invitation._state.adding]
    Invitation.objects.bulk_create(new, batch_size=1000)
    Invitation.objects.bulk_update(told.values(), ["email", "opened_at"])
    return len(queued)


def _invitations_to_answer() -> QuerySet[Enrollment]:
    """Enrollments that wait for an Incentives admin who may not know of them.

    What a campaign tells of, or was stopped from telling of, is left to it.
    """
    telling = Campaign.objects.keeping_quiet().filter(
        terms=OuterRef("terms"), began_at=OuterRef("invited_at")
    )
    return Enrollment.objects.to_answer().exclude(Exists(telling))


def untold(enrollments: QuerySet[Enrollment]) -> QuerySet[Enrollment]:
    """Return one row for each enrollment and `holder` who may enroll and was not told.

    A person with two roles that cover the location appears twice.
    """
    told = Invitation.objects.filter(enrollment=OuterRef("pk"), user=OuterRef("holder"))
    return with_holders(enrollments).exclude(Exists(told))


def with_holders(enrollments: QuerySet[Enrollment]) -> QuerySet[Enrollment]:
    """Return one row for each enrollment and role that may enroll, with its `holder`."""
    assignment = "location__partner_account__role_assignments"
    return enrollments.annotate(
        assignment=F(assignment),
        holder=F(f"{assignment}__user"),
        only_location=F(f"{assignment}__location"),
        only_program=F(f"{assignment}__program"),
    ).filter(
        Q(only_location=None) | Q(only_location=F("location")),
        Q(only_program=None) | Q(only_program=F("terms__program")),
        holds_now("assignment", roles=roles_with(Permission.ENROLLMENT_EDIT)),
    )


def _locations_nobody_can_enroll(
    terms: ProgramTerms, *, invited_at: datetime
) -> dict[Any, list[Location]]:
    """Of the locations just invited, those no Incentives admin covers, by company."""
    enrollments = (
        Enrollment.objects.filter(terms=terms, invited_at=invited_at)
        .without_holder(Role.INCENTIVES_ADMIN)
        .select_related("location__partner_account")
        .order_by("location__partner_account__name", "location__name", "pk")
    )
    grouped: dict[Any, list[Location]] = defaultdict(list)
    for enrollment in enrollments:
        grouped[enrollment.location.partner_account].append(enrollment.location)
    return grouped


def _parts(keys: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
