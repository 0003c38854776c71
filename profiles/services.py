"""Everything that changes bank and tax profiles; the only writer here.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from accounts.link_tokens import STOP_CHANGE, fingerprint_of, token_for
from accounts.models import AuditAction, AuditEvent, Location, PartnerAccount, User
from accounts.roles import Permission
from accounts.sealing import blind_index
from accounts.services import (
    check_second_person,
    check_still_may,
    lock_companies,
    record_audit_event,
)
from accounts.text import clean_line, clean_text
from profiles import countries, currencies, emails, reasons
from profiles.countries import CountrySchema
from profiles.countries.tax_forms import needed_form
from profiles.models import (
    BankChangeStop,
    BankProfile,
    BankProfileVersion,
    DefaultBankProfile,
    Profile,
    ProfileVersion,
    TaxDocument,
    TaxProfile,
    TaxProfileVersion,
)
from profiles.signals import profile_archived, profile_status_changed
from profiles.states import CANDIDATE, CURRENT, ProfileStatus

# To see bank details under review; to validate; to give the second approval of a bank
# account (domain.md §10.7).
REVIEW = "profiles.review_profiles"
VALIDATE = "profiles.validate_profiles"
APPROVE_ACCOUNTS = "profiles.approve_bank_accounts"
NOTE_LENGTH = 400
REASON_LENGTH = 200
# How often somebody is shown whole numbers within a day (security.md §6.2).
MOST_SHOWN_A_DAY = 5
# What counts as a number in a note: shorter ones are in every sentence.
NUMBER_LENGTH = 6
# Eight digits or more, in groups or not, look like an account's in a name; two years
# with a dash between do not.
ACCOUNT_LIKE = re.compile(r"\d(?:\W?\d){7,}")
TWO_YEARS = re.compile(r"(?:19|20)\d\d[-–/](?:19|20)\d\d")


class Approval(StrEnum):
    """Which approval of a version is to be given next."""

    ONLY = auto()
    FIRST = auto()
    SECOND = auto()


class WhyTwo(StrEnum):
    """Why a bank account needs two operators (domain.md §10.7)."""

    FIRST_ACCOUNT = auto()
    FURTHER_ACCOUNT = auto()
    CHANGE = auto()


@dataclass(frozen=True)
class AwaitedApproval:
    """The approval a version waits for; `why` two are needed, where they are."""

    kind: Approval
    why: WhyTwo | None


@sensitive_variables()
@transaction.atomic
def create_bank_profile(
    account: PartnerAccount,
    *,
    name: str,
    country: str,
    details: Mapping[str, str],
    by: User,
    at: datetime | None = None,
) -> BankProfile:
    """Add a bank account of a company; it waits for validation (R46-R49).

    `details` are the country's fields as typed; they are normalized and checked here.
    Raises ValidationError with one message per field, also when the name is taken.
    """
    schema = _schema(countries.bank_schema(country))
    details = countries.validate(schema, details)
    # The company's row is the lock that keeps two equal names apart (R47).
    lock_companies(account.pk)
    check_still_may(account, permission=Permission.PROFILE_EDIT, by=by)
    profile = BankProfile(partner_account=account, name=_line(name), created_by=by)
    profile.refuse_taken_name()
    profile.save()
    _send_bank_version(profile, schema=schema, details=details, by=by, at=at)
    return profile


@sensitive_variables()
@transaction.atomic
def revise_bank_profile(
    profile: BankProfile,
    *,
    country: str,
    details: Mapping[str, str],
    by: User,
    at: datetime | None = None,
) -> BankProfile:
    """Send a new version of a bank profile; the approved one stays in force (R44).

    A version that was waiting or returned is replaced; sending what is waiting once
    more changes nothing. Of a change of the account everybody is told at once, who was
    the contact before included (security.md T1). Raises ValidationError with one
    message per field, when the profile is archived, when everything is as in the
    version in force, and while a change is stopped (code "stopped").
    """
    schema = _schema(countries.bank_schema(country))
    details = countries.validate(schema, details)
    profile = _locked_by_editor(profile, by=by)
    _refuse_archived(profile)
    newest = _newest_current(profile)
    _refuse_stopped(newest)
    if newest.country == country and newest.details == details:
        if newest.is_pending or newest.is_cooling:
            return profile
        _refuse_unchanged(newest)
    _replace_candidate(profile)
    _send_bank_version(
        profile,
        schema=schema,
        details=details,
        replaced=newest if newest.is_candidate else None,
        by=by,
        at=at,
    )
    return profile


@sensitive_variables()
@transaction.atomic
def create_tax_profile(
    location: Location,
    *,
    name: str,
    country: str,
    details: Mapping[str, str],
    setup: Mapping[str, str] | None = None,
    documents: Collection[TaxDocument] = (),
    required: Collection[str] = (),
    expires_on: date | None = None,
    by: User,
    at: datetime | None = None,
) -> TaxProfile:
    """Add a location's tax details; they wait for validation (domain.md §3.5).

    `setup` are the answers that decide on the form, `documents` those of a draft, which
    stay with the version from here on. `required` names details that a program asks
    beyond the country's own (R55). Raises ValidationError with one message per field,
    also when the name is taken.
    """
    schema = _schema(countries.tax_schema(country))
    details = countries.validate(schema, details, required=required)
    _refuse_past(expires_on)
    lock_companies(location.partner_account_id)
    check_still_may(location, permission=Permission.PROFILE_EDIT, by=by)
    location = Location.objects.get(pk=location.pk)
    profile = TaxProfile(location=location, name=_line(name), created_by=by)
    profile.refuse_taken_name()
    profile.save()
    _send_tax_version(
        profile,
        schema=schema,
        details=details,
        setup=setup,
        documents=documents,
        expires_on=expires_on,
        by=by,
        at=at,
    )
    return profile


@sensitive_variables()
@transaction.atomic
def revise_tax_profile(
    profile: TaxProfile,
    *,
    country: str,
    details: Mapping[str, str],
    setup: Mapping[str, str] | None = None,
    documents: Collection[TaxDocument] = (),
    required: Collection[str] = (),
    expires_on: date | None = None,
    by: User,
    at: datetime | None = None,
) -> TaxProfile:
    """Send a new version of a tax profile; the approved one stays in force (R44).

    The rules are those of revise_bank_profile and create_tax_profile.
    """
    schema = _schema(countries.tax_schema(country))
    details = countries.validate(schema, details, required=required)
    _refuse_past(expires_on)
    profile = _locked_by_editor(profile, by=by)
    _refuse_archived(profile)
    newest = _newest_current(profile)
    is_same = (newest.country, newest.expires_on) == (country, expires_on) and (
        newest.details == details
    )
    if is_same and not documents and (setup is None or newest.setup == setup):
        if newest.is_pending:
            return profile
        _refuse_unchanged(newest)
    _replace_candidate(profile)
    _send_tax_version(
        profile,
        schema=schema,
        details=details,
        setup=newest.setup if setup is None else setup,
        documents=documents,
        expires_on=expires_on,
        by=by,
        at=at,
    )
    return profile


@sensitive_variables()
@transaction.atomic
def complete_tax_profile(
    profile: TaxProfile, *, details: Mapping[str, str], by: User
) -> TaxProfile:
    """Add what a program needs to what was sent before; the rest is kept (R55).

    `details` are the added fields as typed, none of them empty. What was sent before
    is never handed out, so that nobody has to type it again. Raises ValidationError
    with one message per field, and when the profile is archived.
    """
    profile = _locked(profile)
    newest = _newest_current(profile)
    return revise_tax_profile(
        profile,
        country=newest.country,
        details={**newest.details, **details},
        documents=copied_documents(newest, by=by),
        required=tuple(details),
        expires_on=newest.expires_on,
        by=by,
    )


def copied_documents(version: TaxProfileVersion, *, by: User) -> list[TaxDocument]:
    """Return unsaved copies of a version's documents: it keeps its own for good.

    A file is sealed for its own row, so each copy is sealed anew.
    """
    return [
        TaxDocument(
            location_id=one.location_id,
            kind=one.kind,
            dated_on=one.dated_on,
            content_type=one.content_type,
            size=one.size,
            name=one.name,
            content=one.content,
            added_by=by,
        )
        for one in version.documents.order_by("added_at", "pk")
    ]


@transaction.atomic
def approve_version(
    version: ProfileVersion, *, seen: str = "", by: User, at: datetime | None = None
) -> ProfileVersion:
    """Approve a pending version; the version in force before it is replaced.

    A bank account that its company is not paid at yet takes two operators (domain.md
    §10.7): the first approval only signs it, the second brings it into force, a change
    of one in force not before its cooling-off is over (docs/adr/0010). The first is of
    exactly what was there: where anything differs since, it has lapsed. `seen` is the
    signature of what the operator looked at. Approving what is approved changes
    nothing. Raises ValidationError as check_approving does, when somebody decided
    meanwhile, when the change is stopped (code "stopped"), or the partner archived the
    profile.
    """
    profile, version = _locked_version(version)
    _refuse_own(version, by=by)
    if version.is_approved or version.is_cooling:
        return version
    _refuse_put_away(profile)
    _refuse_stopped_approval(version)
    _refuse_decided(version, ProfileStatus.APPROVED)
    if seen and seen != signature_of(version):
        raise ValidationError(
            _("Something changed since you looked. Look at what is here now."),
            code="changed",
        )
    at = at or timezone.now()
    if check_approving(version, by=by) == Approval.FIRST:
        return _sign_first(version, by=by, at=at)
    if not _is_usable(version, at=at):
        _move(version, ProfileStatus.COOLING, by=by, at=at)
        after = {"usable_from": version.usable_from.isoformat()}
        _announce(version, by=by, action=AuditAction.PROFILE_APPROVED, after=after)
        emails.bank_change(version, step=emails.Step.APPROVED)
        return version
    _take_force(version, by=by, at=at)
    _announce(version, by=by, action=AuditAction.PROFILE_APPROVED)
    if version.is_change:
        emails.bank_change(version, step=emails.Step.IN_FORCE)
    return version


def bring_changes_into_force(*, at: datetime) -> int:
    """Let every approved change take effect whose cooling-off is over; return how many.

    The clock's: it asks what is due, never what time it was last asked, so that a late
    call catches up and a second one finds nothing. Each change stands alone.
    """
    due = BankProfileVersion.objects.due(at).order_by("usable_from", "pk")
    return sum(bring_into_force(version, at=at) for version in list(due))


@transaction.atomic
def bring_into_force(version: BankProfileVersion, *, at: datetime) -> bool:
    """Let an approved change take effect, if it is due; say whether it did.

    Enrollments that use the profile are validated with it from then on. What was
    stopped, returned, replaced or put away meanwhile stays out of force.
    """
    profile, version = _locked_version(version)
    if not version.is_cooling or profile.archived_at or not _is_usable(version, at=at):
        return False
    _take_force(version, at=at)
    _announce(version, by=None, action=AuditAction.PROFILE_IN_FORCE)
    emails.bank_change(version, step=emails.Step.IN_FORCE)
    return True


def _is_usable(version: ProfileVersion, *, at: datetime) -> bool:
    """Whether its cooling-off is over, if it has one: the only place that says so.

    BankProfileVersion.objects.due() asks the same of many, and a trigger of the table
    refuses everything else.
    """
    return not version.is_change or version.usable_from <= at


def _take_force(
    version: ProfileVersion, *, by: User | None = None, at: datetime
) -> None:
    """Put a version in the place of the one in force."""
    in_force = version.profile.versions.filter(status=ProfileStatus.APPROVED).first()
    if in_force is not None:
        _move(in_force, ProfileStatus.REPLACED)
    if version.part == "bank":
        version.approved_at = at
        version.save(update_fields=["approved_at"])
    _move(version, ProfileStatus.APPROVED, by=by, at=at)


# --- "This was not us" (security.md §6.2) ------------------------------------------------


@transaction.atomic
def stop_change(
    version: BankProfileVersion, *, by: User | None, at: datetime | None = None
) -> BankProfileVersion:
    """Stop a change of a bank account: nobody can approve it, and no time brings it.

    `by` is an admin of the company; None is the previous contact, whose link works
    once. Everybody is told. Stopping what is stopped changes nothing. Raises
    ValidationError when it is in force already (code "too_late"), when nothing waits
    (code "over"), and for a link that was used (code "used").
    """
    profile, version = _locked_version(version)
    if by is not None:
        check_still_may(profile, permission=Permission.PROFILE_KNOW, by=by)
    if version.is_stopped:
        return version
    if version.is_approved:
        raise ValidationError(
            _(
                "The change is in force already. Write to the program owner at once, "
                "and change the account back."
            ),
            code="too_late",
        )
    if not version.is_stoppable:
        raise ValidationError(
            _("This change is over. The account in force stays."), code="over"
        )
    if by is None and version.stops.filter(stopped_by=None).exists():
        raise ValidationError(
            _(
                "This link was used. The program owner checked the change with the "
                "company since. Write to the program owner if you doubt it."
            ),
            code="used",
        )
    _move(version, ProfileStatus.STOPPED)
    stop = BankChangeStop.objects.create(
        version=version, stopped_by=by, stopped_at=at or timezone.now()
    )
    after = {"stop": str(stop.pk)} | ({} if by else {"by": "previous contact"})
    _record(version, AuditAction.PROFILE_STOPPED, by=by, after=after)
    emails.bank_change(version, step=emails.Step.STOPPED, by=by)
    emails.bank_change_to_check(version, right=VALIDATE, besides=[])
    return version


@transaction.atomic
def check_stopped_change(
    version: BankProfileVersion,
    *,
    evidence: str,
    by: User,
    at: datetime | None = None,
) -> BankChangeStop:
    """Say how one made sure that the company wants a stopped change; the first of two.

    Twice is once. Raises ValidationError as check_second_person does, for who sent the
    change (code "four_eyes"), when somebody checked it already (code "checked"), when
    it is not stopped, and without evidence or with a number in it.
    """
    _profile, version = _locked_version(version)
    _refuse_own(version, by=by, rights=[VALIDATE])
    stop = _open_stop(version)
    if stop.checked_by_id is not None and stop.checked_by_id == by.pk:
        return stop
    if stop.checked_by is not None:
        raise ValidationError(
            _("%(name)s checked this already. Another operator releases it."),
            code="checked",
            params={"name": stop.checked_by.full_name},
        )
    try:
        evidence = _checked_note(evidence, version=version)
    except ValidationError as error:
        raise ValidationError({"evidence": error.messages}) from None
    if len(evidence) < 20:
        raise ValidationError(
            {"evidence": _("Say in at least 20 characters how you made sure.")}
        )
    stop.checked_by, stop.checked_at = by, at or timezone.now()
    stop.evidence = evidence
    stop.save(update_fields=["checked_by", "checked_at", "evidence"])
    _record(
        version,
        AuditAction.PROFILE_RELEASED,
        by=by,
        after={"stop": str(stop.pk), "step": 1},
        reason=evidence,
    )
    emails.bank_change_to_check(version, right=APPROVE_ACCOUNTS, besides=[by])
    return stop


@transaction.atomic
def release_change(
    version: BankProfileVersion, *, by: User, at: datetime | None = None
) -> BankProfileVersion:
    """Release a stopped change after somebody else checked it; the second of two.

    It is where it was before: waiting for approval, or for its cooling-off to be over.
    Everybody is told. Raises ValidationError as check_second_person does, for who sent
    the change (code "four_eyes") or checked it (code "second_operator"), before
    somebody checked (code "not_checked"), and when it is not stopped.
    """
    _profile, version = _locked_version(version)
    stop = _open_stop(version)
    is_same = ValidationError(
        _("You checked this change. Another operator releases it."),
        code="second_operator",
    )
    check_second_person(
        by,
        rights=[APPROVE_ACCOUNTS],
        first=[(version.submitted_by_id, _own()), (stop.checked_by_id, is_same)],
    )
    if stop.checked_by_id is None:
        raise ValidationError(
            _("Nobody has checked this change with the company yet."),
            code="not_checked",
        )
    stop.released_by, stop.released_at = by, at or timezone.now()
    stop.save(update_fields=["released_by", "released_at"])
    was_approved = version.decided_at is not None
    _move(version, ProfileStatus.COOLING if was_approved else ProfileStatus.PENDING)
    after = {"stop": str(stop.pk), "step": 2}
    _record(version, AuditAction.PROFILE_RELEASED, by=by, after=after)
    emails.bank_change(version, step=emails.Step.RELEASED)
    return version


@transaction.atomic
def withdraw_change(version: ProfileVersion, *, by: User) -> ProfileVersion:
    """Take a new version back; the one in force stays, as if nothing had been sent.

    Also of a change that was stopped. Twice is once. Raises ValidationError when the
    version is in force, or when nothing is in force beside it (code "not_beside").
    """
    profile, version = _locked_version(version)
    check_still_may(profile, permission=Permission.PROFILE_EDIT, by=by)
    if version.status == ProfileStatus.REPLACED:
        return version
    if not profile.versions.filter(status=ProfileStatus.APPROVED).exists() or (
        version.is_approved
    ):
        raise ValidationError(
            _("There is no version in force beside it. Change this one instead."),
            code="not_beside",
        )
    _move(version, ProfileStatus.REPLACED)
    _announce(version, by=by, action=AuditAction.PROFILE_WITHDRAWN)
    if version.is_change:
        emails.bank_change(version, step=emails.Step.WITHDRAWN, by=by)
    return version


def _open_stop(version: BankProfileVersion) -> BankChangeStop:
    stop = (
        version.stops.open()
        .select_for_update(of=("self",))
        .select_related("checked_by")
        .first()
    )
    if stop is None or not version.is_stopped:
        raise ValidationError(
            _("This change is not stopped any more: %(status)s."),
            code="not_stopped",
            params={"status": version.get_status_display()},
        )
    return stop


def check_approving(
    version: ProfileVersion, *, awaited: AwaitedApproval | None = None, by: User
) -> Approval:
    """Return which approval of a pending version somebody may give; change nothing.

    `awaited` is what awaited_approval said, where it was asked already. Raises
    ValidationError as check_second_person does: for who submitted it (rule 78), for who
    gave the first approval (code "second_operator"), and without the right to validate,
    or for the second approval to approve bank accounts.
    """
    awaited = awaited or awaited_approval(version)
    if awaited.kind != Approval.SECOND:
        _refuse_own(version, by=by, rights=[VALIDATE])
        return awaited.kind
    is_same = ValidationError(
        _("You gave the first approval. This bank account needs a second operator."),
        code="second_operator",
    )
    check_second_person(
        by,
        rights=[APPROVE_ACCOUNTS],
        first=[(version.submitted_by_id, _own()), (version.seconded_by_id, is_same)],
    )
    return awaited.kind


def awaited_approval(version: ProfileVersion) -> AwaitedApproval:
    """Return which approval a pending version waits for, and why two are needed."""
    why = why_two_operators(version)
    if why is None:
        return AwaitedApproval(Approval.ONLY, why)
    is_signed = has_first_approval(version)
    return AwaitedApproval(Approval.SECOND if is_signed else Approval.FIRST, why)


def has_first_approval(version: ProfileVersion) -> bool:
    """Whether one operator has approved exactly what is there now, and still may.

    A first approval lapses with anything it was given for: the details, the version
    in force beside them, the right of who gave it (security.md T5).
    """
    return (
        version.part == "bank"
        and version.seconded_by is not None
        and version.seconded_digest == signature_of(version)
        and version.seconded_by.is_staff
        and version.seconded_by.has_perm(VALIDATE)
    )


@sensitive_variables()
def signature_of(version: ProfileVersion) -> str:
    """Return what stands for everything an operator approves: keyed, so it tells nothing.

    Company, profile, country, every detail, and what they take the place of.
    """
    in_force = (
        version.profile.versions.filter(status=ProfileStatus.APPROVED)
        .exclude(pk=version.pk)
        .values_list("pk", flat=True)
        .first()
    )
    signed = {
        "company": version.profile.account.pk,
        "profile": str(version.profile_id),
        "version": str(version.pk),
        "country": version.country,
        "details": dict(version.details),
        "instead_of": str(in_force or ""),
    }
    text = json.dumps(signed, sort_keys=True, ensure_ascii=False)
    return blind_index(text, purpose="approval")


@sensitive_variables()
@transaction.atomic
def return_version(
    version: ProfileVersion,
    *,
    returned: list[dict[str, str]],
    by: User,
    at: datetime | None = None,
) -> ProfileVersion:
    """Return a version with reasons, each tied to a field (R41).

    Also an approved version can be returned: it is then out of force for everybody
    who uses it. Raises ValidationError without a reason, with a reason that does not
    belong to a field, when somebody decided meanwhile, or when `by` submitted it or
    may not decide it; whoever may give the second approval may return instead.
    """
    profile, version = _locked_version(version)
    is_signed = version.is_pending and has_first_approval(version)
    rights = [VALIDATE, APPROVE_ACCOUNTS] if is_signed else [VALIDATE]
    _refuse_own(version, by=by, rights=rights)
    _refuse_put_away(profile)
    _refuse_decided(version, ProfileStatus.ACTION_REQUIRED)
    returned = _checked_reasons(version, returned)
    if version.is_approved and profile.versions.filter(status__in=CANDIDATE).exists():
        raise ValidationError(
            _("A newer version is waiting. Decide that one first."), code="newer"
        )
    _give_back(version, returned, by=by, at=at)
    return version


@transaction.atomic
def archive_profile(profile: Profile, *, reason: str = "", by: User) -> Profile:
    """Put a profile away; profiles are never deleted (R53).

    Raises ValidationError while it is a location's default; whoever else uses it
    refuses through the signal's receivers.
    """
    return _put_away(_locked_by_editor(profile, by=by), reason=reason, by=by)


def _put_away(profile: Profile, *, reason: str, by: User) -> Profile:
    if profile.archived_at is not None:
        return profile
    if profile.part == "bank":
        uses = profile.defaults.count()
        if uses:
            raise ValidationError(
                ngettext(
                    "This is the default bank profile of %(count)d location. Choose "
                    "another default there first.",
                    "This is the default bank profile of %(count)d locations. Choose "
                    "another default there first.",
                    uses,
                )
                % {"count": uses},
                code="in_use",
            )
    profile.archived_at = timezone.now()
    profile.archived_by = by
    profile.save(update_fields=["archived_at", "archived_by"])
    _record(
        profile.versions.order_by("-number").first(),
        AuditAction.PROFILE_ARCHIVED,
        by=by,
        reason=reason,
    )
    profile_archived.send(sender=type(profile), profile=profile, by=by)
    return profile


@transaction.atomic
def put_away_at_closed_location(
    location: Location, *, bank_profiles: Iterable[BankProfile], reason: str, by: User
) -> None:
    """Take what waits because of a location that is closed out of the queue.

    Its tax profiles are archived and its default bank profile is taken away. Of
    `bank_profiles`, those that nothing uses any more, a waiting version is returned
    with the reason: the company may send it again for another location. For the
    service that closes the location, which ended its enrollments before.
    """
    for default in DefaultBankProfile.objects.select_for_update(of=("self",)).filter(
        location=location
    ):
        _take_default(default, by=by)
    taxes = TaxProfile.objects.filter(location=location).in_use().order_by("pk")
    for profile in taxes:
        _put_away(_locked(profile), reason=reason, by=by)
    for profile in bank_profiles:
        version = profile.versions.filter(status=ProfileStatus.PENDING).first()
        if version is not None:
            # Nobody judged it: whoever closes a location needs no right to validate.
            closed = {"field": "country", "code": reasons.LOCATION_CLOSED, "note": ""}
            _give_back(version, [closed], by=by)


@transaction.atomic
def set_default_bank_profile(
    locations: list[Location],
    *,
    bank_profile: BankProfile,
    currency: str,
    moving: Collection[Location] = (),
    by: User,
) -> list[DefaultBankProfile]:
    """Make a bank profile and currency the default of several locations (R50-R52).

    Those of `moving` give up the default they have, if any. Raises ValidationError when
    another location has a default already, when one is closed or another company's,
    when something is missing or archived, or when the bank does not take the currency.
    All or none.
    """
    if not locations:
        raise ValidationError({"locations": _("Choose at least one location.")})
    bank_profile = _locked(bank_profile)
    _refuse_archived(bank_profile)
    _refuse_currency(bank_profile, currency)
    # The rows of the locations are the locks that keep two defaults apart (R51).
    locations = list(
        Location.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk__in=[location.pk for location in locations])
        .order_by("name", "pk")
    )
    _refuse_foreign_or_closed(locations, bank_profile=bank_profile)
    check_still_may(*locations, permission=Permission.PROFILE_EDIT, by=by)
    for present in DefaultBankProfile.objects.filter(location__in=list(moving)):
        remove_default_bank_profile(present, by=by)
    _refuse_default_set(locations)
    defaults = []
    for location in locations:
        default = DefaultBankProfile.objects.create(
            location=location,
            partner_account_id=bank_profile.partner_account_id,
            bank_profile=bank_profile,
            currency=currency,
            set_by=by,
        )
        record_audit_event(
            default,
            action=AuditAction.DEFAULT_SET,
            by=by,
            partner_account=bank_profile.partner_account,
            after={
                "location": location.pk,
                "bank_profile": str(bank_profile.pk),
                "currency": currency,
            },
        )
        defaults.append(default)
    return defaults


@transaction.atomic
def remove_default_bank_profile(default: DefaultBankProfile, *, by: User) -> None:
    """Take a location's default away; enrollments already submitted stay as they are."""
    lock_companies(default.partner_account_id)
    rows = DefaultBankProfile.objects.select_for_update(of=("self",))
    row = rows.filter(pk=default.pk).first()
    if row is not None:
        check_still_may(row, permission=Permission.PROFILE_EDIT, by=by)
        _take_default(row, by=by)


