"""Services of bank profiles in the making: a draft is written down at each step.

A step is checked as far as it goes; sent, the draft becomes a bank profile.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import PartnerAccount, User
from accounts.services import lock_companies
from profiles import countries
from profiles.countries import CountrySchema
from profiles.drafts import (
    begin_on,
    first_undone,
    forgotten,
    has_changed_since,
    mark_done,
    refuse_changed,
    to_start_from,
    typed_since,
)
from profiles.models import BankProfile, BankProfileDraft, BankProfileVersion
from profiles.services import (
    create_bank_profile,
    refuse_bad_name,
    revise_bank_profile,
    unsent_bank_version,
)

# After the first, which names profile and country; each is a section of the schema.
STEPS = ("account", "beneficiary")


def bank_draft_of(account: PartnerAccount, *, by: User) -> BankProfileDraft | None:
    """Return what a person has begun at a company; nobody else's."""
    return BankProfileDraft.objects.filter(
        partner_account=account, profile=None, created_by=by
    ).first()


def change_draft_of(profile: BankProfile, *, by: User) -> BankProfileDraft | None:
    """Return the change of a profile that a person has begun; nobody else's."""
    return BankProfileDraft.objects.filter(profile=profile, created_by=by).first()


def step_schema(country: str, step: str) -> CountrySchema:
    """Return the part of a country's schema that one step asks."""
    schema = countries.bank_schema(country)
    return replace(schema, fields=schema.section(step))


def next_step(draft: BankProfileDraft) -> str:
    """Return the first step that is not done."""
    return first_undone(draft, STEPS)


@sensitive_variables()
@transaction.atomic
def begin_bank_draft(
    account: PartnerAccount, *, name: str, country: str, by: User
) -> BankProfileDraft:
    """Begin a new bank profile, or name and place anew what was begun.

    In another country the account is asked anew; what does not depend on the country
    is kept. Raises ValidationError on `name` and `country`.
    """
    if countries.bank_schema(country) is None:
        raise ValidationError({"country": _("Choose a country from the list.")})
    lock_companies(account.pk)
    draft = bank_draft_of(account, by=by) or BankProfileDraft(
        partner_account=account, created_by=by
    )
    draft.name = refuse_bad_name(BankProfile(partner_account=account, name=name))
    _place(draft, country)
    draft.save()
    return draft


@sensitive_variables()
@transaction.atomic
def begin_bank_change(
    profile: BankProfile, *, country: str, by: User
) -> BankProfileDraft:
    """Begin a change of a bank profile, or go on with it, perhaps in another country.

    It starts from what waits or is in force; a step that is right as it stands is done
    already. Begun on what is there no more, it begins anew, with what was typed. Raises
    ValidationError on `country`, and for an archived profile.
    """
    if countries.bank_schema(country) is None:
        raise ValidationError({"country": _("Choose a country from the list.")})
    lock_companies(profile.partner_account_id)
    profile = BankProfile.objects.get(pk=profile.pk)
    if profile.is_archived:
        raise ValidationError(
            _("This profile is archived. Choose or add another."), code="archived"
        )
    draft = change_draft_of(profile, by=by)
    if draft is None:
        version = profile.current_version
        draft = BankProfileDraft(
            partner_account=profile.partner_account,
            profile=profile,
            name=profile.name,
            country=version.country,
            created_by=by,
        )
        draft.details = to_start_from(version)
        begin_on(draft, version)
    elif has_changed_since(draft):
        _begin_anew(draft, profile.current_version)
    _place(draft, country)
    draft.done = [step for step in STEPS if _is_right(draft, step)]
    draft.save()
    return draft


@sensitive_variables()
def country_to_go_on_in(draft: BankProfileDraft) -> str:
    """Return the country of a change as it goes on: what is there now, or was chosen."""
    if not has_changed_since(draft) or _is_other_account(draft):
        return draft.country
    return draft.profile.current_version.country


@sensitive_variables()
def _begin_anew(draft: BankProfileDraft, now: BankProfileVersion) -> None:
    """Put what somebody typed on what is there now.

    Whoever typed another account keeps it, whole; else the account is the one that is
    there now, never the one that the draft was begun on.
    """
    typed, emptied = typed_since(draft)
    is_other, start = _is_other_account(draft), to_start_from(now)
    country = draft.country if is_other else now.country
    words = {"account_holder", *_keys(country, "beneficiary")}
    details = {key: value for key, value in start.items() if key not in emptied & words}
    if is_other:
        details = {key: value for key, value in details.items() if key in words}
        details |= {
            key: value for key, value in draft.details.items() if key not in words
        }
    details |= {key: value for key, value in typed.items() if key in words}
    draft.country, draft.details = country, details
    begin_on(draft, now)


