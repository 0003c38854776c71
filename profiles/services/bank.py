"""Bank profiles: adding one, and sending a new version."""

from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.link_tokens import STOP_CHANGE, fingerprint_of, token_for
from accounts.models import AuditAction, PartnerAccount, User
from accounts.roles import Permission
from accounts.sealing import blind_index
from accounts.services import check_still_may, lock_companies
from profiles import countries, currencies, emails
from profiles.countries import CountrySchema
from profiles.models import BankProfile, BankProfileVersion, ProfileVersion
from profiles.services.approvals import (
    WhyTwo,
    cooling_off,
    standing_stop,
    why_two_operators,
)
from profiles.services.stops import stop_again
from profiles.services.versions import (
    announce,
    known_schema,
    locked_by_editor,
    newest_current,
    next_number,
    refuse_archived,
    refuse_unchanged,
    replace_candidate,
)
from profiles.services.words import checked_name


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
    schema = known_schema(countries.bank_schema(country))
    details = countries.validate(schema, details)
    # The company's row is the lock that keeps two equal names apart (R47).
    lock_companies(account.pk)
    check_still_may(account, permission=Permission.PROFILE_EDIT, by=by)
    profile = BankProfile(
        partner_account=account, name=checked_name(name), created_by=by
    )
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
    version in force, and while a change of it is stopped (code "stopped").
    """
    schema = known_schema(countries.bank_schema(country))
    details = countries.validate(schema, details)
    profile = locked_by_editor(profile, by=by)
    refuse_archived(profile)
    newest = newest_current(profile)
    _refuse_stopped(profile, newest)
    if newest.country == country and newest.details == details:
        if newest.is_pending or newest.is_held:
            return profile
        refuse_unchanged(newest)
    replace_candidate(profile)
    _send_bank_version(
        profile,
        schema=schema,
        details=details,
        replaced=newest if newest.is_candidate else None,
        by=by,
        at=at,
    )
    return profile


def _send_bank_version(
    profile: BankProfile,
    *,
    schema: CountrySchema,
    details: dict[str, str],
    replaced: BankProfileVersion | None = None,
    by: User,
    at: datetime | None,
) -> None:
    version = unsent_bank_version(profile, schema=schema, details=details, by=by, at=at)
    version.number = next_number(profile)
    why, stop = why_two_operators(version), standing_stop(version)
    if why == WhyTwo.CHANGE or stop or (_waits_as_one(why, profile)):
        version.usable_from = version.submitted_at + cooling_off()
        token = token_for(version.pk, purpose=STOP_CHANGE)
        version.stop_sha256 = fingerprint_of(token)
    version.save(force_insert=True)
    # What was signed is gone: whoever signed it signs anew.
    has_lapsed = replaced is not None and replaced.seconded_by_id is not None
    lapsed = {"lapsed": replaced.seconded_by_id} if has_lapsed else None
    announce(version, by=by, action=AuditAction.PROFILE_SUBMITTED, after=lapsed)
    if stop is not None:
        stop_again(version, stop, by=by, at=version.submitted_at)
    elif version.is_change:
        emails.bank_change(version, step=emails.Step.ASKED, by=by)
    elif why == WhyTwo.FURTHER_ACCOUNT:
        usable_from = version.submitted_at + cooling_off()
        emails.account_added(version, usable_from=usable_from, by=by)


@sensitive_variables()
def unsent_bank_version(
    profile: BankProfile,
    *,
    schema: CountrySchema,
    details: Mapping[str, str],
    by: User,
    at: datetime | None = None,
) -> BankProfileVersion:
    """Return a version as it would be sent: for services to save, for pages to foresee."""
    number = countries.account_number(schema, details)
    return BankProfileVersion(
        profile=profile,
        country=schema.country,
        schema_version=schema.version,
        details=dict(details),
        last4=countries.last4(number),
        blind_index=blind_index(number, purpose="bank"),
        bank_name=countries.bank_name(schema, details),
        local_currency=currencies.local_currency(schema.country),
        takes_only_local=currencies.takes_only_local(schema.country),
        submitted_at=at or timezone.now(),
        submitted_by=by,
    )


def _waits_as_one(why: WhyTwo | None, profile: BankProfile) -> bool:
    """Whether a further account waits as a change does.

    Nobody is paid there yet, but a location starts with the profile, or an enrollment
    waits for it: another account in it takes the place of what they counted on
    (docs/adr/0013).
    """
    if why != WhyTwo.FURTHER_ACCOUNT:
        return False
    return profile.defaults.exists() or profile.followers().exists()


def _refuse_stopped(profile: BankProfile, newest: ProfileVersion) -> None:
    """Without a version in force there is nothing to go back to: then it is replaced."""
    if newest.is_stopped and profile.version_in_force is not None:
        raise ValidationError(
            _(
                "Somebody stopped the change that waits. Withdraw it first, or wait "
                "until the program owner has checked it."
            ),
            code="stopped",
        )
