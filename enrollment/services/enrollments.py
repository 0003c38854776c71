"""The steps of an enrollment: accept, choose, submit, recall, validate, end.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
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
from accounts.templatetags.portal import within
from enrollment import emails
from enrollment.eligibility import (
    Gap,
    eligible_locations,
    gaps_of,
    is_validated,
    payout_of,
    why_not_paid_to,
    with_gaps,
)
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    PayoutAssignment,
    ProgramAtLocation,
    ProgramTerms,
    RequirementCheck,
)
from enrollment.models.enrollments import EnrollmentQuerySet
from enrollment.revisions import is_same
from enrollment.states import (
    FOLLOWS_PROFILES,
    EndReason,
    EnrollmentStatus,
)
from profiles.emails import payout_moved
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    Profile,
    ProfileVersion,
    TaxProfile,
    TaxProfileVersion,
)
from profiles.services import (
    APPROVE_ACCOUNTS,
    VALIDATE,
    approve_version,
    refuse_too_new,
    set_default_bank_profile,
)
from profiles.states import CURRENT, USING, PayoutMethod

Code = EnrollmentEvent.Code
# Of how many locations expired tax profiles are noted in one transaction.
LOCATIONS_AT_ONCE = 200
# Of how many companies enrollments follow changed terms in one transaction.
COMPANIES_AT_ONCE = 20
# How many invitations lapse in one transaction.
INVITATIONS_AT_ONCE = 2000


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
        _refuse_unmigrated(location)
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


def add_payout_assignments(enrollments: Iterable[Enrollment]) -> None:
    """Give each new enrollment one assignment per earning type, all defaults."""
    PayoutAssignment.objects.bulk_create(
        (
            PayoutAssignment(
                enrollment=enrollment,
                earning_type=earning_type,
                location_id=enrollment.location_id,
                partner_account_id=enrollment.location.partner_account_id,
                method=first_method(enrollment.terms),
            )
            for enrollment in enrollments
            for earning_type in enrollment.terms.earning_types.all()
        ),
        batch_size=1000,
    )


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
    enrollment = _read_as_editor(enrollment, by=by)
    if enrollment.is_accepted and not enrollment.is_agreement_outdated:
        return enrollment
    if version not in ("", enrollment.terms.agreement_version):
        raise ValidationError(
            _("The agreement was changed meanwhile. Read it again, then accept it."),
            code="agreement",
        )
    at = at or timezone.now()
    _refuse_closed(enrollment, at=at)
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
    _write_event(
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
    enrollment = _read_as_editor(enrollment, by=by)
    if enrollment.is_declined:
        return enrollment
    _refuse_closed(enrollment, at=at)
    _refuse_changed(enrollment, seen=seen, at=at)
    if enrollment.submitted_at is not None:
        raise ValidationError(
            _("This enrollment was submitted and cannot be declined any more."),
            code="submitted",
        )
    enrollment.accepted_at = None
    enrollment.accepted_by = None
    enrollment.agreement_version = ""
    enrollment.terms_version = None
    _move(
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
    enrollment = _read_as_editor(enrollment, by=by)
    if enrollment.is_invited:
        return enrollment
    if not enrollment.is_declined:
        raise ValidationError(
            _("Only a declined invitation can be taken up again."), code="transition"
        )
    _refuse_late(enrollment, at=None)
    _move(enrollment, EnrollmentStatus.INVITED, code=Code.RECONSIDERED, by=by)
    return enrollment


@transaction.atomic
def choose_bank_profile(
    enrollment: Enrollment,
    *,
    bank_profile: BankProfile,
    earning_type=None,
    seen: str = "",
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Use another bank profile of the company here; the default stays (R32).

    For one earning type, or for all when none is given. A currency that the new bank
    does not take is cleared, so that it is asked for. Raises ValidationError when the
    profile is another company's, when the program cannot pay to it as it is, or when the
    enrollment is not as `seen` any more; once it
    was submitted, also for an account that may take no other's place yet (security.md
    T1, docs/adr/0013), and whom it concerns is told.
    """
    enrollment = _read_as_editor(enrollment, by=by)
    _refuse_unchangeable(enrollment, at=at)
    bank_profile.refresh_from_db()
    if bank_profile.partner_account_id != enrollment.location.partner_account_id:
        raise ValidationError(
            {"bank_profile": _("Choose a bank profile of your company.")}
        )
    refusal = why_not_paid_to(bank_profile, terms=enrollment.terms)
    if refusal:
        raise ValidationError({"bank_profile": refusal})
    rows = enrollment.payout_assignments.select_for_update(of=("self",))
    if earning_type is not None:
        rows = rows.filter(earning_type=earning_type)
    others = [row for row in rows if row.bank_profile_id != bank_profile.pk]
    if others:
        _refuse_changed(enrollment, seen=seen, at=at)
    if enrollment.submitted_at:
        _move_payout(enrollment, others, to=bank_profile, by=by, at=at)
    for row in others:
        row.bank_profile = bank_profile
        row.currency = ""
        row.bank_version = None
        row.save(update_fields=["bank_profile", "currency", "bank_version"])
    _choose_only_currency(enrollment, at=at)
    _write_choice(enrollment, by=by, at=at)
    return enrollment


