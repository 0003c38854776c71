"""The steps of an enrollment: begin, accept, decline, submit, recall, confirm.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, IncentiveProgram, Location, User
from accounts.roles import Permission
from accounts.services import (
    check_second_person,
    check_still_may,
    lock_companies,
    record_audit_event,
)
from enrollment import emails
from enrollment.eligibility import (
    eligible_locations,
    gaps_of,
)
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    ProgramAtLocation,
    ProgramTerms,
)
from enrollment.services.choosing import add_payout_assignments
from enrollment.services.following import confirm_part, reassess_held
from enrollment.services.lapsing import reopen_invitation
from enrollment.services.moving import (
    Code,
    day_at,
    locked_all,
    move,
    payout_now,
    read_alone,
    read_as_editor,
    write_event,
)
from enrollment.services.refusing import (
    refuse_changed,
    refuse_closed,
    refuse_late,
    refuse_unchangeable,
    refuse_unmet,
    refuse_unmigrated,
)
from enrollment.states import (
    EndReason,
    EnrollmentStatus,
)
from profiles.models import (
    BankProfileVersion,
    ProfileVersion,
    TaxProfileVersion,
)
from profiles.services import (
    APPROVE_ACCOUNTS,
    VALIDATE,
    approve_version,
)
from profiles.states import CURRENT


@transaction.atomic
def start_open_enrollment(
    location: Location, *, terms: ProgramTerms, by: User
) -> Enrollment:
    """Begin an enrollment in a program that is open to all (R26).

    Beginning twice returns the same enrollment; one that lapsed is begun again. Raises
    ValidationError when the program is not open to this location now.
    """
    started = start_open_enrollments([location], terms=terms, by=by)
    if not started or started[0].is_lapsed:
        raise ValidationError(
            _("This program is not open to %(location)s now."),
            params={"location": location.name},
            code="not_open",
        )
    return started[0]


@transaction.atomic
def start_open_enrollments(
    locations: list[Location], *, terms: ProgramTerms, by: User
) -> list[Enrollment]:
    """Begin enrollments in a program that is open to all, or return those begun (R26).

    What lapsed is begun again, with everything that was chosen: nobody has to invite to
    such a program. Locations that it is not open to now are left out. Raises
    ValidationError when somebody may not begin one of them any more, or a company has
    not migrated.
    """
    # The program first, so that it is not withdrawn meanwhile.
    program = IncentiveProgram.objects.select_for_update(of=("self",), no_key=True).get(
        pk=terms.program_id
    )
    lock_companies(*{location.partner_account_id for location in locations})
    begun = list(Enrollment.objects.filter(location__in=locations, terms=terms))
    lapsed = {one.location_id: one for one in begun if one.is_lapsed}
    known = {enrollment.location_id for enrollment in begun} - lapsed.keys()
    others = [location for location in locations if location.pk not in known]
    today = terms.today()
    if not (
        others
        and terms.is_open_to_all
        and today <= terms.last_day_for(today)
        and program.discontinued_at is None
        and ProgramTerms.objects.current(today).filter(pk=terms.pk).exists()
    ):
        return begun
    open_to = set(
        eligible_locations(terms, on=today)
        .filter(pk__in=[location.pk for location in others])
        .order_by()
        .values_list("pk", flat=True)
    )
    others = [location for location in others if location.pk in open_to]
    if not others:
        return begun
    for location in others:
        refuse_unmigrated(location)
    places = ProgramAtLocation.objects.filter(location__in=others, terms=terms)
    check_still_may(*places, permission=Permission.ENROLLMENT_EDIT, by=by)
    now = timezone.now()
    for location in others:
        if enrollment := lapsed.get(location.pk):
            enrollment.terms = terms
            reopen_invitation(enrollment, code=Code.STARTED, by=by, at=now)
    started = Enrollment.objects.bulk_create(
        Enrollment(
            location=location,
            partner_account_id=location.partner_account_id,
            terms=terms,
            status_since=now,
            invited_at=now,
            enroll_by=terms.last_day_for(today),
        )
        for location in others
        if location.pk not in lapsed
    )
    EnrollmentEvent.objects.bulk_create(
        EnrollmentEvent(
            enrollment=enrollment,
            code=Code.STARTED,
            to_status=enrollment.status,
            by=by,
            at=now,
        )
        for enrollment in started
    )
    add_payout_assignments(started)
    return begun + started


@transaction.atomic
def accept_enrollment(
    enrollment: Enrollment,
    *,
    version: str = "",
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Accept the invitation and the version of the agreement shown.

    The status stays Invited until Continue or Submit; accepting twice changes
    nothing, unless the agreement was changed meanwhile: then its new version is
    accepted. Raises ValidationError when it cannot be accepted any more, and when
    `version` is not the version in force: another one was read.
    """
    enrollment = read_as_editor(enrollment, by=by)
    if enrollment.is_accepted and not enrollment.is_agreement_outdated:
        return enrollment
    if version not in ("", enrollment.terms.agreement_version):
        raise ValidationError(
            _("The agreement was changed meanwhile. Read it again, then accept it."),
            code="agreement",
        )
    at = at or timezone.now()
    refuse_closed(enrollment, at=at)
    enrollment.accepted_at = at
    enrollment.accepted_by = by
    enrollment.agreement_version = enrollment.terms.agreement_version
    enrollment.terms_version = enrollment.terms.version or None
    enrollment.save(
        update_fields=[
            "accepted_at",
            "accepted_by",
            "agreement_version",
            "terms_version",
        ]
    )
    write_event(
        enrollment,
        code=Code.ACCEPTED,
        from_status=enrollment.status,
        by=by,
        note=enrollment.agreement_version,
        at=at,
    )
    return enrollment


