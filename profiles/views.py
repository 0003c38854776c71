"""Partners' pages about bank profiles, tax profiles and default bank profiles.

The first step of a form is in the address (which country, which location), so that
every step is a page of its own and works without scripts.
"""

from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import public, recently_authenticated, requires
from accounts.link_tokens import fingerprint_of
from accounts.location_choice import choose_location, keeping_location
from accounts.posting import posted
from accounts.roles import Permission
from profiles import bank_drafting, countries, services
from profiles.begun import BANK_PAGES, bank_page
from profiles.checking import foreseen
from profiles.countries.pasting import read_pasted
from profiles.countries.tax_forms import FORMS, RENEWABLE
from profiles.currencies import default_currencies, takes_only_local
from profiles.emails import shown_account
from profiles.forms import (
    AnswerForm,
    CheckBankForm,
    CountryForm,
    DefaultBankProfileForm,
    DetailsForm,
    NeedsForm,
    NewBankProfileForm,
    PasteForm,
    ShowNumberForm,
    add_errors,
    held_of,
)
from profiles.models import (
    BankProfile,
    BankProfileDraft,
    BankProfileVersion,
    DefaultBankProfile,
    ReviewQuestion,
    TaxProfile,
    TaxProfileDraft,
)
from profiles.review import changed_since, compared_versions, turns_of
from profiles.states import CANDIDATE
from profiles.wording import (
    draft_sections,
    expired_on,
    finance_text,
    general_reasons,
    given_reasons,
    needed_sections,
    shown_answers,
    shown_sections,
    whole_numbers,
)

ROWS = 50
# What the session keeps between asking for a number and showing it: of which profile.
_SHOWN = "number_to_show"
# And between opening the contact's link and stopping: the token's fingerprint.
_OPENED = "bank_change_to_stop"


# --- The three lists -----------------------------------------------------------------


@requires(Permission.PROFILE_VIEW)
@require_safe
def bank_profiles(request):
    """List the company's bank profiles; they serve all its locations (R46)."""
    profiles = (
        BankProfile.objects.where_user_may(request.user, Permission.PROFILE_VIEW)
        .of_company(request.company)
        .with_uses()
        .with_versions()
        .archived_last()
    )
    location = choose_location(request)
    if location is not None:
        # Used there, or what new enrollments there would use.
        profiles = profiles.filter(
            Exists(
                BankProfile.objects.filter(
                    Q(payout_assignments__location=location)
                    | Q(defaults__location=location),
                    pk=OuterRef("pk"),
                ).order_by()
            )
        )
    return _list(
        request,
        profiles,
        "profiles/bank_profiles.html",
        current="bank",
        draft=bank_drafting.bank_draft_of(request.company, by=request.user),
    )


@requires(Permission.PROFILE_VIEW)
@require_safe
def tax_profiles(request):
    """List the tax profiles of the locations the person may see."""
    profiles = (
        TaxProfile.objects.where_user_may(request.user, Permission.PROFILE_VIEW)
        .of_company(request.company)
        .select_related("location")
        .with_uses()
        .with_versions()
        .archived_last()
    )
    location = choose_location(request)
    if location is not None:
        profiles = profiles.filter(location=location)
    begun = (
        TaxProfileDraft.objects.where_user_may(request.user, Permission.PROFILE_EDIT)
        .of_company(request.company)
        .unsent()
        .filter(Q(profile=None) | Q(profile__archived_at=None), created_by=request.user)
        .select_related("location", "profile")
    )
    return _list(
        request, profiles, "profiles/tax_profiles.html", current="tax", begun=begun
    )


def _list(request, profiles, template, *, current, **context):
    page = Paginator(profiles, ROWS).get_page(request.GET.get("page"))
    today = timezone.localdate()
    rows = [_list_row(profile, today) for profile in page]
    context |= {"page": page, "rows": rows, "tabs": _tabs(request, current)}
    return render(request, template, context)


def _list_row(profile, today):
    version = profile.version_in_force or profile.candidate
    return {
        "profile": profile,
        "version": version,
        "country": countries.country_name(version.country),
        "statuses": profile.shown_statuses(today),
        "is_returned": bool(profile.candidate and profile.candidate.is_returned),
    }


def _tabs(request, current):
    return [
        {
            "label": label,
            "url": keeping_location(request, reverse(f"profiles:{name}")),
            "is_current": code == current,
        }
        for code, label, name in (
            ("bank", _("Payout"), "list"),
            ("tax", _("Tax"), "tax_list"),
            ("defaults", _("Defaults"), "defaults"),
        )
    ]


