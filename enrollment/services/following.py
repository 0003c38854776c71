"""Enrollments that follow: profiles, questions, days and terms that changed.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from datetime import date, datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.models import User
from enrollment import emails
from enrollment.eligibility import (
    Gap,
    gaps_of,
    is_validated,
    payout_of,
    with_gaps,
)
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.services.moving import (
    Code,
    follow_questions_of,
    locked_all,
    move,
    move_all,
    payout_now,
    read_alone,
    write_event,
)
from enrollment.states import (
    EnrollmentStatus,
)
from profiles.models import (
    BankProfileVersion,
    ProfileVersion,
    TaxProfileVersion,
)

# Of how many locations expired tax profiles are noted in one transaction.
LOCATIONS_AT_ONCE = 200

# Of how many companies enrollments follow changed terms in one transaction.
COMPANIES_AT_ONCE = 20


@transaction.atomic
def reassess_enrollments(version: ProfileVersion, *, by: User | None) -> int:
    """Let the enrollments that use a profile follow its version; return how many moved.

    A version in force is validated for all who wait for it; a returned one makes
    them Action required; a new one sends them back to Validating (R40, R41, R44), and
    a new one that was withdrawn leaves them as they were.
    """
    followers = version.profile.followers().values("enrollment")
    enrollments = Enrollment.objects.filter(pk__in=followers.order_by())
    # Withdrawn or put back, it says no moment of its own.
    at = version.moved_at or timezone.now()
    moved, lacking = 0, {}
    for enrollment in locked_all(enrollments):
        if version.is_approved:
            confirm_part(enrollment, version=version, by=by, at=at)
        moved += reassess_held(enrollment, by=by, at=at, lacking=lacking)
    emails.profile_needs_attention(version, list(lacking), _gaps_of_each(lacking))
    return moved


@transaction.atomic
def follow_questions(version: ProfileVersion, *, at: datetime | None = None) -> None:
    """Let enrollments in validation wait for the answers their profiles wait for.

    As long as the partner is asked about one of them, the promise stands still; then
    it runs on from where it stood (R43).
    """
    followers = version.profile.followers().values("enrollment")
    validating = Enrollment.objects.validating().filter(pk__in=followers.order_by())
    for enrollment in locked_all(validating):
        follow_questions_of(enrollment, at=at or timezone.now())


@transaction.atomic
def note_expired_tax_profiles(*, at: datetime) -> int:
    """Move submitted enrollments whose tax profile has expired (R54).

    Each program counts days in its own calendar (R66). Of so many locations at once,
    with few questions however many enrollments they are; call it until nothing moves.
    """
    moved = 0
    for calendar in FiscalCalendar.objects.order_by("pk"):
        day = calendar.day_at(at)
        expired = (
            Enrollment.objects.submitted()
            .exclude(status=EnrollmentStatus.ACTION_REQUIRED)
            .of_calendar(calendar)
            .with_tax_expired(day)
        )
        locations = expired.order_by("location").values_list("location", flat=True)
        some = list(locations.distinct()[:LOCATIONS_AT_ONCE])
        moved += _ask_for_renewal(
            locked_all(expired.filter(location__in=some)), on=day, at=at
        )
    return moved


def _ask_for_renewal(enrollments: list[Enrollment], *, on: date, at: datetime) -> int:
    """Move enrollments that lack a tax profile in force to Action required; tell why."""
    rows = payout_of(enrollments, on=on)
    move_all(
        enrollments,
        EnrollmentStatus.ACTION_REQUIRED,
        codes={
            one.pk: (
                Code.PROFILE_EXPIRED
                if _is_expiry(gaps_of(rows[one.pk]))
                else Code.RETURNED
            )
            for one in enrollments
        },
        at=at,
    )
    _tell_of_expiry({one: rows[one.pk] for one in enrollments})
    return len(enrollments)


def terms_to_follow() -> list[ProgramTerms]:
    """Return changed terms that not every enrollment follows yet."""
    return list(
        ProgramTerms.objects.filter(is_followed=False)
        .select_related("program", "fiscal_year__calendar")
        .order_by("pk")
    )


@transaction.atomic
def follow_changed_terms(terms: ProgramTerms, *, at: datetime) -> int:
    """Move enrollments to where a program's changed terms put them; say how many.

    What was submitted and lacks something now becomes Action required; what lacks
    nothing any more goes back to validation, unless the partner is at it and has not
    sent it yet. Of so many companies at once, each whole, so that a person is told
    once; call it until nothing moves.
    """
    on = terms.fiscal_year.calendar.day_at(at)
    payouts = PayoutAssignment.objects.filter(enrollment=OuterRef("pk"))
    lacking = Exists(
        with_gaps(payouts, on=on).exclude(bank_gap="", currency_gap="", tax_gap="")
    )
    chosen = Exists(
        EnrollmentEvent.objects.filter(
            enrollment=OuterRef("pk"),
            code=Code.PROFILES_CHOSEN,
            at__gte=OuterRef("status_since"),
        )
    )
    asked = Q(status=EnrollmentStatus.ACTION_REQUIRED)
    misplaced = (
        Enrollment.objects.submitted()
        .filter(terms=terms)
        .filter(asked & ~lacking & ~chosen | ~asked & lacking)
    )
    companies = misplaced.order_by("location__partner_account").values_list(
        "location__partner_account", flat=True
    )
    some = list(companies.distinct()[:COMPANIES_AT_ONCE])
    found = locked_all(misplaced.filter(location__partner_account__in=some))
    rows = payout_of(found, on=on)
    to_mend = [one for one in found if gaps_of(rows[one.pk])]
    move_all(
        to_mend,
        EnrollmentStatus.ACTION_REQUIRED,
        codes={one.pk: Code.TERMS_CHANGED for one in to_mend},
        at=at,
    )
    if to_mend:
        emails.terms_changed(terms, {one: gaps_of(rows[one.pk]) for one in to_mend})
    for enrollment in found:
        if not gaps_of(rows[enrollment.pk]):
            move(
                enrollment,
                EnrollmentStatus.VALIDATING,
                code=Code.TERMS_CHANGED,
                by=None,
                at=at,
            )
            reassess_held(enrollment, by=None, at=at, on=on)
    if not found:
        ProgramTerms.objects.filter(pk=terms.pk).update(is_followed=True)
    return len(found)


def reassess(enrollment: Enrollment, *, by: User | None, at: datetime) -> bool:
    """Let one submitted enrollment follow its profiles as they are now."""
    return reassess_held(read_alone(enrollment), by=by, at=at)


def reassess_held(
    enrollment: Enrollment,
    *,
    by: User | None,
    at: datetime,
    on: date | None = None,
    lacking: dict[Enrollment, list[PayoutAssignment]] | None = None,
) -> bool:
    """Derive the wanted status from the facts and move there; say whether it moved.

    What moves to Action required is told of here; or, with `lacking`, put there with
    its payout, for the caller to tell of all of them in one mail.
    """
    rows = payout_now(enrollment, at=at, on=on)
    gaps = gaps_of(rows)
    if gaps:
        wanted = EnrollmentStatus.ACTION_REQUIRED
        code = Code.PROFILE_EXPIRED if _is_expiry(gaps) else Code.RETURNED
    elif rows and all(is_validated(row) for row in rows):
        wanted, code = EnrollmentStatus.ENROLLED, Code.ENROLLED
    else:
        wanted, code = EnrollmentStatus.VALIDATING, Code.PROFILE_CHANGED
    if enrollment.status == wanted:
        return False
    also = []
    if wanted == EnrollmentStatus.ENROLLED and enrollment.enrolled_at is None:
        enrollment.enrolled_at = at
        enrollment.earns_from = enrollment.terms.earns_from(
            submitted_at=enrollment.counts_from, validated_at=at
        )
        also = ["enrolled_at", "earns_from"]
    move(enrollment, wanted, code=code, by=by, at=at, also=also)
    if wanted == EnrollmentStatus.ENROLLED:
        emails.enrollment_completed(enrollment)
    elif wanted == EnrollmentStatus.ACTION_REQUIRED and lacking is not None:
        lacking[enrollment] = rows
    elif wanted == EnrollmentStatus.ACTION_REQUIRED:
        emails.enrollment_needs_attention(enrollment, gaps=gaps, version=None)
    return True


def _tell_of_expiry(lacking: dict[Enrollment, list[PayoutAssignment]]) -> None:
    """One mail per person and expired tax profile (R54)."""
    by_version: dict[UUID, list[Enrollment]] = {}
    for enrollment, rows in lacking.items():
        expired = [row for row in rows if row.tax_gap == "tax_expired"] or rows
        key = next(row.newest_tax_version for row in expired if row.newest_tax_version)
        by_version.setdefault(key, []).append(enrollment)
    gaps = _gaps_of_each(lacking)
    versions = TaxProfileVersion.objects.select_related(
        "profile__location__partner_account"
    ).in_bulk(by_version)
    for key, version in versions.items():
        emails.profile_needs_attention(version, by_version[key], gaps)


def _gaps_of_each(
    lacking: dict[Enrollment, list[PayoutAssignment]],
) -> dict[UUID, list[Gap]]:
    return {enrollment.pk: gaps_of(rows) for enrollment, rows in lacking.items()}


def _is_expiry(gaps) -> bool:
    return any(gap.code == "tax_expired" for gap in gaps)


def confirm_part(
    enrollment: Enrollment, *, version: ProfileVersion, by: User | None, at: datetime
) -> bool:
    """Write down that this version is validated for the enrollment; once."""
    rows = enrollment.payout_assignments.all()
    if isinstance(version, BankProfileVersion):
        code, pinned = Code.BANK_CONFIRMED, {"bank_version": version}
        rows = rows.filter(bank_profile=version.profile_id)
    else:
        code, pinned = Code.TAX_CONFIRMED, {"tax_version": version}
        rows = rows.filter(tax_profile=version.profile_id)
    is_new = rows.exclude(**pinned).update(**pinned) > 0
    if is_new:
        write_event(enrollment, code=code, from_status=enrollment.status, by=by, at=at)
    return is_new
