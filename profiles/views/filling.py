"""Filling in a bank profile, or a change of one, step by step.

The first step of a form is in the address (which country, which location), so that
every step is a page of its own and works without scripts.
"""

from urllib.parse import urlencode

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
from django.views.decorators.http import require_http_methods

from accounts.access import recently_authenticated, requires
from accounts.posting import posted
from accounts.roles import Permission
from profiles import bank_drafting, countries
from profiles.begun import BANK_PAGES, bank_page
from profiles.checking import foreseen
from profiles.countries.pasting import read_pasted
from profiles.forms import (
    CheckBankForm,
    CountryForm,
    DetailsForm,
    NewBankProfileForm,
    PasteForm,
    add_errors,
    held_of,
)
from profiles.models import (
    BankProfile,
    BankProfileDraft,
)
from profiles.review import changed_since
from profiles.views.around import (
    carried_along,
    data_of,
    put_away,
    return_to,
    sent_off,
    with_history,
)
from profiles.wording import (
    draft_sections,
    given_reasons,
)


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def new_bank(request):
    """Begin a bank profile: its name and its country; or go on with what was begun."""
    company = request.company
    draft = bank_drafting.bank_draft_of(company, by=request.user)
    known = draft or BankProfileDraft(country=company.country)
    asked = request.GET.get("country") or known.country
    form = NewBankProfileForm(
        data_of(request),
        company=company,
        initial={"name": known.name, "country": asked},
    )
    if request.method == "POST" and form.is_valid():
        try:
            bank_drafting.begin_bank_draft(
                company, by=request.user, **form.cleaned_data
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            return _to_step(request, "account")
    return render(
        request,
        "profiles/bank_begin.html",
        {
            "form": form,
            "draft": draft,
            "draft_country": countries.country_name(known.country),
            "go_on_url": draft and _step_url(request, bank_drafting.next_step(draft)),
            "discard_url": _with_query(reverse("profiles:discard_bank"), request),
            "back_url": return_to(request),
        },
        status=422 if form.errors else 200,
    )


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def bank_account(request):
    """Ask what that country's banks ask (R48), to type or to paste."""
    return _bank_step(request, "account")


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def bank_beneficiary(request):
    """Ask where the company is and whom the bank can ask."""
    return _bank_step(request, "beneficiary")


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def check_bank(request):
    """Show everything once more, numbers masked, and send it (R49)."""
    return _check_bank(request)


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@posted(instead=lambda: "profiles:list")
def discard_bank(request):
    """Throw away what was begun."""
    return _discard_bank(request)


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables()
def change_bank(request, profile):
    """Say what a change means and begin it, or go on with it; another country too."""
    if profile.is_archived:
        return put_away(request, profile)
    profile = with_history(profile)
    held = profile.current_version
    draft = bank_drafting.change_draft_of(profile, by=request.user)
    country = request.GET.get("country") or (
        bank_drafting.country_to_go_on_in(draft) if draft else held.country
    )
    form = CountryForm(data_of(request), initial={"country": country})
    if request.method == "POST" and form.is_valid():
        try:
            draft = bank_drafting.begin_bank_change(
                profile, country=form.cleaned_data["country"], by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            return _to_step(request, _first_of_change(draft, held), profile)
    return render(
        request,
        "profiles/bank_change.html",
        {
            "form": form,
            "profile": profile,
            "held": held,
            "company": profile.partner_account,
            "draft": draft,
            "changed": changed_since(draft) if draft else None,
            "impact": profile.change_impact(),
            "reasons": given_reasons(held),
            "discard_url": _with_query(
                reverse("profiles:discard_bank_change", kwargs={"pk": profile.pk}),
                request,
            ),
            "back_url": return_to(request),
        },
        status=422 if form.errors else 200,
    )


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def change_bank_account(request, profile):
    """Ask for the account anew, its number kept where the field stays empty."""
    return _bank_step(request, "account", profile)


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def change_bank_beneficiary(request, profile):
    """Ask for the company's address and the contact anew."""
    return _bank_step(request, "beneficiary", profile)


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def check_bank_change(request, profile):
    """Show what a change says and does, and send it; what is in force stays (R44)."""
    return _check_bank(request, profile)


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def discard_bank_change(request, profile):
    """Throw away a change that was begun."""
    return _discard_bank(request, profile)


def _first_of_change(draft, held) -> str:
    """Where a change goes on: at what was returned, else at the account."""
    first = bank_drafting.next_step(draft)
    return "account" if first == "check" and not held.is_returned else first


def _draft(request, profile):
    if profile is None:
        return bank_drafting.bank_draft_of(request.company, by=request.user)
    return bank_drafting.change_draft_of(profile, by=request.user)


def _check_bank(request, profile=None):
    draft = _draft(request, profile)
    if draft is None:
        return _nothing_begun(request, profile)
    changed = changed_since(draft)
    if bank_drafting.next_step(draft) != "check" and changed is None:
        return _to_step(request, bank_drafting.next_step(draft), profile)
    found = countries.bank_of(draft.details)
    form = CheckBankForm(data_of(request), found=found)
    if request.method == "POST" and form.is_valid():
        try:
            sent = bank_drafting.send_bank_draft(draft, by=request.user)
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return sent_off(request, sent)
    version = bank_drafting.foreseen_bank_version(draft, by=request.user)
    in_force = profile.version_in_force if profile is not None else None
    return render(
        request,
        "profiles/bank_check.html",
        {
            "form": form,
            "draft": draft,
            "changed": changed,
            "go_on_in": bank_drafting.country_to_go_on_in(draft) if changed else "",
            "profile": profile,
            "country": countries.country_name(draft.country),
            "begin_url": _begin_url(request, profile),
            "parts": [
                (section, _step_url(request, step, profile))
                for step in bank_drafting.STEPS
                for section in draft_sections(draft, step)
            ],
            "found": found,
            "in_force": in_force,
            "impact": profile.change_impact(version) if profile is not None else None,
            "checks": foreseen(
                version, in_force, on=timezone.localdate(), by=request.user
            ),
        },
        status=422 if form.errors else 200,
    )


def _discard_bank(request, profile=None):
    draft = _draft(request, profile)
    if draft is not None:
        bank_drafting.discard_bank_draft(draft, by=request.user)
        messages.success(request, _("What you began is discarded."))
    return redirect(return_to(request) or profile or "profiles:list")


def _bank_step(request, step, profile=None):
    draft = _draft(request, profile)
    if draft is None:
        return _nothing_begun(request, profile)
    if request.method == "POST" and request.POST.get("country") != draft.country:
        # Filled in before the country was changed in another window.
        return _to_step(request, step, profile)
    schema = bank_drafting.step_schema(draft.country, step)
    held = held_of(draft, draft.details)
    paste = _paste_form(request) if step == "account" else None
    form = None
    filled = []
    if _is_pasting(request, paste):
        form, filled, paste = _filled_in(paste, schema=schema, held=held)
    if form is None:
        form = DetailsForm(data_of(request), schema=schema, held=held)
        if request.method == "POST" and form.is_valid():
            try:
                draft = bank_drafting.fill_bank_step(
                    draft, step=step, details=form.details, by=request.user
                )
            except ValidationError as error:
                add_errors(form, error)
            else:
                return _to_step(request, _following(step, draft), profile)
    has_errors = bool(form.errors or (paste and paste.errors))
    begin_url = _begin_url(request, profile)
    return render(
        request,
        "profiles/bank_step.html",
        {
            "form": form,
            "paste": paste,
            "has_errors": has_errors,
            "filled": filled,
            "draft": draft,
            "profile": profile,
            "step": step,
            "country": countries.country_name(draft.country),
            "begin_url": begin_url,
            "back_url": begin_url
            if step == "account"
            else _step_url(request, "account", profile),
            "leave_url": profile.get_absolute_url()
            if profile is not None
            else reverse("profiles:list"),
            "sections": form.sections(),
        },
        status=422 if has_errors else 200,
    )


def _paste_form(request):
    return PasteForm(request.POST if "fill" in request.POST else None)


def _is_pasting(request, paste) -> bool:
    """Enter in another field presses the first button: then nothing is pasted."""
    return bool(paste and paste.is_bound and request.POST.get("pasted", "").strip())


def _filled_in(paste, *, schema, held):
    """The form with what the pasted text holds filled in, and what that is.

    Nothing is kept of it, and nothing judged yet. Where it holds nothing, the paste
    form says so.
    """
    found = {}
    if paste.is_valid():
        found = read_pasted(schema, paste.cleaned_data["pasted"])
        if not found:
            paste.add_error(
                "pasted",
                _(
                    "No number of a bank in %(country)s is in it. Type the numbers into "
                    "the fields, or change the country of the bank."
                )
                % {"country": countries.country_name(schema.country)},
            )
    typed = {
        spec.key: paste.data[spec.key]
        for spec in schema.fields
        if spec.key in paste.data
    }
    form = DetailsForm(schema=schema, held=held, typed=typed | found)
    filled = [spec.label for spec in schema.fields if spec.key in found]
    return form, filled, PasteForm() if found else paste


def _following(step: str, draft) -> str:
    """The next step; of a change the next that is not done."""
    if draft.profile_id is not None:
        return bank_drafting.next_step(draft)
    steps = [*BANK_PAGES]
    return steps[steps.index(step) + 1]


def _nothing_begun(request, profile=None):
    if profile is None:
        messages.info(request, _("Nothing is begun here. Begin with name and country."))
    return redirect(_begin_url(request, profile))


def _begin_url(request, profile=None) -> str:
    if profile is None:
        return _with_query(reverse("profiles:new_bank"), request)
    path = reverse("profiles:change_bank", kwargs={"pk": profile.pk})
    return _with_query(path, request)


def _to_step(request, step, profile=None):
    return redirect(_step_url(request, step, profile))


def _step_url(request, step: str, profile=None) -> str:
    return _with_query(bank_page(step, profile=profile and profile.pk), request)


def _with_query(path: str, request) -> str:
    carried = carried_along(request)
    return f"{path}?{urlencode(carried)}" if carried else path