def _take_default(row: DefaultBankProfile, *, by: User) -> None:
    record_audit_event(
        row,
        action=AuditAction.DEFAULT_REMOVED,
        by=by,
        partner_account=row.partner_account,
        before={
            "location": row.location_id,
            "bank_profile": str(row.bank_profile_id),
            "currency": row.currency,
        },
    )
    row.delete()


@transaction.atomic
def show_bank_number(profile: BankProfile, *, reason: str, by: User) -> BankProfile:
    """Let somebody read the whole numbers of a bank profile, once, for a reason.

    The trail keeps who and why, and the company's admins are told: without either
    nothing is shown (security.md §6.2). Raises ValidationError for a reason that says
    nothing or holds a number, and after five times in a day.
    """
    profile = _locked(profile)
    check_still_may(profile, permission=Permission.PROFILE_VIEW, by=by)
    reason = clean_text(reason, max_length=REASON_LENGTH) if reason.strip() else ""
    if len(reason) < 10:
        raise ValidationError(
            {"reason": _("Say in at least 10 characters what you need it for.")}
        )
    for version in profile.versions.filter(status__in=CURRENT):
        try:
            _checked_note(reason, version=version)
        except ValidationError as error:
            raise ValidationError({"reason": error.messages}) from None
    shown = AuditEvent.objects.filter(
        actor=by,
        action=AuditAction.NUMBER_SHOWN,
        at__gt=timezone.now() - timedelta(days=1),
    )
    if shown.count() >= MOST_SHOWN_A_DAY:
        raise ValidationError(
            _(
                "You were shown %(most)d numbers within a day. Come back tomorrow, or "
                "ask a colleague with the same role."
            )
            % {"most": MOST_SHOWN_A_DAY},
            code="too_many",
        )
    record_audit_event(
        profile,
        action=AuditAction.NUMBER_SHOWN,
        by=by,
        partner_account=profile.account,
        after={"profile": str(profile.pk)},
        reason=reason,
    )
    emails.bank_number_shown(profile, reason=reason, by=by)
    return profile


