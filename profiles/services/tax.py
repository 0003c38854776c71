"""Tax profiles: adding one, sending a new version, completing what a program asks."""

from collections.abc import Collection, Mapping
from datetime import date, datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import AuditAction, Location, User
from accounts.roles import Permission
from accounts.sealing import blind_index
from accounts.services import check_still_may, lock_companies
from profiles import countries
from profiles.countries import CountrySchema
from profiles.countries.tax_forms import needed_form
from profiles.models import TaxDocument, TaxProfile, TaxProfileVersion
from profiles.services.versions import (
    announce,
    known_schema,
    locked,
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
    schema = known_schema(countries.tax_schema(country, form=_form(country, setup)))
    details = countries.validate(schema, details, required=required)
    _refuse_past(expires_on)
    lock_companies(location.partner_account_id)
    check_still_may(location, permission=Permission.PROFILE_EDIT, by=by)
    location = Location.objects.get(pk=location.pk)
    profile = TaxProfile(location=location, name=checked_name(name), created_by=by)
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
    schema = known_schema(countries.tax_schema(country, form=_form(country, setup)))
    details = countries.validate(schema, details, required=required)
    _refuse_past(expires_on)
    profile = locked_by_editor(profile, by=by)
    refuse_archived(profile)
    newest = newest_current(profile)
    is_same = (newest.country, newest.expires_on) == (country, expires_on) and (
        newest.details == details
    )
    if is_same and not documents and (setup is None or newest.setup == setup):
        if newest.is_pending:
            return profile
        refuse_unchanged(newest)
    replace_candidate(profile)
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
    profile = locked(profile)
    newest = newest_current(profile)
    return revise_tax_profile(
        profile,
        country=newest.country,
        details={**newest.details, **details},
        setup=dict(newest.setup),
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
    version = unsent_tax_version(
        profile,
        schema=schema,
        details=details,
        setup=setup,
        documents=documents,
        expires_on=expires_on,
        by=by,
        at=at,
    )
    version.number = next_number(profile)
    version.save(force_insert=True)
    for document in documents:
        document.draft, document.version = None, version
        document.save(
            update_fields=None if document._state.adding else ["draft", "version"]
        )
    announce(version, by=by, action=AuditAction.PROFILE_SUBMITTED)


@sensitive_variables()
def unsent_tax_version(
    profile: TaxProfile,
    *,
    schema: CountrySchema,
    details: Mapping[str, str],
    setup: Mapping[str, str] | None,
    documents: Collection[TaxDocument],
    expires_on: date | None,
    by: User,
    at: datetime | None = None,
) -> TaxProfileVersion:
    """Return a version as it would be sent: for services to save, for pages to foresee."""
    number = countries.tax_number(schema, details)
    return TaxProfileVersion(
        profile=profile,
        partner_account_id=profile.location.partner_account_id,
        country=schema.country,
        schema_version=schema.version,
        form=_form(schema.country, setup) or schema.tax_form,
        details=dict(details),
        setup=dict(setup or {}),
        # Documents count as provided too: a program asks for them by their kind (R55).
        provided=sorted({*details, *(one.kind for one in documents)}),
        last4=countries.last4(number),
        blind_index=blind_index(number, purpose="tax"),
        expires_on=expires_on,
        submitted_at=at or timezone.now(),
        submitted_by=by,
    )


def _form(country: str, setup: Mapping[str, str] | None) -> str:
    """The tax form that applies; nothing before the questions were answered."""
    needed = needed_form(country, setup or {})
    return needed.form if needed else ""


def _refuse_past(expires_on: date | None) -> None:
    if expires_on is not None and expires_on < timezone.localdate():
        raise ValidationError(
            {"expires_on": _("This day has passed. Renew the form first, then add it.")}
        )
