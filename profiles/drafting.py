"""Services of tax profiles in the making: drafts, step by step, and their documents.

A draft is written down at each step and checked as far as that step goes; sent, it
becomes a version, and its documents stay with that. What is checked is said by the
countries' schemas, by countries.tax_forms and by papers.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import AuditAction, Location, User
from accounts.services import lock_companies, record_audit_event
from accounts.text import clean_line
from profiles import countries
from profiles.countries import CountrySchema, FieldSpec
from profiles.countries.tax_forms import (
    DOCUMENTS,
    NeededForm,
    expires_on,
    needed_form,
    setup_schema,
    status_schema,
)
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
from profiles.models import (
    TaxDocument,
    TaxProfile,
    TaxProfileDraft,
    TaxProfileVersion,
)
from profiles.papers import NAME_LENGTH, checked_paper
from profiles.services import (
    copied_documents,
    create_tax_profile,
    refuse_bad_name,
    revise_tax_profile,
    unsent_tax_version,
)

# In the order of the way; each has a page of its own.
STEPS = ("company", "setup", "status", "documents", "check")
MOST_DOCUMENTS = 8
# Reasons of a reviewer after which a document is sent anew.
_ABOUT_DOCUMENTS = "document"


@dataclass(frozen=True)
class Step:
    """What one step asks: fields, those that may not stay empty, and what is known."""

    schema: CountrySchema
    specs: tuple[FieldSpec, ...]
    required: tuple[str, ...]
    known: Mapping[str, str]


def needed_of(draft: TaxProfileDraft) -> NeededForm | None:
    """Return the form that applies to a draft; None until the questions are answered."""
    return needed_form(
        draft.country,
        draft.setup,
        country_name=countries.country_name(draft.country),
        needs=draft.needs,
    )


def step_of(draft: TaxProfileDraft, name: str) -> Step:
    """Return what a step with fields asks of a draft now."""
    needed = needed_of(draft)
    country = countries.tax_schema(draft.country, form=needed.form if needed else "")
    details = dict(draft.details)
    if name == "setup":
        schema = setup_schema(draft.country)
        return Step(schema, schema.fields, (), draft.setup)
    places = [spec for spec in country.fields if _is_of_company(spec)]
    if name == "company":
        return Step(country, _asked(places, details), _named(places, draft.needs), {})
    numbers = [
        replace(spec, section="numbers") if spec.section == "company" else spec
        for spec in country.fields
        if spec not in places
    ]
    more = status_schema(needed.form, country=draft.country).fields if needed else ()
    required = needed.required_fields(country) if needed else ()
    known = {
        key: value
        for key, value in details.items()
        if key in {spec.key for spec in places}
    }
    schema = replace(country, fields=(*places, *numbers, *more))
    specs = _asked([*numbers, *more], details, own=True)
    return Step(schema, specs, (*required, *_named(numbers, draft.needs)), known)


def next_step(draft: TaxProfileDraft) -> str:
    """Return the first step that is not done."""
    return first_undone(draft, STEPS)


def missing_documents(draft: TaxProfileDraft) -> list:
    """Return the kinds of documents that still have to be added."""
    needed = needed_of(draft)
    have = set(draft.documents.values_list("kind", flat=True))
    return [kind for kind in needed.documents if kind.key not in have] if needed else []


@sensitive_variables()
@transaction.atomic
def begin_tax_draft(
    location: Location,
    *,
    country: str,
    profile: TaxProfile | None = None,
    needs: Collection[str] = (),
    by: User,
) -> TaxProfileDraft:
    """Begin a new tax profile, or a change of one; or go on with what was begun.

    A change starts from what is in force or waiting: its answers, and copies of its
    documents that are still good. Numbers that were returned are left out, so that they
    are typed anew. Begun on what is there no more, it begins anew, with what was typed:
    each step is looked at once more. Raises ValidationError for a country without a form, and for an
    archived profile.
    """
    if countries.tax_schema(country) is None:
        raise ValidationError({"country": _("Choose a country from the list.")})
    lock_companies(location.partner_account_id)
    if profile is not None and profile.is_archived:
        raise ValidationError(
            _("This profile is archived. Choose or add another."), code="archived"
        )
    unsent = TaxProfileDraft.objects.unsent()
    if profile is None:
        begun = unsent.filter(location=location, profile=None, created_by=by).first()
    else:
        begun = unsent.filter(profile=profile).first()
    known = [key for key in needs if _is_known(key, country)]
    if begun is not None:
        begun.needs = list(dict.fromkeys([*begun.needs, *known]))
        if profile is None and begun.country != country:
            _change_country(begun, country)
        if has_changed_since(begun):
            _begin_anew(begun, profile.current_version, by=by)
        _undo_unmet(begun)
        begun.save()
        return begun
    draft = TaxProfileDraft(
        location=location,
        profile=profile,
        country=country,
        needs=known,
        created_by=by,
    )
    if profile is None:
        draft.save()
        return draft
    version = profile.current_version
    draft.details = to_start_from(version)
    draft.setup = dict(version.setup)
    draft.country = version.country
    begin_on(draft, version)
    draft.save()
    _copy_documents(version, draft, by=by)
    return draft


def _copy_documents(
    version: TaxProfileVersion,
    draft: TaxProfileDraft,
    *,
    besides: Collection[str] = (),
    by: User,
) -> None:
    """Put copies of a version's documents into a draft, those that are still good.

    None after a return for its documents, and none of the kinds `besides`.
    """
    today = timezone.localdate()
    returned = {row["field"] for row in version.returned} if version.is_returned else {}
    if _ABOUT_DOCUMENTS in returned:
        return
    for copy in copied_documents(version, by=by):
        kind = DOCUMENTS.get(copy.kind)
        if not kind or kind.key in besides:
            continue
        if not kind.is_too_old(copy.dated_on, on=today):
            copy.draft = draft
            copy.save()


@sensitive_variables()
def _begin_anew(draft: TaxProfileDraft, now: TaxProfileVersion, *, by: User) -> None:
    """Put what somebody typed and added on what is there now; no step is done yet."""
    before = draft.based_on
    typed, emptied = typed_since(draft)
    is_elsewhere = before is not None and draft.country != before.country
    if not is_elsewhere:
        start = to_start_from(now)
        kept = {key: value for key, value in start.items() if key not in emptied}
        is_same = now.country == draft.country
        answers = before.setup if before is not None else draft.setup
        answered = {
            key: value
            for key, value in draft.setup.items()
            if is_same and answers.get(key) != value
        }
        draft.details = kept | (typed if is_same else {})
        draft.setup = {**now.setup, **answered}
        draft.country = now.country
    known = {_of_document(one) for one in before.documents.all()} if before else set()
    for document in draft.documents.without_content():
        if before is None or _of_document(document) in known:
            document.delete()
    added = set(draft.documents.values_list("kind", flat=True))
    if not is_elsewhere:
        _copy_documents(now, draft, besides=added, by=by)
    draft.done = []
    begin_on(draft, now)


def _of_document(document: TaxDocument) -> tuple:
    """What tells a copy of a document from one that somebody added."""
    return document.kind, document.dated_on, document.size, document.content_type


@sensitive_variables()
@transaction.atomic
def fill_tax_company(
    draft: TaxProfileDraft,
    *,
    name: str = "",
    country: str,
    details: Mapping[str, str],
    by: User,
) -> TaxProfileDraft:
    """Write down the company's name and address; or another country, and ask anew.

    Raises ValidationError with one message per field, also when the name is taken.
    """
    draft = _alone(draft)
    if country != draft.country:
        if countries.tax_schema(country) is None:
            raise ValidationError({"country": _("Choose a country from the list.")})
        _change_country(draft, country)
        draft.save()
        return draft
    errors = {}
    if draft.profile is None:
        try:
            draft.name = refuse_bad_name(TaxProfile(location=draft.location, name=name))
        except ValidationError as error:
            errors = error.error_dict
    try:
        _fill(draft, "company", details)
    except ValidationError as error:
        errors = {**errors, **error.error_dict}
    if errors:
        raise ValidationError(errors)
    return _done(draft, "company")


@transaction.atomic
def fill_tax_setup(
    draft: TaxProfileDraft, *, answers: Mapping[str, str], by: User
) -> TaxProfileDraft:
    """Write down the answers that decide which form applies.

    Raises ValidationError with one message per question.
    """
    draft = _alone(draft)
    schema = setup_schema(draft.country)
    answered = countries.validate(schema, answers)
    before = needed_of(draft)
    draft.setup = {**draft.setup, **answered}
    needed = needed_of(draft)
    asked = status_schema(needed.form, country=draft.country)
    draft.setup = {
        key: value
        for key, value in draft.setup.items()
        if key in answered or asked.field(key) is not None
    }
    if before is None or before.form != needed.form:
        # Another form asks something else, and takes other documents.
        taken = [kind.key for kind in (*needed.documents, *needed.optional)]
        draft.documents.exclude(kind__in=taken).delete()
        draft.done = [step for step in draft.done if step == "company"]
    return _done(draft, "setup")


@sensitive_variables()
@transaction.atomic
def fill_tax_status(
    draft: TaxProfileDraft, *, details: Mapping[str, str], by: User
) -> TaxProfileDraft:
    """Write down the company's numbers, and what the form asks beside them.

    Raises ValidationError with one message per field.
    """
    draft = _alone(draft)
    _fill(draft, "status", details)
    return _done(draft, "status")


@sensitive_variables("content", "name")
@transaction.atomic
def add_tax_document(
    draft: TaxProfileDraft,
    *,
    kind: str,
    dated_on: date,
    name: str,
    content: bytes,
    size: int | None = None,
    by: User,
) -> TaxDocument:
    """Add a document to a draft, in the place of an earlier one of its kind.

    Raises ValidationError at `kind`, `dated_on` or `file`: for a kind that this form
    does not take, a day to come, a document too old, and as papers.checked_paper does.
    """
    draft = _alone(draft)
    needed = needed_of(draft)
    taken = {one.key: one for one in (*needed.documents, *needed.optional)}
    errors = {}
    if kind not in taken:
        errors["kind"] = _("Choose what kind of document this is.")
    else:
        refusal = _refused_day(taken[kind], dated_on)
        if refusal:
            errors["dated_on"] = refusal
    try:
        name = clean_line(name, max_length=NAME_LENGTH)
        if "/" in name or "\\" in name or not name:
            raise ValidationError(
                _("The file's name is not one. Rename the file and choose it again.")
            )
        paper = checked_paper(content, size=size)
    except ValidationError as error:
        errors["file"] = error
    if errors:
        raise ValidationError(errors)
    earlier = draft.documents.filter(kind=kind)
    if not earlier and draft.documents.count() >= MOST_DOCUMENTS:
        raise ValidationError({"file": _("No more documents fit. Remove one first.")})
    earlier.delete()
    document = TaxDocument(
        location_id=draft.location_id,
        draft=draft,
        kind=kind,
        dated_on=dated_on,
        content_type=paper.content_type,
        size=len(paper.content),
        added_by=by,
    )
    document.name, document.content = name, paper.content
    document.save()
    draft.save(update_fields=["updated_at"])
    return document


@transaction.atomic
def remove_tax_document(document: TaxDocument, *, by: User) -> TaxProfileDraft:
    """Take a document out of its draft; one that was sent stays with its version."""
    if document.draft_id is None:
        raise ValidationError(
            _("This document was sent. It stays with its version."), code="sent"
        )
    draft = _alone(document.draft)
    draft.documents.filter(pk=document.pk).delete()
    draft.done = [step for step in draft.done if step != "documents"]
    draft.save()
    return draft


@transaction.atomic
def finish_tax_documents(draft: TaxProfileDraft, *, by: User) -> TaxProfileDraft:
    """Go on from the documents; raises ValidationError naming those that are missing."""
    draft = _alone(draft)
    _refuse_missing_documents(draft)
    return _done(draft, "documents")


@sensitive_variables()
@transaction.atomic
def send_tax_draft(draft: TaxProfileDraft, *, by: User) -> TaxProfile:
    """Send a draft for validation; sent twice, it is sent once.

    How long it is good is derived from its documents. Raises ValidationError with the
    sentences of everything that is missing or no longer right; nothing is sent then.
    """
    lock_companies(draft.location.partner_account_id)
    draft = _alone(draft, may_be_sent=True)
    if draft.sent_as is not None:
        return draft.sent_as.profile
    needed = needed_of(draft)
    if needed is None or next_step(draft) != "check":
        raise ValidationError(
            _("Some steps are not done yet. Do them first."), code="steps"
        )
    refuse_changed(draft)
    _refuse_missing_documents(draft)
    documents = list(draft.documents.without_content().order_by("added_at", "pk"))
    today = timezone.localdate()
    for document in documents:
        refusal = _refused_day(DOCUMENTS[document.kind], document.dated_on, on=today)
        if refusal:
            raise ValidationError(
                _("%(document)s: %(refusal)s"),
                code="document",
                params={"document": document.kind_label, "refusal": refusal},
            )
    schema = countries.tax_schema(draft.country, form=needed.form)
    required = [*needed.required_fields(schema)]
    required += [key for key in draft.needs if schema.field(key) is not None]
    facts = {
        "country": draft.country,
        "details": dict(draft.details),
        "setup": draft.setup,
        "documents": documents,
        "required": required,
        "expires_on": expires_on([(one.kind, one.dated_on) for one in documents]),
        "by": by,
    }
    try:
        if draft.profile is None:
            profile = create_tax_profile(draft.location, name=draft.name, **facts)
        else:
            profile = revise_tax_profile(draft.profile, **facts)
    except ValidationError as error:
        raise _in_words(error, schema) from None
    draft.sent_as = profile.versions.order_by("-number").first()
    draft.details, draft.setup = "", {}
    draft.save()
    return profile


@sensitive_variables()
def foreseen_tax_version(
    draft: TaxProfileDraft, *, documents: Collection[TaxDocument], by: User
) -> TaxProfileVersion:
    """Return the version that sending a draft would make; nothing is stored."""
    return unsent_tax_version(
        draft.profile or TaxProfile(location=draft.location, name=draft.name),
        schema=countries.tax_schema(draft.country),
        details=draft.details,
        setup=draft.setup,
        documents=documents,
        expires_on=expires_on([(one.kind, one.dated_on) for one in documents]),
        by=by,
    )


@transaction.atomic
def discard_tax_draft(draft: TaxProfileDraft, *, by: User) -> None:
    """Throw a draft away, and its documents."""
    draft = _alone(draft)
    draft.documents.all().delete()
    draft.delete()


@transaction.atomic
def discard_forgotten_tax_drafts(*, at: datetime) -> int:
    """Throw away what nobody went on with: documents are not kept for nothing."""
    return forgotten(TaxProfileDraft.objects.unsent(), at=at).delete()[0]


@sensitive_variables()
@transaction.atomic
def open_tax_document(document: TaxDocument, *, by: User) -> bytes:
    """Return a document's content to an operator; the trail keeps every opening.

    Raises ValidationError for one that was not sent: it is the partner's alone.
    """
    version = document.version
    if version is None:
        raise ValidationError(_("This document was not sent yet."), code="draft")
    record_audit_event(
        document,
        action=AuditAction.DOCUMENT_OPENED,
        by=by,
        partner_account=version.profile.account,
        after={
            "profile": str(version.profile_id),
            "version": version.number,
            "kind": document.kind,
        },
        location=version.profile.location,
    )
    return document.content


# --- How the steps are kept ------------------------------------------------------------


def _alone(draft: TaxProfileDraft, *, may_be_sent: bool = False) -> TaxProfileDraft:
    """Read a draft again, alone; one that was sent is not changed any more."""
    row = (
        TaxProfileDraft.objects.select_for_update(of=("self",))
        .select_related("location__partner_account", "profile", "sent_as__profile")
        .get(pk=draft.pk)
    )
    if row.sent_as_id is not None and not may_be_sent:
        raise ValidationError(_("This was sent already."), code="sent")
    return row


def _fill(draft: TaxProfileDraft, name: str, typed: Mapping[str, str]) -> None:
    """Check a step's fields and keep what they say in the place of what was there."""
    step = step_of(draft, name)
    own = {spec.key for spec in step.specs}
    fields = tuple(
        spec for spec in step.schema.fields if spec.key in own or spec.key in step.known
    )
    cleaned = countries.validate(
        replace(step.schema, fields=fields),
        {**step.known, **typed},
        required=step.required,
    )
    filled = {key: value for key, value in cleaned.items() if key in own}
    schema = countries.tax_schema(draft.country)
    kept = {key: value for key, value in draft.details.items() if key not in own}
    draft.details = {
        **kept,
        **{key: value for key, value in filled.items() if schema.field(key)},
    }
    answers = {key: value for key, value in filled.items() if not schema.field(key)}
    draft.setup = {
        **{key: value for key, value in draft.setup.items() if key not in own},
        **answers,
    }