def needs_second_operator(version: ProfileVersion) -> bool:
    """Say whether one operator is not enough (domain.md §10.7)."""
    return why_two_operators(version) is not None


def why_two_operators(version: ProfileVersion) -> WhyTwo | None:
    """Say why a bank version takes two operators; None where it takes one.

    It takes one where the company is paid there already: at the same account, held in
    the same name. A profile is compared with what was approved in it last: returning
    the version in force does not make the next one a first one. A new profile is
    compared with the accounts in force in the company's others: any of its locations
    can be paid there the next minute, by default or by choice (security.md T1).
    """
    if version.part != "bank":
        return None
    is_same = Case(When(profile=version.profile_id, then=1), default=0)
    is_paid_at = Case(
        When(
            status=ProfileStatus.APPROVED,
            profile__archived_at=None,
            blind_index=version.blind_index,
            then=1,
        ),
        default=0,
    )
    before = (
        BankProfileVersion.objects.filter(
            approved_at__isnull=False,
            profile__partner_account=version.profile.partner_account_id,
        )
        .exclude(pk=version.pk)
        .annotate(is_same=is_same, is_paid_at=is_paid_at)
        .order_by("-is_same", "-is_paid_at", "-number", "pk")
        .first()
    )
    if before is None:
        return WhyTwo.FIRST_ACCOUNT
    is_known = before.is_same or before.is_paid_at
    # What one operator signed is not decided by one, whatever was approved since.
    is_signed = version.seconded_by_id is not None
    if is_known and _payee(before) == _payee(version) and not is_signed:
        return None
    return WhyTwo.CHANGE if before.is_same else WhyTwo.FURTHER_ACCOUNT