@sensitive_variables()
def _is_other_account(draft: BankProfileDraft) -> bool:
    """Whether somebody typed another account than the one a change was begun on.

    Its own number: another code of the bank beside the number of before is none.
    """
    before = draft.based_on
    if before is None:
        return False
    if draft.country != before.country:
        return True
    typed, _emptied = typed_since(draft)
    numbers = [spec.key for spec in before.schema.fields if spec.identifies]
    own = [key for key in numbers if key in draft.details]
    return bool(own) and own[-1] in typed


@sensitive_variables()
@transaction.atomic
def fill_bank_step(
    draft: BankProfileDraft, *, step: str, details: Mapping[str, str], by: User
) -> BankProfileDraft:
    """Write down what one step asked; raises ValidationError with one message per field."""
    draft = _locked(draft, by=by)
    answers = countries.validate(step_schema(draft.country, step), details)
    others = set(draft.details) - set(_keys(draft.country, step))
    draft.details = {key: draft.details[key] for key in others} | answers
    mark_done(draft, step, STEPS)
    return draft


@sensitive_variables()
@transaction.atomic
def send_bank_draft(draft: BankProfileDraft, *, by: User) -> BankProfile:
    """Send a draft for validation; the BIC that its IBAN tells is sent with it.

    Raises ValidationError as create_bank_profile, revise_bank_profile and
    refuse_changed do.
    """
    draft = _locked(draft, by=by)
    refuse_changed(draft)
    facts = {"country": draft.country, "details": _details_to_send(draft), "by": by}
    if draft.profile is None:
        profile = create_bank_profile(draft.partner_account, name=draft.name, **facts)
    else:
        profile = revise_bank_profile(draft.profile, **facts)
    draft.delete()
    return profile


@sensitive_variables()
def foreseen_bank_version(draft: BankProfileDraft, *, by: User) -> BankProfileVersion:
    """Return the version that sending a draft would make; nothing is stored."""
    return unsent_bank_version(
        draft.profile
        or BankProfile(partner_account=draft.partner_account, name=draft.name),
        schema=countries.bank_schema(draft.country),
        details=_details_to_send(draft),
        by=by,
    )


@sensitive_variables()
def _details_to_send(draft: BankProfileDraft) -> dict[str, str]:
    details = dict(draft.details)
    if draft.profile is not None:
        newest = draft.profile.current_version
        if (newest.country, dict(newest.details)) == (draft.country, details):
            # Nothing was changed: what the IBAN tells is no change either.
            return details
    found = countries.bank_of(details)
    if found and found.bic and not details.get("bic"):
        details["bic"] = found.bic
    return details


@transaction.atomic
def discard_bank_draft(draft: BankProfileDraft, *, by: User) -> None:
    """Throw away what was begun, numbers and all."""
    _locked(draft, by=by).delete()


@transaction.atomic
def discard_forgotten_bank_drafts(*, at: datetime) -> int:
    """Throw away what nobody went on with: numbers are not kept for nothing."""
    return forgotten(BankProfileDraft.objects.all(), at=at).delete()[0]


def _locked(draft: BankProfileDraft, *, by: User) -> BankProfileDraft:
    """Lock the company's row: two windows of one person write one after the other."""
    lock_companies(draft.partner_account_id)
    row = BankProfileDraft.objects.filter(pk=draft.pk, created_by=by).first()
    if row is None:
        raise ValidationError(
            _("What you began is sent or discarded already."), code="gone"
        )
    return row


def _place(draft: BankProfileDraft, country: str) -> None:
    """Put a draft in a country: the account is asked anew, what fits is kept."""
    if draft.country == country:
        return
    kept = {"account_holder", *_keys(country, "beneficiary")}
    draft.country = country
    draft.details = {key: value for key, value in draft.details.items() if key in kept}
    draft.done = []


def _is_right(draft: BankProfileDraft, step: str) -> bool:
    """Whether a step could be left as it stands: valid, and not returned."""
    version = draft.profile.current_version
    returned = {row["field"] for row in version.returned} if version.is_returned else ()
    if set(_keys(draft.country, step)) & set(returned):
        return False
    try:
        countries.validate(step_schema(draft.country, step), draft.details)
    except ValidationError:
        return False
    return True


def _keys(country: str, step: str) -> list[str]:
    return [field.key for field in step_schema(country, step).fields]