def _done(draft: TaxProfileDraft, step: str) -> TaxProfileDraft:
    mark_done(draft, step, STEPS)
    return draft


def _change_country(draft: TaxProfileDraft, country: str) -> None:
    """Ask the other country's fields; what both ask in words is kept, no number is."""
    schema = countries.tax_schema(country)
    kept = {
        key: value
        for key, value in draft.details.items()
        if key in ("legal_name", "street", "city") and schema.field(key)
    }
    draft.country, draft.details, draft.setup, draft.done = country, kept, {}, []


def _undo_unmet(draft: TaxProfileDraft) -> None:
    """Ask again where a program needs more than was filled in."""
    details = dict(draft.details)
    fields = [key for key in draft.needs if key not in DOCUMENTS]
    if any(not details.get(key) for key in fields):
        draft.done = [step for step in draft.done if step in ("company", "setup")]
    if missing_documents(draft):
        draft.done = [step for step in draft.done if step != "documents"]


def _is_known(key: str, country: str) -> bool:
    return key in DOCUMENTS or countries.tax_schema(country).field(key) is not None


def _is_of_company(spec: FieldSpec) -> bool:
    return spec.key == "legal_name" or spec.section == "address"


def _named(specs: Iterable[FieldSpec], needs: Collection[str]) -> tuple[str, ...]:
    return tuple(spec.key for spec in specs if spec.key in needs)