def _payee(version: ProfileVersion) -> tuple[str, str]:
    """Who is paid where: the account, and the name it is held in."""
    return version.blind_index, version.details.get("account_holder", "")


def _schema(schema: CountrySchema | None) -> CountrySchema:
    if schema is None:
        raise ValidationError({"country": _("Choose a country from the list.")})
    return schema


def refuse_bad_name(profile: Profile) -> str:
    """Return a profile's name as it is stored; raise ValidationError on `name`."""
    profile.name = _line(profile.name)
    if not profile.name:
        raise ValidationError({"name": _("Enter a profile name")})
    profile.refuse_taken_name()
    return profile.name


def _line(name: str) -> str:
    numbers = ACCOUNT_LIKE.findall(name)
    if any(not TWO_YEARS.fullmatch(number) for number in numbers):
        raise ValidationError(
            {"name": _("Leave the account number out of the name. Call it otherwise.")}
        )
    try:
        return clean_line(name, max_length=80)
    except ValidationError as error:
        raise ValidationError({"name": error.messages}) from None


def _send_bank_version(
    profile: BankProfile,
    *,
    schema: CountrySchema,
    details: dict[str, str],
    replaced: BankProfileVersion | None = None,
    by: User,
    at: datetime | None,
) -> None:
    number = countries.account_number(schema, details)
    version = BankProfileVersion(
        profile=profile,
        number=_next_number(profile),
        country=schema.country,
        schema_version=schema.version,
        details=details,
        last4=countries.last4(number),
        blind_index=blind_index(number, purpose="bank"),
        bank_name=countries.bank_name(schema, details),
        local_currency=currencies.local_currency(schema.country),
        takes_only_local=currencies.takes_only_local(schema.country),
        submitted_at=at or timezone.now(),
        submitted_by=by,
    )
    if why_two_operators(version) == WhyTwo.CHANGE:
        version.usable_from = version.submitted_at + cooling_off()
        token = token_for(version.pk, purpose=STOP_CHANGE)
        version.stop_sha256 = fingerprint_of(token)
    version.save(force_insert=True)
    # What was signed is gone: whoever signed it signs anew.
    has_lapsed = replaced is not None and replaced.seconded_by_id is not None
    lapsed = {"lapsed": replaced.seconded_by_id} if has_lapsed else None
    _announce(version, by=by, action=AuditAction.PROFILE_SUBMITTED, after=lapsed)
    if version.is_change:
        emails.bank_change(version, step=emails.Step.ASKED, by=by)


