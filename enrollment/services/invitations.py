"""Inviting: who is eligible, who is told, and what a person has opened.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts import outbox
from accounts.models import (
    AuditAction,
    Location,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, Role, roles_with
from accounts.services import record_audit_event
from enrollment import emails
from enrollment.eligibility import locations_to_invite
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    Invitation,
    ProgramTerms,
)
from enrollment.services.enrollments import add_payout_assignments
from enrollment.states import EnrollmentStatus


@dataclass(frozen=True)
class InvitationRun:
    """What one run of inviting did."""

    invited: int
    mails: int
    without_admin: int


@transaction.atomic
def invite_locations(
    terms: ProgramTerms, *, by: User | None, at: datetime | None = None
) -> InvitationRun:
    """Invite every eligible location of a program's year that has no enrollment.

    Each gets an enrollment in status Invited; each Incentives admin with scope one
    mail for all their locations; locations without one are told of to the Global and
    Account admins (R18, R28, R29; rule 74). Run again, it adds nothing. A program
    that is open to all invites nobody (R26); neither does a discontinued one.
    """
    # The row is the lock that keeps two runs apart.
    terms = (
        ProgramTerms.objects.select_for_update(of=("self",))
        .select_related("program", "fiscal_year__calendar")
        .get(pk=terms.pk)
    )
    if terms.is_open_to_all or terms.program.discontinued_at is not None:
        return InvitationRun(invited=0, mails=0, without_admin=0)
    at = at or timezone.now()
    locations = list(
        locations_to_invite(terms, on=terms.fiscal_year.calendar.day_at(at))
        .select_related("partner_account")
        .order_by("pk")
    )
    enrollments = _create_enrollments(terms, locations, at=at)
    mails = notify_waiting_admins(terms=terms)
    uncovered = _locations_nobody_can_enroll(terms, locations)
    for account, names in _by_account(uncovered).items():
        emails.nobody_can_enroll(account, locations=names, terms=terms)
    if enrollments:
        record_audit_event(
            terms,
            action=AuditAction.INVITATIONS_SENT,
            by=by,
            partner_account=None,
            after={
                "invited": len(enrollments),
                "mails": mails,
                "without_admin": len(uncovered),
            },
        )
    return InvitationRun(
        invited=len(enrollments), mails=mails, without_admin=len(uncovered)
    )


@transaction.atomic
def notify_waiting_admins(*, terms: ProgramTerms | None = None) -> int:
    """Tell every Incentives admin of an invitation they have not been told of.

    Found by a query, so it serves a first run, a run again, and a person who became
    Incentives admin later. Returns the number of mails queued.
    """
    enrollments = (
        Enrollment.objects.invited()
        .filter(accepted_at=None, terms__is_open_to_all=False)
        .for_pages()
    )
    if terms is not None:
        enrollments = enrollments.filter(terms=terms)
    told = 0
    for (user, program_terms), untold in _untold(enrollments).items():
        invitations = [
            Invitation(enrollment=enrollment, user=user) for enrollment in untold
        ]
        mail = emails.invitation_sent(user, invitations, terms=program_terms)
        rows = outbox.queue_many([mail])
        for invitation in invitations:
            invitation.email = rows[0] if rows else None
        Invitation.objects.bulk_create(invitations, ignore_conflicts=True)
        told += len(rows)
    return told


@transaction.atomic
def open_invitation(invitation: Invitation) -> Invitation:
    """Remember that this person selected the message on the home page (R23, R25)."""
    Invitation.objects.filter(pk=invitation.pk, opened_at=None).update(
        opened_at=timezone.now()
    )
    invitation.refresh_from_db()
    return invitation


def _create_enrollments(
    terms: ProgramTerms, locations: list[Location], *, at: datetime
) -> list[Enrollment]:
    last_day = terms.last_day_for(terms.fiscal_year.calendar.day_at(at))
    enrollments = Enrollment.objects.bulk_create(
        (
            Enrollment(
                location=location,
                terms=terms,
                status=EnrollmentStatus.INVITED,
                status_since=at,
                invited_at=at,
                enroll_by=last_day,
            )
            for location in locations
        ),
        batch_size=1000,
    )
    EnrollmentEvent.objects.bulk_create(
        (
            EnrollmentEvent(
                enrollment=enrollment,
                code=EnrollmentEvent.Code.INVITED,
                to_status=EnrollmentStatus.INVITED,
                at=at,
            )
            for enrollment in enrollments
        ),
        batch_size=1000,
    )
    add_payout_assignments(enrollments)
    return enrollments


def _untold(
    enrollments,
) -> dict[tuple[User, ProgramTerms], list[Enrollment]]:
    """Group the enrollments by the admins who hold no invitation to them yet."""
    admins = (
        RoleAssignment.objects.live()
        .filter(
            Q(location=None) | Q(location=OuterRef("location")),
            Q(program=None) | Q(program=OuterRef("terms__program")),
            role=Role.INCENTIVES_ADMIN,
            partner_account=OuterRef("location__partner_account"),
        )
        .filter(
            ~Exists(
                Invitation.objects.filter(
                    user=OuterRef("user"), enrollment=OuterRef(OuterRef("pk"))
                )
            )
        )
    )
    waiting = list(enrollments.filter(Exists(admins)).order_by("location__name", "pk"))
    grouped: dict[tuple[User, ProgramTerms], list[Enrollment]] = defaultdict(list)
    told = set(
        Invitation.objects.filter(enrollment__in=waiting).values_list(
            "user_id", "enrollment_id"
        )
    )
    holders = _holders(waiting)
    for enrollment in waiting:
        for assignment in holders[enrollment.location.partner_account_id]:
            if (
                _covers(assignment, enrollment)
                and (assignment.user_id, enrollment.pk) not in told
            ):
                told.add((assignment.user_id, enrollment.pk))
                grouped[assignment.user, enrollment.terms].append(enrollment)
    return grouped


def _holders(enrollments: Iterable[Enrollment]) -> dict[int, list[RoleAssignment]]:
    accounts = {enrollment.location.partner_account_id for enrollment in enrollments}
    holders: dict[int, list[RoleAssignment]] = defaultdict(list)
    assignments = (
        RoleAssignment.objects.live()
        .filter(
            partner_account__in=accounts,
            role__in=roles_with(Permission.ENROLLMENT_EDIT),
        )
        .select_related("user")
        .order_by("user__full_name", "pk")
    )
    for assignment in assignments:
        holders[assignment.partner_account_id].append(assignment)
    return holders


def _covers(assignment: RoleAssignment, enrollment: Enrollment) -> bool:
    return assignment.location_id in (
        None,
        enrollment.location_id,
    ) and assignment.program_id in (None, enrollment.terms.program_id)


def _locations_nobody_can_enroll(
    terms: ProgramTerms, locations: list[Location]
) -> list[Location]:
    """Of the locations just invited, those no Incentives admin covers."""
    if not locations:
        return []
    enrollments = Enrollment.objects.filter(terms=terms, location__in=locations)
    uncovered = enrollments.without_holder(Role.INCENTIVES_ADMIN)
    keys = set(uncovered.order_by("pk").values_list("location_id", flat=True))
    return [location for location in locations if location.pk in keys]


def _by_account(locations: list[Location]):
    grouped = defaultdict(list)
    for location in locations:
        grouped[location.partner_account].append(location)
    return grouped
