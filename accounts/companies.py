"""Which company a person is working in: the address says it, nothing else does.

Whoever belongs to several works under /c/<global PartnerID>/, so that two tabs are two
companies; docs/adr/0009 says why. Whoever belongs to one never sees that.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import Model
from django.urls import get_script_prefix, reverse, set_script_prefix

from accounts.models import PartnerAccount

# How addresses in mails of before named the company; they lead to where it is now.
PARAMETER = "company"
_REMEMBERED = "company"
# What follows begins with one slash: it is a path of this site, never another host.
_NAMED = re.compile(r"/c/(?P<partner_id>[0-9]{5,10})(?P<rest>/(?![/\\]).*)", re.DOTALL)
# What addresses begin with where no company is named.
_ROOT = "/"


class CompanyNotNamed(Exception):
    """A page asks for the company and its address does not say which.

    The company is that of the object the address names, or None for a list.
    """

    def __init__(self, company: PartnerAccount | None = None):
        super().__init__()
        self.company = company


def companies_of(user) -> list[PartnerAccount]:
    """Return the companies the person belongs to, by name; operators belong to none."""
    if not user.is_authenticated or user.is_staff:
        return []
    return list(PartnerAccount.objects.with_member(user).order_by("name", "pk"))


def named_in(path: str) -> tuple[str, str] | None:
    """Split an address into the PartnerID it names and the rest; None without one."""
    found = _NAMED.fullmatch(path)
    return (found["partner_id"], found["rest"]) if found else None


def in_company(company: PartnerAccount, path: str) -> str:
    """Return an address without a company as one under a company."""
    return f"/c/{company.partner_id}{path}"


def without_company(path: str) -> str:
    """Return an address without the company it names, if it names one."""
    named = named_in(path)
    return named[1] if named else path


def site_path(name: str, **parts) -> str:
    """Return the address of a page that is the same in every company: for mails."""
    with _under(_ROOT):
        return reverse(name, kwargs=parts or None)


def path_in(company: PartnerAccount, page: str | Model, **parts) -> str:
    """Return the address of a page or of an object's page under its company: for mails.

    Who belongs to that company alone is led on to the plain address.
    """
    with _under(_ROOT):
        if isinstance(page, str):
            path = reverse(page, kwargs=parts or None)
        else:
            path = page.get_absolute_url()
    return in_company(company, path)


def enter(request, company: PartnerAccount) -> None:
    """Work in a company from here on: every address made now keeps it."""
    request.named_company = company
    # The admin site asks only of whom; this says in which company.
    request.user.working_in = company
    set_script_prefix(in_company(company, _ROOT))
    if request.session.get(_REMEMBERED) != company.partner_id:
        request.session[_REMEMBERED] = company.partner_id


def arrive(request, path: str) -> str:
    """Enter the company an address names and return the rest of it.

    An address that names none of the person's companies is returned as it is: there is
    no such page. Who belongs to one company enters none.
    """
    named = named_in(path)
    if named is None:
        return path
    partner_id, rest = named
    companies = {company.partner_id: company for company in request.companies}
    if partner_id not in companies:
        return path
    if len(companies) > 1:
        enter(request, companies[partner_id])
    return rest


def current_company(request) -> PartnerAccount | None:
    """Return the company of this request: named in the address, or the only one.

    Raises CompanyNotNamed when the person belongs to several and none is named.
    """
    if request.named_company is not None:
        return request.named_company
    if len(request.companies) > 1:
        raise CompanyNotNamed
    return next(iter(request.companies), None)


def company_of_frame(request) -> PartnerAccount | None:
    """The same for what stands around a page: None when it is not said which."""
    try:
        return current_company(request)
    except CompanyNotNamed:
        return None


def company_to_enter(request) -> PartnerAccount:
    """Return the company an address without one leads to: the last one worked in."""
    remembered = request.session.get(_REMEMBERED, "")
    companies = {company.partner_id: company for company in request.companies}
    return companies.get(remembered) or request.companies[0]


@contextmanager
def _under(prefix: str) -> Iterator[None]:
    before = get_script_prefix()
    set_script_prefix(prefix)
    try:
        yield
    finally:
        set_script_prefix(before)