def cooling_off() -> timedelta:
    """How long a changed account waits from the request on (security.md T1)."""
    return timedelta(hours=settings.BANK_CHANGE_COOLING_OFF_HOURS)


def _send_tax_version(
    profile: TaxProfile,
    *,
    schema: CountrySchema,
    details: dict[str, str],
    setup: Mapping[str, str] | None,
    documents: Collection[TaxDocument],
    expires_on: date | None,
    by: User,
    at: datetime | None,
) -> None:
    number = countries.tax_number(schema, details)
    needed = needed_form(schema.country, setup or {})
    version = TaxProfileVersion.objects.create(
        profile=profile,
        number=_next_number(profile),
        country=schema.country,
        schema_version=schema.version,
        form=needed.form if needed else schema.tax_form,
        details=details,
        setup=dict(setup or {}),
        # Documents count as provided too: a program asks for them by their kind (R55).
        provided=sorted({*details, *(one.kind for one in documents)}),
        last4=countries.last4(number),
        blind_index=blind_index(number, purpose="tax"),
        expires_on=expires_on,
        submitted_at=at or timezone.now(),
        submitted_by=by,
    )
    for document in documents:
        document.draft, document.version = None, version
        document.save(
            update_fields=None if document._state.adding else ["draft", "version"]
        )
    _announce(version, by=by, action=AuditAction.PROFILE_SUBMITTED)


