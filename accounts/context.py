"""What every page needs around its content: navigation, company, language, person."""

from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import proof
from accounts.companies import company_of_frame, path_in
from accounts.location_choice import keeping_location
from accounts.models import Language

# The ways that lead to lists a location can be chosen for (experience.md P16).
NARROWED = frozenset(
    {
        "home",
        "enrollment:overview",
        "profiles:list",
        "accounts:people",
        "activity:list",
    }
)

# Pages that belong to a way though their address does not begin with its: their routes.
_ALSO_UNDER = {
    "enrollment:overview": ("enroll/", "i/<uuid:pk>/"),
    "ops:invitations": ("ops/campaigns/",),
    "ops:validation": ("ops/reasons/",),
}


@dataclass(frozen=True)
class NavItem:
    """One way in the navigation."""

    label: str
    url: str
    icon: str
    is_active: bool
    count: int = 0


def portal(request) -> dict:
    """The frame's values; nothing here decides what a page may show."""
    user = getattr(request, "user", None)
    is_signed_in = bool(user and user.is_authenticated)
    is_operator = is_signed_in and user.is_staff
    values = {
        "portal_name": settings.PORTAL_NAME,
        "operator_name": settings.OPERATOR_NAME,
        "support_address": settings.SUPPORT_ADDRESS,
        "is_demo": settings.DEMO,
        "demo_mail_url": reverse("demo:mailbox") if settings.DEMO else "",
        "is_second_factor_advised": getattr(request, "is_second_factor_advised", False),
        "passkeys_possible": bool(proof.passkey_host(request)),
        "person": user if is_signed_in else None,
        "is_operator": is_operator,
        "languages": [
            {"code": code, "name": name, "is_current": code == request.LANGUAGE_CODE}
            for code, name in Language.choices
        ],
        "nav": [],
        "companies": [],
        "current_company": None,
        "location_choice": getattr(request, "location_choice", None),
        "unread_count": 0,
        "notifications_url": "",
    }
    if is_operator:
        values["nav"] = _operator_nav(request)
    elif is_signed_in:
        values |= _partner_frame(request)
    return values


def _partner_frame(request) -> dict:
    current = company_of_frame(request)
    return {
        "nav": _nav(
            request,
            (
                (_("Home"), "home", "home"),
                (_("Incentives"), "enrollment:overview", "incentives"),
                (_("Profiles"), "profiles:list", "profiles"),
                (_("People"), "accounts:people", "people"),
                (_("Activity"), "activity:list", "activity"),
                (_("Locations"), "enrollment:locations", "location"),
            ),
        ),
        "companies": [
            {
                "name": company.name,
                "partner_id": company.partner_id,
                "url": path_in(company, "home"),
                "is_current": bool(current) and company.pk == current.pk,
            }
            for company in request.companies
        ],
        "current_company": current,
        "notifications_url": reverse("enrollment:notifications"),
    }


def _operator_nav(request) -> list[NavItem]:
    may = request.user.has_perm
    entries = (
        (_("Today"), "ops:today", "home", True),
        (
            _("Programs"),
            "ops:programs",
            "programs",
            may("enrollment.view_programterms"),
        ),
        (
            _("Invitations"),
            "ops:invitations",
            "mail",
            may("enrollment.view_programterms"),
        ),
        (
            _("Eligibility"),
            "ops:imports",
            "eligibility",
            may("enrollment.view_valueimport"),
        ),
        (_("Validation"), "ops:validation", "check", may("enrollment.view_enrollment")),
        (_("Year end"), "ops:renewals", "renewals", may("enrollment.view_renewalplan")),
        (_("Locations"), "ops:locations", "location", may("accounts.view_location")),
        (_("Mail"), "ops:mail", "alert", may("accounts.view_outgoingemail")),
        (_("Audit"), "ops:audit", "audit", may("accounts.view_auditevent")),
        (_("Sign-ins"), "ops:sign_ins", "key", may("accounts.view_companytenant")),
        (
            _("Recovery"),
            "ops:recoveries",
            "people",
            may("accounts.view_recoveryrequest"),
        ),
        (_("Records"), "admin:index", "list", True),
    )
    return _nav(request, [way for *way, may_open in entries if may_open])


def _nav(request, entries) -> list[NavItem]:
    items = []
    route = request.resolver_match.route if request.resolver_match else ""
    for label, name, icon in entries:
        url = reverse(name)
        is_active = (
            request.path == url
            if name in ("home", "ops:today")
            else request.path.startswith(url)
            or route.startswith(_ALSO_UNDER.get(name, ()))
        )
        if name in NARROWED:
            url = keeping_location(request, url)
        items.append(NavItem(label, url, icon, is_active))
    return items
