"""Partners' pages that make and change a tax profile: one step, one page, one draft.

Company, Setup, Status, Documents, Check. Each page writes down what was typed and leads
on; a page asked for too early leads to the first step that is not done, one of a draft
that was sent to what it became.
"""

from collections.abc import Callable
from functools import wraps
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import is_own_path, recently_authenticated, requires
from accounts.models import Location
from accounts.posting import posted
from accounts.roles import Permission
from profiles import countries, drafting
from profiles.begun import TAX_STEPS
from profiles.checking import foreseen
from profiles.countries.tax_forms import DOCUMENTS
from profiles.downloads import as_file
from profiles.drafting import STEPS, needed_of, step_of
from profiles.drafts import has_changed_since
from profiles.forms import (
    CompleteTaxProfileForm,
    TaxLocationForm,
    add_errors,
    editable_locations,
)
from profiles.models import TaxDocument, TaxProfile, TaxProfileDraft
from profiles.papers import MOST_MEGABYTES
from profiles.review import changed_since
from profiles.services import complete_tax_profile
from profiles.tax_forms import (
    ConfirmForm,
    TaxCompanyForm,
    TaxDocumentForm,
    TaxStepForm,
)
from profiles.wording import (
    expired_on,
    general_reasons,
    given_reasons,
    shown_answers,
    shown_draft,
)

TEMPLATES = {
    "company": "profiles/tax_company.html",
    "setup": "profiles/tax_setup.html",
    "status": "profiles/tax_status.html",
    "documents": "profiles/tax_documents.html",
    "check": "profiles/tax_check.html",
}


# --- Where it begins ------------------------------------------------------------------