@requires(Permission.PROFILE_VIEW)
@require_safe
def needs(request):
    """Say what a country's forms will ask, to read, print or send, before one begins."""
    usual = request.company.country
    bank, tax = (
        next(
            schema
            for code in (request.GET.get(part, ""), usual, "SE")
            if (schema := ask(code)) is not None
        )
        for part, ask in (
            ("bank", countries.bank_schema),
            ("tax", countries.tax_schema),
        )
    )
    parts = [
        (
            _("Bank profile, bank in %(country)s")
            % {"country": countries.country_name(bank.country)},
            needed_sections(bank),
        ),
        (
            _("Tax profile, company registered in %(country)s")
            % {"country": countries.country_name(tax.country)},
            needed_sections(tax),
        ),
    ]
    return render(
        request,
        "profiles/needs.html",
        {
            "form": NeedsForm(initial={"bank": bank.country, "tax": tax.country}),
            "parts": parts,
            "finance_text": finance_text(parts),
            "currencies": default_currencies(bank.country),
            "takes_only_local": takes_only_local(bank.country),
        },
    )


# --- Bank profiles ---------------------------------------------------------------------


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
        _posted(request),
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
            "back_url": _return_to(request),
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


# A change of a bank profile goes the same four steps.


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables()
def change_bank(request, profile):
    """Say what a change means and begin it, or go on with it; another country too."""
    if profile.is_archived:
        return _put_away(request, profile)
    profile = _with_history(profile)
    held = profile.current_version
    draft = bank_drafting.change_draft_of(profile, by=request.user)
    country = request.GET.get("country") or (
        bank_drafting.country_to_go_on_in(draft) if draft else held.country
    )
    form = CountryForm(_posted(request), initial={"country": country})
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
            "back_url": _return_to(request),
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
    form = CheckBankForm(_posted(request), found=found)
    if request.method == "POST" and form.is_valid():
        try:
            sent = bank_drafting.send_bank_draft(draft, by=request.user)
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return _sent(request, sent)
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
    return redirect(_return_to(request) or profile or "profiles:list")


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
        form = DetailsForm(_posted(request), schema=schema, held=held)
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
    carried = _carried(request)
    return f"{path}?{urlencode(carried)}" if carried else path


@requires(Permission.PROFILE_VIEW, on=BankProfile)
@require_safe
def bank(request, profile):
    """Show a bank profile: what is in force, what is waiting, and its history."""
    return _profile_page(request, profile, "profiles/bank_profile.html")


@requires(Permission.PROFILE_VIEW, on=BankProfile)
@require_safe
def compare_bank(request, profile):
    """Show what differs between two versions of a bank profile, numbers masked."""
    return _compare_page(request, profile)