def _next_number(profile: Profile) -> int:
    newest = profile.versions.order_by("-number").values_list("number", flat=True)
    return (newest.first() or 0) + 1


def _locked(profile: Profile) -> Profile:
    """Lock a profile against other changes, not against rows that refer to it."""
    lock_companies(_company_key(profile))
    rows = type(profile).objects.select_for_update(of=("self",), no_key=True)
    return rows.get(pk=profile.pk)


def _locked_by_editor(profile: Profile, *, by: User) -> Profile:
    """Lock a profile for somebody who may still change it (T5)."""
    profile = _locked(profile)
    check_still_may(profile, permission=Permission.PROFILE_EDIT, by=by)
    return profile


def _company_key(profile: Profile) -> int:
    if isinstance(profile, BankProfile):
        return profile.partner_account_id
    return profile.location.partner_account_id


def _locked_version(version: ProfileVersion) -> tuple[Profile, ProfileVersion]:
    profile = _locked(version.profile)
    return profile, type(version).objects.select_for_update(of=("self",)).get(
        pk=version.pk
    )


def _newest_current(profile: Profile) -> ProfileVersion:
    """The version a change is compared with: the candidate, else the one in force."""
    return profile.versions.filter(status__in=CURRENT).order_by("-number")[0]


def _replace_candidate(profile: Profile) -> None:
    candidate = profile.versions.filter(status__in=CANDIDATE).first()
    if candidate is not None:
        _move(candidate, ProfileStatus.REPLACED)


