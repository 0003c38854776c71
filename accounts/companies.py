"""Which company a person is working in: the choice is in the address."""

from accounts.models import PartnerAccount

PARAMETER = "company"
_REMEMBERED = "company"


def companies_of(user) -> list[PartnerAccount]:
    """Return the companies the person belongs to, by name."""
    return list(PartnerAccount.objects.with_member(user).order_by("name", "pk"))


def current_company(request) -> PartnerAccount | None:
    """Return the company of this request: named in the address, else the last one.

    A company the person does not belong to is never returned, whatever is asked for.
    """
    if not request.user.is_authenticated:
        return None
    request.companies = companies_of(request.user)
    companies = {company.partner_id: company for company in request.companies}
    asked = request.GET.get(PARAMETER, "")
    if asked in companies:
        request.session[_REMEMBERED] = asked
        return companies[asked]
    remembered = request.session.get(_REMEMBERED, "")
    if remembered in companies:
        return companies[remembered]
    return next(iter(companies.values()), None)
