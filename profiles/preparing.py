"""Bank or tax details that somebody without the role fills in, and an admin goes on with.

Two ways lead here: an Incentives admin asks a person by address (experience.md §3.1,
"Ask finance"), or a colleague who sees an enrollment prepares it ("Prepare without
permission"). Neither makes a profile. What was filled in becomes a draft of the admin
who goes on with it; only sending that does anything (docs/adr/0017).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.link_tokens import PREPARED_PART, fingerprint_of, token_for
from accounts.models import AuditAction, Location, User
from accounts.roles import Permission
from accounts.services import check_still_may, lock_companies, record_audit_event
from accounts.text import clean_line, normalize_email
from profiles import bank_drafting, countries, drafting, emails
from profiles.models import (
    BankProfileDraft,
    PartState,
    PreparedPart,
    Section,
    TaxProfileDraft,
)
from profiles.services import refuse_link

# How long a link works, and how long what was filled in waits for an admin.
LINK_LASTS = timedelta(days=7)
WAITS = timedelta(days=30)
# Nobody's mailbox is filled from here (security.md T19).
MOST_A_DAY = 10


@transaction.atomic
def ask_colleague(
    location: Location,
    *,
    section: Section | str,
    email: str,
    full_name: str,
    language: str,
    note: str = "",
    by: User,
) -> PreparedPart:
    """Ask a person to fill in the bank or the tax details of a location; mail a link.

    It opens that section and nothing else, for that address alone, for seven days. A
    newer one takes the place of an open one to the same address. Raises ValidationError
    when `by` may not change profiles there any more, on `email` for oneself, on `note`
    for a link in it, for a country without a form, and when too many were asked today.
    """
    section = Section(section)
    lock_companies(location.partner_account_id)
    check_still_may(location, permission=Permission.PROFILE_EDIT, by=by)
    address = normalize_email(email)
    if address == by.email:
        raise ValidationError(
            {"email": _("That is you. Choose somebody else.")}, code="self"
        )
    refuse_link(note)
    _refuse_without_form(location, section)
    now = timezone.now()
    asked = PreparedPart.objects.filter(
        asked_by=by, asked_at__gt=now - timedelta(days=1)
    )
    if asked.count() >= MOST_A_DAY:
        raise ValidationError(
            _("You asked a lot of people today. Try again tomorrow."), code="too_many"
        )
    _end_open(location, section, address, by=by, at=now)
    part = PreparedPart(
        location=location,
        section=section,
        email=address,
        full_name=clean_line(full_name, max_length=120),
        language=language,
        asked_by=by,
        note=note.strip(),
        asked_at=now,
        expires_at=now + LINK_LASTS,
    )
    part.token_sha256 = fingerprint_of(token_for(part.pk, purpose=PREPARED_PART))
    part.full_clean(validate_constraints=False)
    part.save()
    _record(part, AuditAction.PART_ASKED, by=by)
    emails.part_asked(part)
    return part


@transaction.atomic
def begin_part(location: Location, *, section: Section | str, by: User) -> PreparedPart:
    """Begin to prepare details of a location where one may look, not change profiles.

    Beginning again goes on with what was begun. Who asks whether the person may look is
    the service of the enrollment, which holds the lock. Raises ValidationError for a
    country without a form.
    """
    section = Section(section)
    lock_companies(location.partner_account_id)
    _refuse_without_form(location, section)
    now = timezone.now()
    begun = PreparedPart.objects.open_at(now).filter(
        location=location, section=section, email=by.email
    )
    if known := begun.first():
        return known
    _end_open(location, section, by.email, by=by, at=now)
    part = PreparedPart.objects.create(
        location=location,
        section=section,
        email=by.email,
        full_name=by.full_name,
        language=by.language,
        asked_at=now,
        expires_at=now + WAITS,
    )
    _record(part, AuditAction.PART_ASKED, by=by)
    return part


@sensitive_variables()
@transaction.atomic
def fill_part(
    part: PreparedPart,
    *,
    country: str,
    details: Mapping[str, str],
    note: str = "",
    by: User,
) -> PreparedPart:
    """Hand what was filled in to the Incentives admins; from then on nobody else sees it.

    Raises ValidationError with one message per field, when it is for somebody else's
    address, when its time is over or it is handed in already, and when whoever asked, or
    prepares of their own accord, lost the role that let them (T5).
    """
    part = _held(part)
    now = timezone.now()
    if by.email != part.email or by.is_staff or not by.is_active:
        raise ValidationError(_("This is for somebody else."), code="wrong_person")
    _refuse_closed(part, at=now)
    _refuse_without_right(part)
    part.country = country if part.is_bank else part.location.country
    if part.schema is None:
        raise ValidationError({"country": _("Choose a country from the list.")})
    part.details = countries.validate(part.schema, details)
    refuse_link(note)
    part.state, part.filled_at, part.filled_by = PartState.FILLED, now, by
    part.expires_at = now + WAITS
    part.save()
    _record(part, AuditAction.PART_FILLED, by=by, reason=note)
    emails.part_filled(part, note=note)
    return part


@sensitive_variables()
@transaction.atomic
def use_part(
    part: PreparedPart, *, name: str, by: User
) -> BankProfileDraft | TaxProfileDraft:
    """Go on with what a colleague filled in, as a draft of one's own.

    Nothing is sent by it. Raises ValidationError on `name`, when `by` may not change
    profiles there any more, has a draft of the same kind already (code "begun"), or
    somebody was faster.
    """
    part = _held(part)
    check_still_may(part, permission=Permission.PROFILE_EDIT, by=by)
    if part.state != PartState.FILLED:
        raise ValidationError(
            _("Somebody has gone on with this already, or put it aside."), code="closed"
        )
    draft = _bank_draft(part, name, by) if part.is_bank else _tax_draft(part, name, by)
    _close(part, PartState.USED)
    _record(part, AuditAction.PART_USED, by=by)
    return draft


@transaction.atomic
def end_part(part: PreparedPart, *, by: User) -> PreparedPart:
    """Put aside what somebody was asked for or filled in; twice is once.

    Raises ValidationError when `by` may not change profiles there any more.
    """
    part = _held(part)
    check_still_may(part, permission=Permission.PROFILE_EDIT, by=by)
    if part.closed_at is None:
        _close(part, PartState.ENDED)
        _record(part, AuditAction.PART_ENDED, by=by)
    return part


@transaction.atomic
def expire_parts(*, at: datetime) -> int:
    """Close parts whose time is over, with all that was filled in; return how many."""
    overdue = PreparedPart.objects.overdue(at)
    lock_companies(*overdue.values_list("location__partner_account_id", flat=True))
    closed = list(overdue.for_pages().order_by("pk"))
    for part in closed:
        _close(part, PartState.EXPIRED, at=at)
        _record(part, AuditAction.PART_ENDED, by=None)
    return len(closed)


@sensitive_variables()
def _bank_draft(part: PreparedPart, name: str, by: User) -> BankProfileDraft:
    account = part.location.partner_account
    if bank_drafting.bank_draft_of(account, by=by) is not None:
        raise _has_begun(_("You have begun a bank profile. Send or discard it first."))
    draft = bank_drafting.begin_bank_draft(
        account, name=name, country=part.country, by=by
    )
    for step in bank_drafting.STEPS:
        keys = [
            spec.key for spec in bank_drafting.step_schema(part.country, step).fields
        ]
        draft = bank_drafting.fill_bank_step(
            draft,
            step=step,
            details={key: part.details.get(key, "") for key in keys},
            by=by,
        )
    return draft


@sensitive_variables()
def _tax_draft(part: PreparedPart, name: str, by: User) -> TaxProfileDraft:
    begun = TaxProfileDraft.objects.unsent().filter(
        location=part.location, profile=None, created_by=by
    )
    if begun.exists():
        raise _has_begun(
            _(
                "You have begun a tax profile of this location. Send or discard it first."
            )
        )
    draft = drafting.begin_tax_draft(part.location, country=part.country, by=by)
    draft = drafting.fill_tax_company(
        draft, name=name, country=part.country, details=part.details, by=by
    )
    # The numbers are asked on a later step, filled in and looked at there.
    draft.details = {**part.details, **draft.details}
    draft.save()
    return draft


def _has_begun(sentence: str) -> ValidationError:
    return ValidationError(sentence, code="begun")


def _end_open(
    location: Location, section: Section, address: str, *, by: User, at: datetime
) -> None:
    """Close what the same address was asked before for the same section."""
    for part in PreparedPart.objects.filter(
        location=location, section=section, email=address, state=PartState.OPEN
    ).for_pages():
        _close(part, PartState.ENDED, at=at)
        _record(part, AuditAction.PART_ENDED, by=by)


def _close(part: PreparedPart, state: PartState, *, at: datetime | None = None) -> None:
    """Bring a part to its end: nothing of what was filled in stays."""
    part.state, part.details, part.closed_at = state, {}, at or timezone.now()
    part.save(update_fields=["state", "details", "closed_at"])


def _held(part: PreparedPart) -> PreparedPart:
    """Lock the company, then read what the part is by now."""
    lock_companies(part.location.partner_account_id)
    return PreparedPart.objects.for_pages().get(pk=part.pk)


def _refuse_closed(part: PreparedPart, *, at: datetime) -> None:
    if not part.is_open(at):
        raise ValidationError(
            _("This is over: it was handed in, put aside, or its time has passed."),
            code="closed",
        )


def _refuse_without_right(part: PreparedPart) -> None:
    """Whoever asked may change profiles there still; whoever began may still look."""
    if part.asked_by is not None:
        who, needed = part.asked_by, Permission.PROFILE_EDIT
    else:
        who = User.objects.filter(email=part.email).first() or AnonymousUser()
        needed = Permission.ENROLLMENT_VIEW
    there = Location.objects.filter(pk=part.location_id, closed_at=None)
    if not there.where_user_may(who, needed).exists():
        raise ValidationError(
            _(
                "Whoever asked for this may not do so any more. Ask an Incentives admin."
            ),
            code="closed",
        )


def _refuse_without_form(location: Location, section: Section) -> None:
    if section == Section.TAX and countries.tax_schema(location.country) is None:
        raise ValidationError(
            _("There is no tax form for the country of this location yet."),
            code="no_form",
        )


def _record(
    part: PreparedPart, action: AuditAction, *, by: User | None, reason: str = ""
) -> None:
    record_audit_event(
        part,
        action=action,
        by=by,
        partner_account=part.location.partner_account,
        after={
            "email": part.email,
            "section": part.section,
            "location": part.location_id,
        },
        reason=reason,
    )