def _give_back(
    version: ProfileVersion,
    returned: list[dict[str, str]],
    *,
    by: User,
    at: datetime | None = None,
) -> None:
    """Return a version with reasons that were checked."""
    version.returned = returned
    version.save(update_fields=["returned"])
    _move(version, ProfileStatus.ACTION_REQUIRED, by=by, at=at)
    _announce(
        version,
        by=by,
        action=AuditAction.PROFILE_RETURNED,
        after={"reasons": [reason["code"] for reason in returned]},
    )


def _move(
    version: ProfileVersion,
    status: ProfileStatus,
    *,
    by: User | None = None,
    at: datetime | None = None,
) -> None:
    """Set a version's status: the only line that does."""
    if not version.can_become(status):
        raise ValidationError(
            _("This version is %(status)s and cannot change that way."),
            code="transition",
            params={"status": version.get_status_display()},
        )
    version.status = status
    fields = ["status"]
    if by is not None:
        version.decided_at = at or timezone.now()
        version.decided_by = by
        fields += ["decided_at", "decided_by"]
    version.save(update_fields=fields)


def _sign_first(
    version: BankProfileVersion, *, by: User, at: datetime
) -> BankProfileVersion:
    """Write down the first of two approvals, and for what; tell who gives the second."""
    lapsed = version.seconded_by_id
    version.seconded_at, version.seconded_by = at, by
    version.seconded_digest = signature_of(version)
    version.save(update_fields=["seconded_at", "seconded_by", "seconded_digest"])
    after = {"step": 1} | ({"lapsed": lapsed} if lapsed else {})
    _record(version, AuditAction.PROFILE_APPROVED, by=by, after=after)
    emails.second_approval_needed(version, right=APPROVE_ACCOUNTS)
    return version


def _announce(
    version: ProfileVersion,
    *,
    by: User | None,
    action: AuditAction,
    after: dict[str, Any] | None = None,
) -> None:
    # The company's audit chain is a lock too; it is taken last.
    profile_status_changed.send(sender=type(version), version=version, by=by)
    _record(version, action, by=by, after=after)