@requires(Permission.PROFILE_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def new_tax(request):
    """Ask the location and its country, and say what will be needed; then begin."""
    location = _location_in_address(request)
    form = TaxLocationForm(
        request.POST if request.method == "POST" else None,
        initial={
            "location": location,
            "country": (location or request.company).country,
        },
        user=request.user,
        company=request.company,
    )
    if request.method == "POST" and form.is_valid():
        draft = drafting.begin_tax_draft(
            form.cleaned_data["location"],
            country=form.cleaned_data["country"],
            needs=_needs_in_address(request),
            by=request.user,
        )
        return _to_step(request, draft, drafting.next_step(draft))
    context = {
        "form": form,
        "back_url": _return_to(request),
        "begun": _begun(request),
        "most": MOST_MEGABYTES,
    }
    return render(
        request, "profiles/tax_new.html", context, status=422 if form.errors else 200
    )


@requires(Permission.PROFILE_EDIT, on=TaxProfile)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def change_tax(request, profile):
    """Say what a change means and begin it; or ask only what a program needs more."""
    if profile.is_archived:
        messages.info(
            request,
            _("%(name)s is archived and cannot be changed.") % {"name": profile.name},
        )
        return redirect(profile)
    profile = TaxProfile.objects.with_uses().with_history().get(pk=profile.pk)
    held = profile.current_version
    missing = _missing_fields(request, held)
    if missing:
        return _complete(request, profile, held, missing)
    if request.method == "POST":
        draft = drafting.begin_tax_draft(
            profile.location,
            country=held.country,
            profile=profile,
            needs=_needs_in_address(request),
            by=request.user,
        )
        return _to_step(request, draft, _first_to_mend(held, draft))
    begun = TaxProfileDraft.objects.unsent().filter(profile=profile).first()
    context = {
        "profile": profile,
        "held": held,
        "expired_on": expired_on(profile.version_in_force, today=timezone.localdate()),
        "impact": profile.change_impact(),
        "reasons": given_reasons(held),
        "is_begun": begun is not None,
        "changed": changed_since(begun) if begun else None,
        "back_url": _return_to(request),
        "most": MOST_MEGABYTES,
    }
    return render(request, "profiles/tax_change.html", context)


def _complete(request, profile, held, missing):
    form = CompleteTaxProfileForm(
        request.POST if request.method == "POST" else None,
        schema=countries.tax_schema(held.country, form=held.form),
        specs=missing,
        required=[spec.key for spec in missing],
        held=held,
    )
    if request.method == "POST" and form.is_valid():
        try:
            complete_tax_profile(profile, details=form.details, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            return _sent(request, profile)
    return render(
        request,
        "profiles/tax_form.html",
        {
            "form": form,
            "title": _("Complete %(name)s") % {"name": profile.name},
            "impact": profile.change_impact(),
            "profile": profile,
            "held": held,
            "sections": form.sections(),
            "general_reasons": general_reasons(held),
            "back_url": _return_to(request),
            "location": profile.location,
            "is_completion": True,
            "country": countries.country_name(held.country),
            "country_label": "",
            "country_url": "",
        },
        status=422 if form.errors else 200,
    )


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@require_safe
def tax_draft(request, draft):
    """Go on where it was left."""
    if draft.sent_as_id is not None:
        return redirect(draft.sent_as.profile)
    return _to_step(request, draft, drafting.next_step(draft))


# --- The steps ---------------------------------------------------------------------------


def _step(name: str) -> Callable:
    """Let a view be a step: led on where the draft was sent, or is not so far yet."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request, draft):
            if draft.sent_as_id is not None:
                messages.info(request, _("This was sent already."))
                return redirect(draft.sent_as.profile)
            first = drafting.next_step(draft)
            is_shown = name == "check" and has_changed_since(draft)
            if STEPS.index(name) > STEPS.index(first) and not is_shown:
                return _to_step(request, draft, first)
            return view(request, draft)

        return guarded

    return decorate


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@require_http_methods(["GET", "HEAD", "POST"])
@_step("company")
@sensitive_post_parameters()
@sensitive_variables()
def tax_company(request, draft):
    """The company's name and address; another country asks its own fields."""
    form = TaxCompanyForm(_typed(request), step=step_of(draft, "company"), draft=draft)
    if request.method == "POST" and form.has_other_country:
        drafting.fill_tax_company(
            draft, country=request.POST["country"], details={}, by=request.user
        )
        messages.info(request, _("These are the fields of the country you chose."))
        return _to_step(request, draft, "company")
    if request.method == "POST" and form.is_valid():
        try:
            drafting.fill_tax_company(
                draft,
                name=form.cleaned_data.get("name", ""),
                country=form.cleaned_data["country"],
                details=form.details,
                by=request.user,
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            return _to_step(request, draft, "setup")
    return _step_page(request, draft, "company", form)


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@require_http_methods(["GET", "HEAD", "POST"])
@_step("setup")
def tax_setup(request, draft):
    """The questions that decide which form applies."""
    form = TaxStepForm(_typed(request), step=step_of(draft, "setup"), draft=draft)
    if request.method == "POST" and form.is_valid():
        drafting.fill_tax_setup(draft, answers=form.details, by=request.user)
        return _to_step(request, draft, "status")
    return _step_page(request, draft, "setup", form)


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@require_http_methods(["GET", "HEAD", "POST"])
@_step("status")
@sensitive_post_parameters()
@sensitive_variables()
def tax_status(request, draft):
    """Which form applies and why; the company's numbers, and what the form asks."""
    form = TaxStepForm(_typed(request), step=step_of(draft, "status"), draft=draft)
    if request.method == "POST" and form.is_valid():
        try:
            drafting.fill_tax_status(draft, details=form.details, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            return _to_step(request, draft, "documents")
    return _step_page(request, draft, "status", form)


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@require_http_methods(["GET", "HEAD", "POST"])
@_step("documents")
@sensitive_variables()
def tax_documents(request, draft):
    """What has to be added, what is there; add one, or go on."""
    form, going_on = TaxDocumentForm(draft=draft), forms.Form()
    if request.method == "POST" and "go_on" in request.POST:
        going_on = forms.Form(request.POST)
        try:
            drafting.finish_tax_documents(draft, by=request.user)
        except ValidationError as error:
            going_on.full_clean()
            add_errors(going_on, error)
        else:
            return _to_step(request, draft, "check")
    elif request.method == "POST":
        form = TaxDocumentForm(request.POST, request.FILES, draft=draft)
        if form.is_valid():
            file = form.cleaned_data["file"]
            try:
                document = drafting.add_tax_document(
                    draft,
                    kind=form.cleaned_data["kind"],
                    dated_on=form.cleaned_data["dated_on"],
                    name=file.name,
                    content=file.read(),
                    size=file.size,
                    by=request.user,
                )
            except ValidationError as error:
                add_errors(form, error)
            else:
                messages.success(
                    request, _("%(kind)s is added.") % {"kind": document.kind_label}
                )
                return _to_step(request, draft, "documents")
    documents = list(draft.documents.without_content())
    today = timezone.localdate()
    return _step_page(
        request,
        draft,
        "documents",
        form,
        going_on=going_on,
        forms=[going_on, form],
        missing=drafting.missing_documents(draft),
        documents=documents,
        ending=[one for one in documents if one.is_ending(today)],
    )


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@require_http_methods(["GET", "HEAD", "POST"])
@_step("check")
@sensitive_variables()
def tax_check(request, draft):
    """Everything once more, masked; then send it."""
    form = ConfirmForm(_typed(request))
    if request.method == "POST" and form.is_valid():
        try:
            profile = drafting.send_tax_draft(draft, by=request.user)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return _sent(request, profile)
    documents = list(draft.documents.without_content())
    version = drafting.foreseen_tax_version(draft, documents=documents, by=request.user)
    return _step_page(
        request,
        draft,
        "check",
        form,
        changed=changed_since(draft),
        begin_url=_with_way_back(request, _change_url(draft)) if draft.profile else "",
        shown=shown_draft(draft),
        answers=shown_answers(draft.country, draft.setup),
        documents=documents,
        checks=foreseen(
            version,
            draft.profile.version_in_force if draft.profile else None,
            documents=documents,
            on=timezone.localdate(),
            by=request.user,
        ),
        impact=draft.profile.change_impact() if draft.profile else None,
        expired_on=expired_on(
            draft.profile.version_in_force if draft.profile else None,
            today=timezone.localdate(),
        ),
    )


@requires(Permission.PROFILE_EDIT, on=TaxProfileDraft)
@posted(instead=lambda draft: draft)
def discard_tax_draft(request, draft):
    """Throw a draft away."""
    if draft.sent_as_id is None:
        drafting.discard_tax_draft(draft, by=request.user)
        messages.success(request, _("What you had filled in is gone."))
    return redirect("profiles:tax_list")


# --- Documents -----------------------------------------------------------------------------


@requires(Permission.PROFILE_VIEW, on=TaxDocument)
@recently_authenticated
@require_safe
@sensitive_variables()
def tax_document(request, document):
    """Hand a document over, as a file to keep: never as a page."""
    return as_file(document, document.content)


@requires(Permission.PROFILE_EDIT, on=TaxDocument)
@posted(instead=lambda document: _home_of(document))
def remove_tax_document(request, document):
    """Take a document out of a draft."""
    try:
        draft = drafting.remove_tax_document(document, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect(_home_of(document))
    messages.success(request, _("%(kind)s is removed.") % {"kind": document.kind_label})
    return _to_step(request, draft, "documents")


def _home_of(document: TaxDocument):
    return document.draft or document.version.profile


# --- What the pages share ----------------------------------------------------------------


def _step_page(request, draft, name, form, **context):
    needed = needed_of(draft)
    number = STEPS.index(name) + 1
    done = [
        {
            "name": TAX_STEPS[step],
            "url": _address_of(request, draft, step),
        }
        for step in STEPS[: number - 1]
    ]
    return render(
        request,
        TEMPLATES[name],
        {
            "form": form,
            "forms": [form],
            "draft": draft,
            "profile": draft.profile,
            "location": draft.location,
            "title": (
                _("Change %(name)s") % {"name": draft.profile.name}
                if draft.profile
                else _("Add a tax profile")
            ),
            "number": number,
            "total": len(STEPS),
            "step_name": TAX_STEPS[name],
            "steps_before": done,
            "back_url": done[-1]["url"] if done else _start_of(draft),
            "needed": needed if name != "company" else None,
            "sections": form.sections() if hasattr(form, "sections") else [],
            "country": countries.country_name(draft.country),
            "general_reasons": general_reasons(
                draft.profile.current_version if draft.profile else None
            ),
            "urls": {step: _address_of(request, draft, step) for step in STEPS},
            **context,
        },
        status=422 if any(one.errors for one in context.get("forms", [form])) else 200,
    )


def _typed(request):
    return request.POST if request.method == "POST" else None


def _start_of(draft):
    return (
        draft.profile.get_absolute_url()
        if draft.profile
        else reverse("profiles:tax_list")
    )


def _address_of(request, draft, step: str) -> str:
    return _with_way_back(
        request, reverse(f"profiles:tax_{step}", kwargs={"pk": draft.pk})
    )


def _with_way_back(request, path: str) -> str:
    target = _return_to(request)
    return f"{path}?{urlencode({'next': target})}" if target else path


def _change_url(draft) -> str:
    return reverse("profiles:change_tax", kwargs={"pk": draft.profile_id})


def _to_step(request, draft, step: str):
    return redirect(_address_of(request, draft, step))


def _first_to_mend(version, draft) -> str:
    """The step of the first reason; without one, where the draft was left."""
    if not version.is_returned:
        return drafting.next_step(draft)
    about = version.returned[0]["field"]
    for step in ("company", "status"):
        if any(spec.key == about for spec in step_of(draft, step).specs):
            return step
    return drafting.next_step(draft)


def _sent(request, profile):
    messages.success(
        request,
        _("%(name)s is sent for validation. It is usually answered within two days.")
        % {"name": profile.name},
    )
    return redirect(_return_to(request) or profile)


def _begun(request):
    """Drafts of new tax profiles that the person can go on with."""
    return (
        TaxProfileDraft.objects.where_user_may(request.user, Permission.PROFILE_EDIT)
        .of_company(request.company)
        .unsent()
        .filter(profile=None, created_by=request.user)
        .select_related("location")
    )


def _location_in_address(request) -> Location | None:
    chosen = request.GET.get("location", "")
    if not chosen.isdecimal() or len(chosen) > 18:
        return None
    locations = editable_locations(request.user, company=request.company)
    return locations.filter(pk=chosen).first()


def _needs_in_address(request) -> list[str]:
    """What a program asks beyond the country's own, as the address names it."""
    return [key for key in request.GET.get("need", "").split(",") if key][:20]


def _missing_fields(request, held) -> list:
    """What to ask when only fields are missing from details that are in order (R55)."""
    schema = countries.tax_schema(held.country, form=held.form)
    needs = _needs_in_address(request)
    lacks_document = any(key in DOCUMENTS and key not in held.provided for key in needs)
    if (
        schema is None
        or lacks_document
        or held.is_returned
        or held.is_expired(timezone.localdate())
    ):
        return []
    return countries.missing_fields(
        schema,
        held.details,
        required=[key for key in needs if schema.field(key) is not None],
    )


def _return_to(request) -> str:
    """Where the person came from: a path of this portal, or nothing."""
    target = request.GET.get("next", "")
    return target if is_own_path(target) else ""
