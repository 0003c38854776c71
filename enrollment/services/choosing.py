"""What an enrollment is paid through and in which currency: chosen, moved, replaced."""

from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Permission
from accounts.services import (
    check_still_may,
    lock_companies,
)
from enrollment.eligibility import (
    gaps_of,
    why_not_paid_to,
)
from enrollment.models import (
    Enrollment,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.services.following import reassess_held
from enrollment.services.moving import (
    Code,
    locked_all,
    move,
    payout_now,
    read_as_editor,
    write_event,
)
from enrollment.services.refusing import refuse_changed, refuse_unchangeable
from enrollment.states import (
    FOLLOWS_PROFILES,
    EnrollmentStatus,
)
from profiles.emails import payout_moved
from profiles.models import (
    BankProfile,
    Profile,
    TaxProfile,
)
from profiles.services import (
    refuse_too_new,
    set_default_bank_profile,
)
from profiles.states import USING, PayoutMethod


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
    enrollment = read_as_editor(enrollment, by=by)
    refuse_unchangeable(enrollment, at=at)
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
        refuse_changed(enrollment, seen=seen, at=at)
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
    enrollment = read_as_editor(enrollment, by=by)
    refuse_unchangeable(enrollment, at=at)
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
        refuse_changed(enrollment, seen=seen, at=at)
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
    enrollments = locked_all(
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
            reassess_held(enrollment, by=by, at=at)
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
    enrollment = read_as_editor(enrollment, by=by)
    refuse_unchangeable(enrollment, at=at)
    others = enrollment.payout_assignments.exclude(currency=currency)
    if earning_type is not None:
        others = others.filter(earning_type=earning_type)
    if others.exists():
        refuse_changed(enrollment, seen=seen, at=at)
    others.update(currency=currency)
    rows = payout_now(enrollment, at=at)
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
    enrollment = read_as_editor(enrollment, by=by)
    refuse_unchangeable(enrollment, at=at)
    rows = payout_now(enrollment, at=at)
    if enrollment.is_invited and gaps_of(rows):
        move(
            enrollment,
            EnrollmentStatus.ACTION_REQUIRED,
            code=Code.DETAILS_ASKED,
            by=by,
            at=at,
        )
    return enrollment


def _write_choice(enrollment: Enrollment, *, by: User, at: datetime | None) -> None:
    write_event(
        enrollment,
        code=Code.PROFILES_CHOSEN,
        from_status=enrollment.status,
        by=by,
        at=at,
    )


def _choose_only_currency(enrollment: Enrollment, *, at: datetime | None) -> None:
    """Where bank and program leave one currency, there is nothing to ask."""
    for row in payout_now(enrollment, at=at):
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
