"""Asking somebody to fill in bank or tax details, filling them in, and checking them."""

from urllib.parse import urlencode

from allauth.core.internal import ratelimit
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import is_own_path, owned, public, recently_authenticated, requires
from accounts.forms import JoinForm
from accounts.link_tokens import fingerprint_of
from accounts.models import Location
from accounts.posting import posted
from accounts.roles import Permission
from accounts.services import make_account_by_link
from accounts.typed import keeps_typed, refilled
from profiles import countries, preparing
from profiles.begun import bank_page
from profiles.forms import (
    AskColleagueForm,
    CountryForm,
    DetailsForm,
    NameAndNoteForm,
    NoteForm,
    add_errors,
)
from profiles.models import PreparedPart
from profiles.wording import shown_part

# What the session keeps of a link: its fingerprint, never the token.
_OPENED = "part"


@requires(Permission.PROFILE_EDIT, on=Location)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def ask_part(request, location):
    """Ask a person to fill in the bank or the tax details of a location."""
    form = AskColleagueForm(
        request.POST if request.method == "POST" else None,
        initial={
            "section": request.GET.get("section", "bank"),
            "language": request.LANGUAGE_CODE,
        },
    )
    form = refilled(request, form)
    if request.method == "POST" and form.is_valid():
        try:
            part = preparing.ask_colleague(
                location, by=request.user, **form.cleaned_data
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request,
                _("%(address)s gets a link. You are told when it is filled in.")
                % {"address": part.email},
            )
            return redirect(_with_way_back(request, location))
    open_ones = PreparedPart.objects.filter(
        location=location, closed_at=None
    ).for_pages()
    return render(
        request,
        "profiles/ask_part.html",
        {
            "form": form,
            "location": location,
            "leave_url": _way_back(request) or location.get_absolute_url(),
            "parts": open_ones.order_by("-asked_at", "pk")[:20],
        },
        status=422 if form.errors else 200,
    )


def _way_back(request) -> str:
    """Where the person came from: a path of this portal, or nothing."""
    target = request.GET.get("next", "")
    return target if is_own_path(target) else ""


def _with_way_back(request, location) -> str:
    """This page's address, which still knows where its reader came from."""
    page = reverse("profiles:ask_part", kwargs={"pk": location.pk})
    target = _way_back(request)
    return f"{page}?{urlencode({'next': target})}" if target else page


@requires(Permission.PROFILE_EDIT, on=PreparedPart)
@posted(instead=lambda part: part.location)
def end_part(request, part):
    """Put aside what somebody was asked for or filled in; all of it is deleted."""
    try:
        preparing.end_part(part, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request, _("Put aside. What was filled in is deleted; the link is over.")
        )
    return redirect(part.location)