def _asked(
    specs: Collection[FieldSpec], details: Mapping[str, str], *, own: bool = False
) -> tuple[FieldSpec, ...]:
    """Those that are asked as things stand, or depend on an answer of the same step."""
    keys = {spec.key for spec in specs}
    return tuple(
        spec
        for spec in specs
        if spec.only_if is None or spec.only_if[0] in keys or spec.is_asked(details)
    )


def _refused_day(kind, dated_on: date, *, on: date | None = None) -> str:
    """Say why a document of that day is not taken; "" if it is."""
    on = on or timezone.localdate()
    if dated_on > on:
        return _("This day is still to come. Enter the day on the document.")
    if kind.is_too_old(dated_on, on=on):
        return _("The document is too old. Get a new one and send that.")
    return ""


def _refuse_missing_documents(draft: TaxProfileDraft) -> None:
    missing = missing_documents(draft)
    if missing:
        raise ValidationError(
            [
                _("Add this document: %(kind)s.") % {"kind": one.label}
                for one in missing
            ],
            code="missing",
        )


def _in_words(error: ValidationError, schema: CountrySchema) -> ValidationError:
    """Errors at fields as sentences that name their field: the last page has none."""
    if not hasattr(error, "error_dict"):
        return error
    sentences = []
    for key, errors in error.error_dict.items():
        spec = schema.field(key)
        for one in errors:
            for message in one.messages:
                sentences.append(f"{spec.label}: {message}" if spec else message)
    return ValidationError(sentences, code="fields")