def _record(
    version: ProfileVersion,
    action: AuditAction,
    *,
    by: User | None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    profile = version.profile
    record_audit_event(
        version,
        action=action,
        by=by,
        partner_account=profile.account,
        after={"profile": str(profile.pk), "version": version.number} | (after or {}),
        location=getattr(profile, "location", None),
        reason=reason,
    )


def _refuse_archived(profile: Profile) -> None:
    if profile.archived_at is not None:
        raise ValidationError(
            _("This profile is archived. Choose or add another."), code="archived"
        )


def _refuse_stopped(newest: ProfileVersion) -> None:
    if newest.is_stopped:
        raise ValidationError(
            _(
                "Somebody stopped the change that waits. Withdraw it first, or wait "
                "until the program owner has checked it."
            ),
            code="stopped",
        )


def _refuse_stopped_approval(version: ProfileVersion) -> None:
    if version.is_stopped:
        raise ValidationError(
            _("This change was stopped. Two operators release it after checking."),
            code="stopped",
        )


def _refuse_put_away(profile: Profile) -> None:
    if profile.archived_at is not None:
        raise ValidationError(
            _("The partner archived this profile. There is nothing to decide."),
            code="archived",
        )


def _refuse_unchanged(newest: ProfileVersion) -> None:
    if newest.is_approved:
        raise ValidationError(
            _("Everything is as in the approved version. There is nothing to send."),
            code="unchanged",
        )


def _refuse_past(expires_on: date | None) -> None:
    if expires_on is not None and expires_on < timezone.localdate():
        raise ValidationError(
            {"expires_on": _("This day has passed. Renew the form first, then add it.")}
        )


def _refuse_foreign_or_closed(
    locations: list[Location], *, bank_profile: BankProfile
) -> None:
    for location in locations:
        if location.partner_account_id != bank_profile.partner_account_id:
            raise ValidationError(
                {"locations": _("Choose locations of the bank profile's company.")}
            )
        if location.closed_at is not None:
            raise ValidationError(
                {
                    "locations": _("%(location)s is closed. Leave it out.")
                    % {"location": location.name}
                }
            )


def _refuse_default_set(locations: list[Location]) -> None:
    taken = DefaultBankProfile.objects.filter(location__in=locations)
    names = ", ".join(sorted(taken.values_list("location__name", flat=True)))
    if names:
        raise ValidationError(
            {
                "locations": _("%(names)s: a default is set already. Remove it first.")
                % {"names": names}
            },
            code="has_default",
        )


def _refuse_own(
    version: ProfileVersion,
    *,
    by: User,
    rights: Collection[str] = (VALIDATE, APPROVE_ACCOUNTS),
) -> None:
    """The second pair of eyes is the program owner's, never a role of the company.

    Admins may give roles to themselves (R4): such a role seconds nothing.
    """
    check_second_person(by, rights=rights, first=[(version.submitted_by_id, _own())])


def _own() -> ValidationError:
    return ValidationError(
        _("You submitted this. Somebody else has to decide it."), code="four_eyes"
    )


def _refuse_decided(version: ProfileVersion, wanted: ProfileStatus) -> None:
    if version.can_become(wanted):
        return
    if version.decided_by_id is None:
        raise ValidationError(
            _("The partner replaced this version meanwhile. Decide the new one."),
            code="decided",
        )
    raise ValidationError(
        _("%(name)s decided this already: %(status)s."),
        code="decided",
        params={
            "name": version.decided_by.full_name,
            "status": version.get_status_display(),
        },
    )


def _refuse_currency(profile: BankProfile, currency: str) -> None:
    version = profile.current_version
    if version.takes_only_local and currency != version.local_currency:
        raise ValidationError(
            {
                "currency": _("This bank takes only %(currency)s.")
                % {"currency": version.local_currency}
            }
        )
    if currency not in currencies.CURRENCIES:
        raise ValidationError({"currency": _("Choose a currency from the list.")})


def _checked_reasons(
    version: ProfileVersion, returned: list[dict[str, str]]
) -> list[dict[str, str]]:
    """Return the reasons as they are stored; errors say in `row` which one is wrong."""
    if not returned:
        raise _wrong_reason(
            "reason", _("Choose a reason, so that the partner knows what to mend.")
        )
    known = {reason.code: reason for reason in reasons.reasons_for(version.part)}
    fields = countries.field_keys(
        version.country, version.part, version=version.schema_version
    )
    checked = []
    for row, given in enumerate(returned):
        field, code = given.get("field", ""), given.get("code", "")
        if code not in known or field not in fields or not known[code].fits(field):
            raise _wrong_reason("reason", _("Choose a reason from the list."), row=row)
        try:
            note = _checked_note(given.get("note", ""), version=version)
        except ValidationError as error:
            raise _wrong_reason("note", error.messages[0], row=row) from None
        if known[code].needs_note and len(note) < 20:
            raise _wrong_reason(
                "note",
                _("Say in at least 20 characters what the partner should do."),
                row=row,
            )
        checked.append({"field": field, "code": code, "note": note})
    return checked


def _wrong_reason(field: str, sentence: str, *, row: int = 0) -> ValidationError:
    return ValidationError({field: ValidationError(sentence, params={"row": row})})


def _checked_note(note: str, *, version: ProfileVersion) -> str:
    """Return the note in its normal form; it is mailed, so it holds no number (R59)."""
    if not note.strip():
        return ""
    note = clean_text(note, max_length=NOTE_LENGTH)
    schema = version.schema
    numbers = [
        version.details.get(field.key, "")
        for field in (schema.fields if schema else ())
        if field.is_secret
    ]
    written = unicodedata.normalize("NFKC", note).upper()
    written = "".join(character for character in written if character.isalnum())
    if any(len(number) >= NUMBER_LENGTH and number in written for number in numbers):
        raise ValidationError(_("Leave out the number: this text is sent by mail."))
    return note