@requires(Permission.PROFILE_EDIT, on=PreparedPart)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables()
def check_part(request, part):
    """Show what a colleague filled in, numbers masked; go on with it as one's own."""
    form = NameAndNoteForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            draft = preparing.use_part(
                part, name=form.cleaned_data["name"], by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            if part.is_bank:
                return redirect(bank_page("check", profile=None))
            return redirect(draft)
    return render(
        request,
        "profiles/check_part.html",
        {
            "form": form,
            "part": part,
            "location": part.location,
            "is_waiting": part.state == "filled",
            "country": countries.country_name(part.country) if part.country else "",
            "sections": shown_part(part),
        },
        status=422 if form.errors else 200,
    )


# --- Whoever fills it in ---------------------------------------------------------------


@owned(on=PreparedPart)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def part(request, prepared):
    """Show the one section somebody may fill in, and hand it in."""
    country = _country(request, prepared)
    schema = (
        countries.bank_schema(country)
        if prepared.is_bank
        else countries.tax_schema(country)
    )
    if schema is None:
        raise Http404
    is_sent = request.method == "POST"
    form = DetailsForm(request.POST if is_sent else None, schema=schema)
    note = NoteForm(request.POST if is_sent else None)
    if is_sent and form.is_valid() and note.is_valid():
        try:
            preparing.fill_part(
                prepared,
                country=country,
                details=form.details,
                note=note.cleaned_data["note"],
                by=request.user,
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request,
                _(
                    "Thank you. It is handed in to be checked; you need to do nothing more."
                ),
            )
            return redirect("home")
    has_errors = bool(form.errors or note.errors)
    return render(
        request,
        "profiles/part.html",
        {
            "form": form,
            "note": note,
            "has_errors": has_errors,
            "country_form": CountryForm(initial={"country": country}),
            "part": prepared,
            "country": countries.country_name(country),
            "country_code": country,
            "sections": form.sections(),
        },
        status=422 if has_errors else 200,
    )


def _country(request, prepared) -> str:
    """The bank may be anywhere; tax details are of where the location is."""
    if not prepared.is_bank:
        return prepared.location.country
    asked = request.POST.get("bank_country") or request.GET.get("country", "")
    known = {code for code, _name in countries.bank_countries()}
    return asked if asked in known else prepared.location.country


@public("the link only leads to the page; it shows nothing and changes nothing")
@require_safe
def part_link(request, token):
    """Remember which link was opened and leave the token behind (T4)."""
    fingerprint = fingerprint_of(token)
    if not PreparedPart.objects.filter(token_sha256=fingerprint).exists():
        raise Http404
    request.session[_OPENED] = fingerprint
    response = redirect("profiles:part_by_link")
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


@public("names nobody; leads whom it is for to their page, others to sign in")
@require_safe
def part_by_link(request):
    """Lead to the section, or say how to sign in; name nobody before."""
    return _link_page(request, _opened(request))


@public("somebody new has no account yet; the link and the address prove who it is")
@sensitive_post_parameters("password")
@posted(instead=lambda: "profiles:part_by_link")
def part_join(request):
    """Make the account of somebody new, who signs in with it next."""
    opened = _opened(request)
    if opened is None or request.user.is_authenticated:
        return redirect("profiles:part_by_link")
    form = JoinForm(request.POST)
    # Counted before it is known to be wrong; what was no guess is taken back.
    attempt = ratelimit.consume(
        request, app="allauth.account", action="join_failed", key=str(opened.pk)
    )
    if attempt is None:
        form.add_error(None, _("Too many wrong answers. Wait an hour, then try again."))
        return _link_page(request, opened, form=form, status=429)
    if not form.is_valid():
        attempt.rollback()
        return _link_page(request, opened, form=form, status=422)
    try:
        make_account_by_link(
            opened.email, language=request.LANGUAGE_CODE, **form.cleaned_data
        )
    except ValidationError as error:
        by_field = getattr(error, "error_dict", {})
        codes = {one.code for one in by_field.get("email", ())}
        if "wrong_person" not in codes:
            attempt.rollback()
        form.add_refusal(error)
        return _link_page(request, opened, form=form, status=422)
    attempt.rollback()
    messages.success(request, _("Your account is ready. Sign in to begin."))
    return redirect(_sign_in())


def _opened(request) -> PreparedPart | None:
    """The part whose link was opened in this browser, while it can be filled in."""
    fingerprint = request.session.get(_OPENED)
    if not fingerprint:
        return None
    found = PreparedPart.objects.filter(token_sha256=fingerprint)
    return found.open_at(timezone.now()).first()


def _link_page(request, opened, *, form=None, status=200):
    user = request.user
    if opened is not None and user.is_authenticated:
        if user.email == opened.email and not user.is_staff:
            request.session.pop(_OPENED, None)
            return redirect("profiles:part", pk=opened.pk)
        return render(request, "accounts/not_for_you.html", status=status)
    return render(
        request,
        "profiles/part_by_link.html",
        {
            "form": form or JoinForm(),
            "is_over": opened is None,
            "sign_in_url": _sign_in(),
        },
        status=status,
    )


def _sign_in() -> str:
    return f"{reverse('account_login')}?next={reverse('profiles:part_by_link')}"