@requires(Permission.PROFILE_VIEW, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables()
def show_bank_number(request, profile):
    """Ask why, then show the whole numbers, this once."""
    if request.method != "POST":
        if request.method == "GET" and request.session.pop(_SHOWN, "") == str(
            profile.pk
        ):
            return _numbers_page(request, profile)
        return _ask_why_page(request, profile, ShowNumberForm())
    form = ShowNumberForm(request.POST)
    if not form.is_valid():
        return _ask_why_page(request, profile, form, status=422)
    try:
        services.show_bank_number(profile, by=request.user, **form.cleaned_data)
    except ValidationError as error:
        add_errors(form, error)
        return _ask_why_page(request, profile, form, status=422)
    # The session keeps which profile, never the number.
    request.session[_SHOWN] = str(profile.pk)
    return redirect("profiles:show_bank_number", pk=profile.pk)


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def archive_bank(request, profile):
    """Put a bank profile away, after asking."""
    return _archive_page(request, profile, then="profiles:list")


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def withdraw_bank(request, profile):
    """Take a new version back; the one in force stays."""
    version = profile.candidate
    if version is not None:
        try:
            services.withdraw_change(version, by=request.user)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(
                request, _("The new version is withdrawn. The one in force stays.")
            )
    return redirect(profile)


# --- "This was not us" (security.md §6.2) --------------------------------------------------


@requires(Permission.PROFILE_KNOW, on=BankProfile)
@require_http_methods(["GET", "HEAD", "POST"])
def stop_change(request, profile):
    """Say what is to change, as the mail did; stop it."""
    version = (
        profile.versions.exclude(usable_from=None)
        .select_related("submitted_by")
        .order_by("-number")
        .first()
    )
    if request.method == "POST" and version is not None:
        form = _stop(version, by=request.user)
        if form is None:
            return redirect("profiles:stop_change", pk=profile.pk)
    else:
        form = forms.Form()
    return _change_page(request, version, form, profile=profile)


@public("the link only leads to the page; it shows nothing and changes nothing")
@require_safe
def stop_link(request, token):
    """Remember which link was opened and leave the token behind (T4)."""
    fingerprint = fingerprint_of(token)
    if not BankProfileVersion.objects.filter(stop_sha256=fingerprint).exists():
        raise Http404
    request.session[_OPENED] = fingerprint
    response = redirect("profiles:stop_by_link")
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


@public("says what the contact's mail said; stops only what its link was about")
@require_http_methods(["GET", "HEAD", "POST"])
def stop_by_link(request):
    """Let the previous contact, who has no account here, stop the change."""
    version = None
    if fingerprint := request.session.get(_OPENED):
        version = (
            BankProfileVersion.objects.filter(stop_sha256=fingerprint)
            .select_related("profile__partner_account", "submitted_by")
            .first()
        )
    if request.method == "POST" and version is not None:
        form = _stop(version, by=None)
        if form is None:
            return redirect("profiles:stop_by_link")
    else:
        form = forms.Form()
    return _change_page(request, version, form, profile=None)


def _stop(version, *, by):
    """Stop a change; return the form that says why it cannot be, or None."""
    try:
        services.stop_change(version, by=by)
    except ValidationError as error:
        form = forms.Form({})
        form.full_clean()
        add_errors(form, error)
        return form
    return None


def _change_page(request, version, form, *, profile):
    """`profile` is None for the contact, who reads no more than the mail said."""
    before = version.account_before if version is not None else None
    templates = {True: "profiles/stop_change.html", False: "profiles/stop_by_link.html"}
    response = render(
        request,
        templates[profile is not None],
        {
            "form": form,
            "profile": profile,
            "version": version,
            "company": version.profile.account if version else None,
            "old": shown_account(before) if before else None,
            "new": shown_account(version) if version else None,
            "is_holder_only": bool(
                before and before.blind_index == version.blind_index
            ),
            "may_edit": profile is not None
            and not profile.is_archived
            and _may_edit(request.user, profile),
        },
        status=422 if form.errors else 200,
    )
    response["Cache-Control"] = "no-store"
    return response


# --- Tax profiles ------------------------------------------------------------------------


@requires(Permission.PROFILE_VIEW, on=TaxProfile)
@require_safe
def tax(request, profile):
    """Show a tax profile: what is in force, what is waiting, and its history."""
    return _profile_page(request, profile, "profiles/tax_profile.html")


@requires(Permission.PROFILE_VIEW, on=TaxProfile)
@require_safe
def compare_tax(request, profile):
    """Show what differs between two versions of a tax profile, numbers masked."""
    return _compare_page(request, profile)


@requires(Permission.PROFILE_EDIT, on=TaxProfile)
@require_http_methods(["GET", "HEAD", "POST"])
def archive_tax(request, profile):
    """Put a tax profile away, after asking."""
    return _archive_page(request, profile, then="profiles:tax_list")


# --- Default bank profiles ------------------------------------------------------------------


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def defaults(request):
    """Show which locations have a default, and set one for those without (R50-R52)."""
    form = DefaultBankProfileForm(
        _posted(request), user=request.user, company=request.company
    )
    if request.method == "POST" and form.is_valid():
        try:
            moving = list(form.cleaned_data["moving"])
            rows = services.set_default_bank_profile(
                [*form.cleaned_data["locations"], *moving],
                moving=moving,
                seen=form.seen,
                bank_profile=form.cleaned_data["bank_profile"],
                currency=form.cleaned_data["currency"],
                by=request.user,
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _defaults_set(rows))
            return redirect("profiles:defaults")
    rows = (
        DefaultBankProfile.objects.where_user_may(request.user, Permission.PROFILE_VIEW)
        .of_company(request.company)
        .select_related("location", "bank_profile")
        .order_by("location__name", "pk")
    )
    location = choose_location(request)
    if location is not None:
        rows = rows.filter(location=location)
    return render(
        request,
        "profiles/defaults.html",
        {
            "form": form,
            "bank_choices": _bank_choices(form),
            "rows": rows,
            "tabs": _tabs(request, "defaults"),
        },
        status=422 if form.errors else 200,
    )


@requires(Permission.PROFILE_EDIT, on=DefaultBankProfile)
@recently_authenticated
@posted(instead=lambda default: "profiles:defaults")
def remove_default(request, default):
    """Take a location's default away; the location is offered again (R51)."""
    name = default.location.name
    try:
        services.remove_default_bank_profile(default, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("%(location)s has no default bank profile now.") % {"location": name},
        )
    return redirect("profiles:defaults")


def _bank_choices(form):
    """Each bank profile's radio, with what tells it from the others."""
    today = timezone.localdate()
    choices = []
    for option in form["bank_profile"]:
        profile = option.data["value"].instance
        version = profile.version_in_force or profile.candidate
        text = _("%(country)s · ending in %(end)s") % {
            "country": countries.country_name(version.country),
            "end": version.last4,
        }
        choices.append((option, text, profile.shown_statuses(today)[0]))
    return choices


def _defaults_set(rows) -> str:
    first = rows[0]
    names = ", ".join(row.location.name for row in rows)
    return _("%(profile)s in %(currency)s is the default of %(locations)s.") % {
        "profile": first.bank_profile.name,
        "currency": first.currency,
        "locations": names,
    }


# --- What bank and tax pages share --------------------------------------------------------


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def answer_bank(request, profile):
    """Answer what the program owner asks about a bank profile."""
    return _answer(request, profile, "profiles/bank_profile.html")


@requires(Permission.PROFILE_EDIT, on=TaxProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def answer_tax(request, profile):
    """Answer what the program owner asks about a tax profile."""
    return _answer(request, profile, "profiles/tax_profile.html")


def _answer(request, profile, template):
    question = _questions_to_partner(profile).open().first()
    if question is None:
        messages.info(
            request,
            _("This was answered or decided meanwhile. There is nothing to do."),
        )
        return redirect(profile)
    form = AnswerForm(request.POST)
    if request.POST.get("question") != str(question.pk):
        form.add_error(
            None,
            _(
                "The question that you read was answered or decided meanwhile. Read the "
                "one that waits now before you send your answer."
            ),
        )
    if form.is_valid():
        try:
            services.answer_question(question, **form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request, _("Answered. It is the program owner's turn again.")
            )
            return redirect(profile)
    return _profile_page(request, profile, template, answer=form)


def _questions_to_partner(profile):
    """What the program owner asked about the version that waits or was returned."""
    about = {f"{profile.part}_version__profile": profile}
    current = {f"{profile.part}_version__status__in": CANDIDATE}
    return ReviewQuestion.objects.to_partner().filter(**about, **current)


def _profile_page(request, profile, template, *, answer=None):
    profile = _with_history(profile)
    in_force, candidate = profile.version_in_force, profile.candidate
    versions = profile.versions.all()
    turns = turns_of(versions, sees_evidence=False)
    today = timezone.localdate()
    return render(
        request,
        template,
        {
            "profile": profile,
            "statuses": profile.shown_statuses(today),
            "shown": [
                {
                    "version": version,
                    "status": version.shown_status_on(today),
                    "country": countries.country_name(version.country),
                    "sections": shown_sections(version),
                    **_of_tax(version),
                    "general_reasons": general_reasons(version),
                    "stop": _stop_of(version),
                }
                for version in (candidate, in_force)
                if version is not None
            ],
            "in_force": in_force,
            "expired_on": expired_on(in_force, today=today),
            "candidate": candidate,
            "questions": _questions_to_partner(profile).select_related(
                f"{profile.part}_version", "answered_by"
            ),
            "history": [(version, turns[version.pk]) for version in versions],
            "answer_form": answer or AnswerForm(),
            "answer_url": reverse(
                f"profiles:answer_{profile.part}", kwargs={"pk": profile.pk}
            ),
            "form": answer,
            "has_errors": answer is not None,
            "discard_url": _discard_url(profile, by=request.user),
            "compare_url": (
                reverse(f"profiles:compare_{profile.part}", kwargs={"pk": profile.pk})
                if len(profile.versions.all()) > 1
                else ""
            ),
            "may_edit": not profile.is_archived and _may_edit(request.user, profile),
            "is_to_be_renewed": _is_to_be_renewed(in_force, candidate, on=today),
        },
        status=422 if answer is not None else 200,
    )


def _discard_url(profile, *, by) -> str:
    """Where a change is thrown away that was begun before its profile was put away."""
    if not profile.is_archived:
        return ""
    if profile.part == "bank":
        draft = bank_drafting.change_draft_of(profile, by=by)
        name, key = "profiles:discard_bank_change", profile.pk
    else:
        rows = TaxProfileDraft.objects.unsent().where_user_may(
            by, Permission.PROFILE_EDIT
        )
        draft = rows.filter(profile=profile).first()
        name, key = "profiles:discard_tax_draft", draft and draft.pk
    return reverse(name, kwargs={"pk": key}) if draft is not None else ""


def _compare_page(request, profile):
    context = compared_versions(
        profile, old=request.GET.get("old", ""), new=request.GET.get("new", "")
    )
    return render(request, "profiles/compare.html", {"profile": profile, **context})


def _stop_of(version):
    """Who stopped a change, while it is stopped."""
    if not version.is_stopped:
        return None
    return (
        version.stops.open()
        .select_related("stopped_by", "checked_by", "follows")
        .first()
    )


def _is_to_be_renewed(in_force, candidate, *, on) -> bool:
    """Whether the form in force expires within the time that people are told of it."""
    last_day = getattr(in_force, "expires_on", None)
    return candidate is None and last_day is not None and last_day - on <= RENEWABLE


def _of_tax(version) -> dict:
    """What a tax version has besides: its form, the answers, and its documents."""
    if version.part != "tax":
        return {"form_name": "", "answers": [], "documents": []}
    return {
        "form_name": FORMS.get(version.form, version.form),
        "answers": shown_answers(version.country, version.setup),
        "documents": version.documents.without_content(),
    }


def _ask_why_page(request, profile, form, *, status=200):
    return render(
        request,
        "profiles/show_number.html",
        {"profile": profile, "form": form, "most": services.MOST_SHOWN_A_DAY},
        status=status,
    )


def _numbers_page(request, profile):
    versions = profile.versions.current_first()
    context = {
        "profile": profile,
        "shown": [
            {"version": version, "numbers": whole_numbers(version)}
            for version in versions
        ],
    }
    return render(request, "profiles/whole_number.html", context)


def _may_edit(user, profile) -> bool:
    rows = type(profile).objects.where_user_may(user, Permission.PROFILE_EDIT)
    return rows.filter(pk=profile.pk).exists()


def _archive_page(request, profile, *, then):
    form = forms.Form(_posted(request))
    if request.method == "POST":
        try:
            services.archive_profile(profile, by=request.user)
        except ValidationError as error:
            form.full_clean()
            add_errors(form, error)
        else:
            messages.success(
                request, _("%(name)s is archived.") % {"name": profile.name}
            )
            return redirect(then)
    return render(
        request,
        "profiles/archive.html",
        {
            "form": form,
            "profile": profile,
            "uses": profile.uses_by_name(),
            "defaults": (
                profile.defaults.select_related("location").order_by("location__name")
                if profile.part == "bank"
                else []
            ),
            "replace_url": reverse(
                f"enrollment:replace_{profile.part}", kwargs={"pk": profile.pk}
            ),
        },
        status=422 if form.errors else 200,
    )


def _with_history(profile):
    """The same profile with its versions and uses, for a page of its own."""
    return type(profile).objects.with_uses().with_history().get(pk=profile.pk)


def _put_away(request, profile):
    messages.info(
        request,
        _("%(name)s is archived and cannot be changed.") % {"name": profile.name},
    )
    return redirect(profile)


def _sent(request, profile):
    messages.success(
        request,
        _("%(name)s is sent for validation. It is usually answered within two days.")
        % {"name": profile.name},
    )
    return redirect(_return_to(request) or profile)


def _posted(request):
    return request.POST if request.method == "POST" else None


def _return_to(request) -> str:
    """Where the person came from: a path of this portal, or nothing."""
    target = request.GET.get("next", "")
    is_own = target.startswith("/") and url_has_allowed_host_and_scheme(
        target, allowed_hosts=None
    )
    return target if is_own else ""


def _carried(request) -> dict[str, str]:
    """What the address says besides the step, for the next step's address."""
    carried = {"next": _return_to(request), "need": request.GET.get("need", "")}
    return {name: value for name, value in carried.items() if value}