@transaction.atomic
def decline_enrollment(
    enrollment: Enrollment,
    *,
    reason: str = "",
    seen: str = "",
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Say no, with an optional reason; it can be taken back until the last day.

    Raises ValidationError when it cannot be declined any more, and when it is not as
    `seen` any more.
    """
    enrollment = read_as_editor(enrollment, by=by)
    if enrollment.is_declined:
        return enrollment
    refuse_closed(enrollment, at=at)
    refuse_changed(enrollment, seen=seen, at=at)
    if enrollment.submitted_at is not None:
        raise ValidationError(
            _("This enrollment was submitted and cannot be declined any more."),
            code="submitted",
        )
    enrollment.accepted_at = None
    enrollment.accepted_by = None
    enrollment.agreement_version = ""
    enrollment.terms_version = None
    move(
        enrollment,
        EnrollmentStatus.DECLINED,
        code=Code.DECLINED,
        by=by,
        at=at,
        note=reason,
        also=["accepted_at", "accepted_by", "agreement_version", "terms_version"],
    )
    return enrollment


@transaction.atomic
def reconsider_enrollment(enrollment: Enrollment, *, by: User) -> Enrollment:
    """Take a decline back; the invitation is open again until its last day."""
    enrollment = read_as_editor(enrollment, by=by)
    if enrollment.is_invited:
        return enrollment
    if not enrollment.is_declined:
        raise ValidationError(
            _("Only a declined invitation can be taken up again."), code="transition"
        )
    refuse_late(enrollment, at=None)
    move(enrollment, EnrollmentStatus.INVITED, code=Code.RECONSIDERED, by=by)
    return enrollment


@transaction.atomic
def submit_enrollment(
    enrollment: Enrollment,
    *,
    seen: str = "",
    is_told: bool = True,
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Send the enrollment to the program owner (R33, R34, R37).

    What was the location's default is written down as chosen. Submitting what is
    submitted already changes nothing. Without `is_told` the caller sends the receipt,
    of many at once. Raises ValidationError naming everything that
    is missing, when it is closed or too late, when a requirement is not met, when the agreement has another version
    than was accepted, or when it is not as `seen` any more.
    """
    enrollment = read_as_editor(enrollment, by=by)
    if enrollment.is_validating:
        return enrollment
    at = at or timezone.now()
    refuse_unchangeable(enrollment, at=at)
    refuse_unmet(enrollment, at=at)
    rows = payout_now(enrollment, at=at)
    refuse_changed(enrollment, seen=seen, rows=rows, at=at)
    if enrollment.is_agreement_outdated:
        raise ValidationError(
            _("The agreement was changed since it was accepted. Accept it first."),
            code="agreement",
        )
    gaps = gaps_of(rows)
    if gaps:
        raise ValidationError([str(gap.sentence) for gap in gaps], code="missing")
    for row in rows:
        row.bank_profile_id = row.used_bank
        row.tax_profile_id = row.used_tax
        row.currency = row.used_currency or ""
        row.save(update_fields=["bank_profile", "tax_profile", "currency"])
    enrollment.first_submitted_at = enrollment.counts_from
    enrollment.submitted_at = at
    enrollment.submitted_by = by
    move(
        enrollment,
        EnrollmentStatus.VALIDATING,
        code=Code.SUBMITTED,
        by=by,
        at=at,
        also=["first_submitted_at", "submitted_at", "submitted_by"],
    )
    if is_told:
        emails.enrollment_submitted(enrollment)
    return enrollment


@transaction.atomic
def recall_enrollment(enrollment: Enrollment, *, by: User) -> Enrollment:
    """Take a submission back to change it; everything chosen is kept.

    Raises ValidationError when it is not being validated, and when the last day to
    enroll has passed: it could not be submitted again.
    """
    enrollment = read_as_editor(enrollment, by=by)
    if enrollment.is_action_required and enrollment.submitted_at is None:
        return enrollment
    if not enrollment.is_validating or enrollment.enrolled_at is not None:
        raise ValidationError(
            _("Only a submission that is being validated can be recalled."),
            code="transition",
        )
    if day_at(enrollment, None) > enrollment.enroll_by:
        raise ValidationError(
            _(
                "The last day to enroll has passed. Recalled, it could not be submitted "
                "again."
            ),
            code="late",
        )
    enrollment.first_submitted_at = enrollment.submitted_at = None
    enrollment.submitted_by = None
    move(
        enrollment,
        EnrollmentStatus.ACTION_REQUIRED,
        code=Code.RECALLED,
        by=by,
        also=["first_submitted_at", "submitted_at", "submitted_by"],
    )
    return enrollment


@transaction.atomic
def confirm_payout(
    enrollment: Enrollment,
    *,
    part: str,
    seen: Collection[UUID] | None = None,
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Validate the bank or the tax profile for this enrollment (R39, R40).

    A version that is still pending is approved first, for everybody who uses it.
    Both parts validated: Enrolled; confirming what is confirmed changes nothing.
    `seen` are the versions the operator looked at. Raises ValidationError when the
    partner sent others since, the enrollment is not with the program owner, and as
    check_second_person and approve_version do.
    """
    enrollment = read_alone(enrollment)
    versions = _versions_used(enrollment, part=part)
    own = ValidationError(
        _("You submitted this. Somebody else has to decide it."), code="four_eyes"
    )
    senders = [enrollment.submitted_by_id, *(one.submitted_by_id for one in versions)]
    check_second_person(
        by,
        rights=[VALIDATE, APPROVE_ACCOUNTS],
        first=[(sender, own) for sender in senders],
    )
    if not enrollment.is_validating:
        raise ValidationError(
            _("This enrollment is not waiting for validation any more: %(status)s."),
            code="decided",
            params={"status": enrollment.get_status_display()},
        )
    at = at or timezone.now()
    if seen is not None and {version.pk for version in versions} != set(seen):
        raise ValidationError(
            _("The partner changed this meanwhile. Look at what is here now."),
            code="changed",
        )
    for version in versions:
        if version.is_pending:
            # Its signal confirms it for every enrollment that uses it.
            version = approve_version(version, by=by, at=at)
        else:
            check_second_person(by, rights=[VALIDATE], first=[])
            if not version.is_approved or not confirm_part(
                enrollment, version=version, by=by, at=at
            ):
                continue
        if version.is_approved:
            record_audit_event(
                enrollment,
                action=AuditAction.PAYOUT_CONFIRMED,
                by=by,
                partner_account=enrollment.location.partner_account,
                after={"part": part, "version": str(version.pk)},
            )
    reassess_held(read_alone(enrollment), by=by, at=at)
    return Enrollment.objects.for_pages().get(pk=enrollment.pk)


def end_at_closed_location(
    location: Location, *, reason: str, by: User, at: datetime
) -> list[Enrollment]:
    """End every enrollment of a location that is closed and not over; return them.

    The part of locations.close_location() that changes enrollments. Earning stops at
    once (account-deletion); the history stays.
    """
    ended = locked_all(Enrollment.objects.not_over().filter(location=location))
    for enrollment in ended:
        enrollment.end_reason = EndReason.LOCATION_CLOSED
        move(
            enrollment,
            EnrollmentStatus.INACTIVE,
            code=Code.LOCATION_CLOSED,
            by=by,
            at=at,
            note=reason,
            also=["end_reason"],
        )
    return ended


def _versions_used(enrollment: Enrollment, *, part: str) -> list[ProfileVersion]:
    """Return the newest versions of the profiles a submitted enrollment wrote down."""
    model = BankProfileVersion if part == "bank" else TaxProfileVersion
    used = enrollment.payout_assignments.values(f"{part}_profile")
    return list(
        model.objects.filter(profile__in=used, status__in=CURRENT)
        .order_by("profile_id", "-number")
        .distinct("profile_id")
    )