def _move_payout(
    enrollment: Enrollment,
    rows: list[PayoutAssignment],
    *,
    to: BankProfile,
    by: User,
    at: datetime | None,
) -> None:
    """Let payments that were asked for before go to another account, and say so."""
    before = {row.bank_profile for row in rows if row.bank_profile_id}
    if not before:
        return
    refuse_too_new(to, field="bank_profile", at=at)
    place = {
        "program": enrollment.terms.program.name,
        "place": enrollment.location.name,
    }
    for profile in sorted(before, key=lambda profile: profile.pk):
        payout_moved(profile, to, places=[place], by=by)


@transaction.atomic
def choose_tax_profile(
    enrollment: Enrollment,
    *,
    tax_profile: TaxProfile,
    seen: str = "",
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Use one of the location's tax profiles for this enrollment (R31)."""
    enrollment = _read_as_editor(enrollment, by=by)
    _refuse_unchangeable(enrollment, at=at)
    tax_profile.refresh_from_db()
    if tax_profile.location_id != enrollment.location_id:
        raise ValidationError(
            {"tax_profile": _("Choose a tax profile of this location.")}
        )
    if tax_profile.archived_at is not None:
        raise ValidationError(
            {"tax_profile": _("This tax profile is archived. Choose another.")}
        )
    others = enrollment.payout_assignments.exclude(
        tax_profile__isnull=False, tax_profile=tax_profile
    )
    if others.exists():
        _refuse_changed(enrollment, seen=seen, at=at)
    others.update(tax_profile=tax_profile, tax_version=None)
    _write_choice(enrollment, by=by, at=at)
    return enrollment


@transaction.atomic
def replace_profile(profile: Profile, *, replacement: Profile, by: User) -> int:
    """Use another profile wherever one is used; return in how many enrollments.

    "Replace with" of a profile that is to be archived (R53): the locations' defaults
    move too. What was submitted goes back to validation, as after any change (R44).
    Everybody is told, as of a changed account. Raises ValidationError when the other
    profile belongs to somebody else, is archived or not in force, and naming each enrollment whose program
    cannot pay to it. All or none.
    """
    lock_companies(profile.account.pk)
    profile.refresh_from_db()
    check_still_may(profile, permission=Permission.PROFILE_EDIT, by=by)
    replacement.refresh_from_db()
    owner = "location_id" if profile.part == "tax" else "partner_account_id"
    if (
        replacement == profile
        or getattr(replacement, owner) != getattr(profile, owner)
        or replacement.archived_at is not None
        or replacement.version_in_force is None
    ):
        raise ValidationError({"replacement": _("Choose a profile from the list.")})
    field = f"{profile.part}_profile"
    if profile.part == "bank":
        refuse_too_new(replacement, field="replacement")
    used = PayoutAssignment.objects.filter(
        **{field: profile}, enrollment__status__in=USING
    )
    enrollments = _locked_all(
        Enrollment.objects.filter(pk__in=used.order_by().values("enrollment"))
    )
    places = []
    if profile.part == "bank":
        _refuse_unpaid(enrollments, replacement)
        for currency in set(profile.defaults.values_list("currency", flat=True)):
            rows = profile.defaults.filter(currency=currency).select_related("location")
            locations = [row.location for row in rows.order_by("pk")]
            set_default_bank_profile(
                locations,
                bank_profile=replacement,
                currency=currency,
                moving=locations,
                is_told=True,
                by=by,
            )
            places += [{"program": "", "place": one.name} for one in locations]
    at = timezone.now()
    for enrollment in enrollments:
        enrollment.payout_assignments.filter(**{field: profile}).update(
            **{field: replacement, f"{profile.part}_version": None}
        )
        _write_choice(enrollment, by=by, at=at)
        if enrollment.submitted_at and enrollment.status in FOLLOWS_PROFILES:
            _reassess(enrollment, by=by, at=at)
    places += [
        {"program": one.terms.program.name, "place": one.location.name}
        for one in enrollments
    ]
    if places:
        payout_moved(profile, replacement, places=places, by=by)
    return len(enrollments)


def _refuse_unpaid(enrollments: list[Enrollment], bank_profile: BankProfile) -> None:
    refusals = []
    for enrollment in enrollments:
        if refusal := why_not_paid_to(bank_profile, terms=enrollment.terms):
            where = f"{enrollment.terms.program.name}, {enrollment.location.name}"
            refusals.append(f"{where}: {refusal}")
    if refusals:
        raise ValidationError({"replacement": refusals})


@transaction.atomic
def choose_currency(
    enrollment: Enrollment,
    *,
    currency: str,
    earning_type=None,
    seen: str = "",
    by: User,
    at: datetime | None = None,
) -> Enrollment:
    """Choose the currency this enrollment is paid in, or one of its earning types.

    Raises ValidationError when the program or the bank does not accept it; nothing
    is stored then.
    """
    enrollment = _read_as_editor(enrollment, by=by)
    _refuse_unchangeable(enrollment, at=at)
    others = enrollment.payout_assignments.exclude(currency=currency)
    if earning_type is not None:
        others = others.filter(earning_type=earning_type)
    if others.exists():
        _refuse_changed(enrollment, seen=seen, at=at)
    others.update(currency=currency)
    rows = _payout_of(enrollment, at=at)
    if earning_type is not None:
        rows = [row for row in rows if row.earning_type_id == earning_type.pk]
    if any(row.currency_gap for row in rows):
        raise ValidationError(
            {
                "currency": _(
                    "This program or the bank does not accept %(currency)s. Choose "
                    "another."
                )
                % {"currency": currency}
            }
        )
    _write_choice(enrollment, by=by, at=at)
    return enrollment


@transaction.atomic
def ask_for_details(
    enrollment: Enrollment, *, by: User, at: datetime | None = None
) -> Enrollment:
    """Continue with something missing: Action required from now on (R35, R36).

    With nothing missing, or when it is Action required already, nothing changes.
    """
    enrollment = _read_as_editor(enrollment, by=by)
    _refuse_unchangeable(enrollment, at=at)
    rows = _payout_of(enrollment, at=at)
    if enrollment.is_invited and gaps_of(rows):
        _move(
            enrollment,
            EnrollmentStatus.ACTION_REQUIRED,
            code=Code.DETAILS_ASKED,
            by=by,
            at=at,
        )
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
    enrollment = _read_as_editor(enrollment, by=by)
    if enrollment.is_validating:
        return enrollment
    at = at or timezone.now()
    _refuse_unchangeable(enrollment, at=at)
    _refuse_unmet(enrollment, at=at)
    rows = _payout_of(enrollment, at=at)
    _refuse_changed(enrollment, seen=seen, rows=rows, at=at)
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
    _move(
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
    enrollment = _read_as_editor(enrollment, by=by)
    if enrollment.is_action_required and enrollment.submitted_at is None:
        return enrollment
    if not enrollment.is_validating or enrollment.enrolled_at is not None:
        raise ValidationError(
            _("Only a submission that is being validated can be recalled."),
            code="transition",
        )
    if _day_at(enrollment, None) > enrollment.enroll_by:
        raise ValidationError(
            _(
                "The last day to enroll has passed. Recalled, it could not be submitted "
                "again."
            ),
            code="late",
        )
    enrollment.first_submitted_at = enrollment.submitted_at = None
    enrollment.submitted_by = None
    _move(
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
            if not version.is_approved or not _confirm(
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
    _reassess(read_alone(enrollment), by=by, at=at)
    return Enrollment.objects.for_pages().get(pk=enrollment.pk)


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
    for enrollment in _locked_all(enrollments):
        if version.is_approved:
            _confirm(enrollment, version=version, by=by, at=at)
        moved += _reassess(enrollment, by=by, at=at, lacking=lacking)
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
    for enrollment in _locked_all(validating):
        _follow_questions_of(enrollment, at=at or timezone.now())


def _follow_questions_of(enrollment: Enrollment, *, at: datetime) -> None:
    """The enrollment's own time: what passed before it was sent is not in its promise."""
    bank, tax = (
        model.objects.pending()
        .filter(
            profile__payout_assignments__enrollment=enrollment, asked_at__isnull=False
        )
        .order_by()
        .values("pk")
        for model in (BankProfileVersion, TaxProfileVersion)
    )
    is_asked = bank.union(tax, all=True).exists()
    begun = enrollment.status_since
    before = (enrollment.asked_at, enrollment.promised_from)
    if enrollment.asked_at is not None and not is_asked:
        waited = max(at - max(enrollment.asked_at, begun), timedelta())
        if waited:
            since = max(begun, enrollment.promised_from or begun)
            enrollment.promised_from = since + waited
    if not is_asked:
        enrollment.asked_at = None
    elif enrollment.asked_at is None or enrollment.asked_at < begun:
        enrollment.asked_at = max(at, begun)
    if before != (enrollment.asked_at, enrollment.promised_from):
        enrollment.save(update_fields=["asked_at", "promised_from"])


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
            _locked_all(expired.filter(location__in=some)), on=day, at=at
        )
    return moved


def _ask_for_renewal(enrollments: list[Enrollment], *, on: date, at: datetime) -> int:
    """Move enrollments that lack a tax profile in force to Action required; tell why."""
    rows = payout_of(enrollments, on=on)
    _move_all(
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
    found = _locked_all(misplaced.filter(location__partner_account__in=some))
    rows = payout_of(found, on=on)
    to_mend = [one for one in found if gaps_of(rows[one.pk])]
    _move_all(
        to_mend,
        EnrollmentStatus.ACTION_REQUIRED,
        codes={one.pk: Code.TERMS_CHANGED for one in to_mend},
        at=at,
    )
    if to_mend:
        emails.terms_changed(terms, {one: gaps_of(rows[one.pk]) for one in to_mend})
    for enrollment in found:
        if not gaps_of(rows[enrollment.pk]):
            _move(
                enrollment,
                EnrollmentStatus.VALIDATING,
                code=Code.TERMS_CHANGED,
                by=None,
                at=at,
            )
            _reassess(enrollment, by=None, at=at, on=on)
    if not found:
        ProgramTerms.objects.filter(pk=terms.pk).update(is_followed=True)
    return len(found)


@transaction.atomic
def lapse_invitations(*, at: datetime) -> int:
    """Expire the next invitations that were not submitted by their last day.

    What somebody began and did not send, too; what they chose is kept for when they
    are invited anew. Each program counts days in its own calendar. So many in one
    transaction, which holds their companies; call it until nothing lapses. Sources:
    domain.md §10.4 and R66.
    """
    unanswered = Enrollment.objects.unanswered(FiscalCalendar.objects.by_day(at))
    some = list(
        unanswered.order_by().values_list("pk", "location__partner_account")[
            :INVITATIONS_AT_ONCE
        ]
    )
    lock_companies(*{company for _key, company in some})
    found = unanswered.filter(pk__in=[key for key, _company in some])
    lapsed = list(found.select_for_update(of=("self",)).order_by("pk"))
    _move_all(
        lapsed,
        EnrollmentStatus.EXPIRED,
        codes={one.pk: Code.LAPSED for one in lapsed},
        at=at,
        end_reason=EndReason.NOT_ANSWERED,
    )
    return len(lapsed)


def reopen_invitation(
    enrollment: Enrollment, *, code: str = Code.INVITED_ANEW, by: User, at: datetime
) -> Enrollment:
    """Move a lapsed invitation back to Invited, with a last day counted from now.

    Whoever accepted it before accepts the agreement as it is now. The part of
    invitations.invite_anew() that changes the enrollment.
    """
    enrollment.invited_at = at
    enrollment.enroll_by = enrollment.terms.last_day_for(_day_at(enrollment, at))
    enrollment.end_reason = ""
    enrollment.accepted_at = None
    enrollment.accepted_by = None
    enrollment.agreement_version = ""
    enrollment.terms_version = None
    _move(
        enrollment,
        EnrollmentStatus.INVITED,
        code=code,
        by=by,
        at=at,
        also=[
            "invited_at",
            "enroll_by",
            "end_reason",
            "accepted_at",
            "accepted_by",
            "agreement_version",
            "terms_version",
        ],
    )
    return enrollment


def extend_last_day(
    enrollment: Enrollment, *, until: date, note: str, by: User, at: datetime
) -> Enrollment:
    """Give an enrollment another last day; one that lapsed is open again.

    The part of extensions.answer_extension() that changes the enrollment. What was
    chosen stays.
    """
    if enrollment.is_lapsed:
        reopen_invitation(enrollment, by=by, at=at)
    enrollment.enroll_by = until
    enrollment.save(update_fields=["enroll_by"])
    _write_event(
        enrollment,
        code=Code.EXTENDED,
        from_status=enrollment.status,
        by=by,
        note=note,
        at=at,
    )
    return enrollment


def read_alone(enrollment: Enrollment) -> Enrollment:
    """Read the enrollment again, alone: the company first, then the row."""
    lock_companies(enrollment.location.partner_account_id)
    return _with_frame().get(pk=enrollment.pk)


def _read_as_editor(enrollment: Enrollment, *, by: User) -> Enrollment:
    """Read the enrollment alone, for somebody who may still change it (T5)."""
    enrollment = read_alone(enrollment)
    check_still_may(enrollment, permission=Permission.ENROLLMENT_EDIT, by=by)
    return enrollment


def end_at_closed_location(
    location: Location, *, reason: str, by: User, at: datetime
) -> list[Enrollment]:
    """End every enrollment of a location that is closed and not over; return them.

    The part of locations.close_location() that changes enrollments. Earning stops at
    once (account-deletion); the history stays.
    """
    ended = _locked_all(Enrollment.objects.not_over().filter(location=location))
    for enrollment in ended:
        enrollment.end_reason = EndReason.LOCATION_CLOSED
        _move(
            enrollment,
            EnrollmentStatus.INACTIVE,
            code=Code.LOCATION_CLOSED,
            by=by,
            at=at,
            note=reason,
            also=["end_reason"],
        )
    return ended


def reassess(enrollment: Enrollment, *, by: User | None, at: datetime) -> bool:
    """Let one submitted enrollment follow its profiles as they are now."""
    return _reassess(read_alone(enrollment), by=by, at=at)


def _reassess(
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
    rows = _payout_of(enrollment, at=at, on=on)
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
    _move(enrollment, wanted, code=code, by=by, at=at, also=also)
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


def _move(
    enrollment: Enrollment,
    status: EnrollmentStatus,
    *,
    code: str,
    by: User | None,
    at: datetime | None = None,
    note: str = "",
    also: list[str] | None = None,
) -> None:
    """Set the status and write the event; only _move_all() does the same."""
    if not enrollment.can_become(status):
        raise ValidationError(
            _("This enrollment is %(status)s now and cannot change that way."),
            code="transition",
            params={"status": within(enrollment.get_status_display())},
        )
    before = enrollment.status
    enrollment.status = status
    enrollment.status_since = at or timezone.now()
    enrollment.save(update_fields=["status", "status_since", *(also or [])])
    if enrollment.is_validating:
        _follow_questions_of(enrollment, at=enrollment.status_since)
    _write_event(
        enrollment,
        code=code,
        from_status=before,
        by=by,
        note=note,
        at=enrollment.status_since,
    )


def _move_all(
    enrollments: list[Enrollment],
    status: EnrollmentStatus,
    *,
    codes: Mapping[UUID, str],
    at: datetime,
    **also: str,
) -> None:
    """_move() for many that the clock moves alike, in two statements.

    `also` are other fields that get one value with it.
    """
    events = [
        EnrollmentEvent(
            enrollment=one,
            code=codes[one.pk],
            from_status=one.status,
            to_status=status,
            at=at,
        )
        for one in enrollments
        if one.can_become(status)
    ]
    for event in events:
        event.enrollment.status, event.enrollment.status_since = status, at
    Enrollment.objects.filter(pk__in=[event.enrollment_id for event in events]).update(
        status=status, status_since=at, **also
    )
    EnrollmentEvent.objects.bulk_create(events)


def _write_event(
    enrollment: Enrollment,
    *,
    code: str,
    from_status: str,
    by: User | None,
    note: str = "",
    at: datetime | None = None,
) -> EnrollmentEvent:
    return EnrollmentEvent.objects.create(
        enrollment=enrollment,
        code=code,
        from_status=from_status,
        to_status=enrollment.status,
        by=by,
        note=note[:400],
        at=at or timezone.now(),
    )


def _write_choice(enrollment: Enrollment, *, by: User, at: datetime | None) -> None:
    _write_event(
        enrollment,
        code=Code.PROFILES_CHOSEN,
        from_status=enrollment.status,
        by=by,
        at=at,
    )


def _payout_of(
    enrollment: Enrollment, *, at: datetime | None, on: date | None = None
) -> list[PayoutAssignment]:
    """What the enrollment uses and lacks on the program's day of a moment."""
    on = on or _day_at(enrollment, at)
    return payout_of([enrollment], on=on)[enrollment.pk]


def _day_at(enrollment: Enrollment, at: datetime | None) -> date:
    return enrollment.terms.fiscal_year.calendar.day_at(at or timezone.now())


def _locked_all(enrollments: EnrollmentQuerySet) -> list[Enrollment]:
    """Read what is still so, alone: the companies first, then the rows in order."""
    companies = enrollments.order_by().values_list("location__partner_account")
    lock_companies(*(key for (key,) in companies.distinct()))
    keys = enrollments.order_by().values("pk")
    return list(_with_frame().filter(pk__in=keys).order_by("pk"))


def _with_frame() -> EnrollmentQuerySet:
    return Enrollment.objects.select_for_update(of=("self",)).select_related(
        "location__partner_account",
        "terms__program",
        "terms__fiscal_year__calendar",
    )


def _versions_used(enrollment: Enrollment, *, part: str) -> list[ProfileVersion]:
    """Return the newest versions of the profiles a submitted enrollment wrote down."""
    model = BankProfileVersion if part == "bank" else TaxProfileVersion
    used = enrollment.payout_assignments.values(f"{part}_profile")
    return list(
        model.objects.filter(profile__in=used, status__in=CURRENT)
        .order_by("profile_id", "-number")
        .distinct("profile_id")
    )


def _confirm(
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
        _write_event(enrollment, code=code, from_status=enrollment.status, by=by, at=at)
    return is_new


def _choose_only_currency(enrollment: Enrollment, *, at: datetime | None) -> None:
    """Where bank and program leave one currency, there is nothing to ask."""
    for row in _payout_of(enrollment, at=at):
        if not row.currency_gap:
            continue
        if len(row.accepted_currencies) == 1:
            (row.currency,) = row.accepted_currencies
            row.save(update_fields=["currency"])


def first_method(terms: ProgramTerms) -> str:
    """Return how a new enrollment is paid until somebody chooses."""
    if PayoutMethod.BANK_TRANSFER in terms.methods or not terms.methods:
        return PayoutMethod.BANK_TRANSFER
    return terms.methods[0]


def _refuse_closed(enrollment: Enrollment, *, at: datetime | None) -> None:
    if enrollment.terms.program.discontinued_at is not None:
        raise ValidationError(
            _("%(program)s is discontinued."),
            code="discontinued",
            params={"program": enrollment.terms.program.name},
        )
    if not enrollment.is_editable:
        raise ValidationError(
            _("This enrollment is %(status)s now and cannot be changed."),
            code="not_editable",
            params={"status": within(enrollment.get_status_display())},
        )
    if enrollment.location.closed_at is not None:
        raise ValidationError(
            _("%(location)s is closed."),
            code="closed",
            params={"location": enrollment.location.name},
        )
    _refuse_late(enrollment, at=at)
    _refuse_unmigrated(enrollment.location)


def _refuse_late(enrollment: Enrollment, *, at: datetime | None) -> None:
    if enrollment.is_late(at or timezone.now()):
        raise ValidationError(
            _("The last day to enroll has passed. Write to the program owner."),
            code="late",
        )


def _refuse_unmet(enrollment: Enrollment, *, at: datetime) -> None:
    """Refuse what is measured and does not meet a requirement, though nothing moved it yet.

    What is not known refuses nobody who was invited.
    """
    unmet = RequirementCheck.objects.filter(
        location=enrollment.location_id, terms=enrollment.terms_id
    ).known_unmet(_day_at(enrollment, at))
    if unmet.exists():
        raise ValidationError(
            _("%(location)s does not meet what %(program)s asks now."),
            code="unmet",
            params={
                "location": enrollment.location.name,
                "program": enrollment.terms.program.name,
            },
        )


def _refuse_changed(
    enrollment: Enrollment,
    *,
    seen: str,
    rows: list[PayoutAssignment] | None = None,
    at: datetime | None,
) -> None:
    """Refuse what was decided before something else than is there now.

    Without a note of what was seen there is nothing to hold against it.
    """
    if not seen:
        return
    if not is_same(enrollment, rows or _payout_of(enrollment, at=at), seen):
        raise ValidationError(
            _("This enrollment was changed meanwhile. Look at what is here now."),
            code="changed",
        )


def _refuse_unmigrated(location: Location) -> None:
    if location.partner_account.awaits_migration:
        raise ValidationError(
            _(
                "%(company)s has not finished the migration to the portal. Finish it "
                "before you enroll."
            ),
            code="migration",
            params={"company": location.partner_account.name},
        )


def _refuse_unchangeable(enrollment: Enrollment, *, at: datetime | None) -> None:
    """Accepted, still open, not too late: only then can it be changed or submitted."""
    _refuse_closed(enrollment, at=at)
    if not enrollment.is_accepted:
        raise ValidationError(_("Accept the invitation first."), code="not_accepted")
