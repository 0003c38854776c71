"""The lists of bank and of tax profiles, and what one needs before one starts."""

from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.location_choice import choose_location, keeping_location
from accounts.roles import Permission
from profiles import bank_drafting, countries
from profiles.currencies import default_currencies, takes_only_local
from profiles.forms import (
    NeedsForm,
)
from profiles.models import (
    BankProfile,
    TaxProfile,
    TaxProfileDraft,
)
from profiles.wording import (
    finance_text,
    needed_sections,
)

ROWS = 50


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
    context |= {"page": page, "rows": rows, "tabs": tabs(request, current)}
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


def tabs(request, current):
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
