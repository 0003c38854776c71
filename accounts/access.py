"""From an address to the object a person may act on: one decorator per view.

A view never sees a primary key. Out of reach answers as missing does (404, R16);
within reach but not allowed is 403, with a page that names who could help. Whoever may
do more than look needs a second factor (T7), and some things a fresh proof (T1).
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from urllib.parse import urlencode, urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.apps import apps
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, Model, OuterRef, Value
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseRedirectBase
from django.shortcuts import redirect, resolve_url
from django.urls import resolve, reverse
from django.utils.datastructures import MultiValueDict
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import proof
from accounts.companies import (
    CompanyNotNamed,
    arrive,
    company_of_frame,
    current_company,
    enter,
)
from accounts.holders import follow, held_in, roles_held_by
from accounts.models import Membership, PartnerAccount
from accounts.roles import GUARDED, PROVED_ROLES, Permission, Role, roles_with
from accounts.scoping import HeldRoles, live_assignments
from accounts.sealing import DecryptionError, seal, unseal
from accounts.services import note_refusal

_MARK = "access"
# Where a session keeps what was sent on and refused, until it is shown again.
_REFUSED = "typed_and_refused"
# Pages with these give and end roles, the role of all roles among them.
_ENDING_ROLES = frozenset({Permission.ROLE_ASSIGN, Permission.PERSON_EDIT})
# All that is open to whoever has to set up a second factor before anything else.
SETTING_UP_FACTORS = ("own:second_factor", "mfa_add_webauthn", "mfa_activate_totp")


@dataclass(frozen=True)
class Access:
    """What a view declared; test_house.py finds views without it."""

    kind: str
    permission: str = ""
    reason: str = ""


class OperatorNotAllowed(PermissionDenied):
    """The operator is in no group with the permission; the page names who is."""

    def __init__(self, permission: str):
        super().__init__(permission)
        self.permission = permission


class Hidden(Http404):
    """There is no such row for this person; carries what was asked for, for the trail.

    Whether there is one at all is not known here, and not asked before the answer.
    """

    def __init__(self, model: type[Model], key: dict, *, wanted: str):
        super().__init__(model._meta.label_lower)
        self.model = model
        self.key = key
        self.wanted = wanted


class HiddenPage(Http404):
    """There is no such page for this person."""


class NotAllowed(PermissionDenied):
    """The person may know of this, not do it; carries what the 403 page says."""

    def __init__(self, permission: Permission, *, row: Model | None, company):
        super().__init__(permission.value)
        self.permission = permission
        self.row = row
        self.company = company


def requires(permission: Permission, *, on: type[Model] | None = None) -> Callable:
    """Let a view be used by people whose live roles carry the permission.

    With `on`, the address's `pk` (or `partner_id`, `code`) becomes the object the view
    gets; without it the view is a list, open to whoever holds the permission anywhere
    in the current company, and queries through the scoped QuerySets itself.
    """

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, **key):
            _refuse_operators(request)
            if on is None:
                _require_somewhere(request, permission)
                return (
                    wall(request, permission)
                    or _proof_for_role(request, permission)
                    or view(request, **key)
                )
            row = _reachable(request, on, permission, key)
            return (
                wall(request, permission)
                or _proof_for_role(request, permission, row)
                or view(request, row)
            )

        return _mark(guarded, Access("requires", str(permission)))

    return decorate


def signed_in(reason: str, *, also_operators: bool = False) -> Callable:
    """Let every signed-in partner person use a view; say why that is safe."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, **key):
            if request.user.is_staff and not also_operators:
                return redirect("ops:today")
            return view(request, **key)

        return _mark(guarded, Access("signed_in", reason=reason))

    return decorate


def owned(*, on: type[Model]) -> Callable:
    """Hand a view one of the person's own rows: those addressed to them, no others."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, **key):
            _refuse_operators(request)
            try:
                row = on.objects.all().addressed_to(request.user).get(**key)
            except (on.DoesNotExist, ValidationError, ValueError) as error:
                raise Hidden(on, key, wanted="owned") from error
            return view(request, row)

        return _mark(guarded, Access("owned", on._meta.label_lower))

    return decorate


def public(reason: str) -> Callable:
    """Let anybody use a view, signed in or not; say why that is safe."""

    def decorate(view: Callable) -> Callable:
        return _mark(login_not_required(view), Access("public", reason=reason))

    return decorate


def operator_requires(permission: str, *, on: type[Model] | None = None) -> Callable:
    """Let operators with a Django permission use a view; nobody else learns it exists.

    An operator without the permission gets 403, everybody else 404.
    """

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, **key):
            if not request.user.is_staff:
                raise HiddenPage
            if not request.user.has_perm(permission):
                raise OperatorNotAllowed(permission)
            if on is None:
                return wall(request) or view(request, **key)
            try:
                row = on.objects.get(**key)
            except (on.DoesNotExist, ValidationError, ValueError) as error:
                raise Hidden(on, key, wanted=permission) from error
            return wall(request) or view(request, row)

        return _mark(guarded, Access("operator", permission))

    return decorate


def for_operators(reason: str) -> Callable:
    """Let every operator use a view, whatever their group; say why that is safe.

    What the page shows, the view asks for piece by piece. Everybody else gets 404.
    """

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest):
            if not request.user.is_staff:
                raise HiddenPage
            return wall(request) or view(request)

        return _mark(guarded, Access("operator", reason=reason))

    return decorate


# --- More than a password ---------------------------------------------------------------


def wall(
    request: HttpRequest, permission: Permission | None = None
) -> HttpResponse | None:
    """Lead whoever needs a second factor and has not shown one to where it is asked for.

    Who needs one is said by their roles' permissions (GUARDED), not by the address: the
    wall stands before every page that asks for a permission, and before operators'
    pages and records. Where the policy only advises (the demo), the page says so.
    """
    if proof.is_proved(request):
        return None
    if not settings.SECOND_FACTOR_REQUIRED:
        request.is_second_factor_advised = permission is None or permission in GUARDED
        return None
    if not proof.needs_second_factor(request.user):
        return None
    return lead_to_factor(request)


def lead_to_factor(request: HttpRequest) -> HttpResponse:
    """Lead to where a second factor is shown or set up, and back from there."""
    return _redirect_with_next("own:second_factor", way_back(request))


def recently_authenticated(
    view: Callable | None = None, *, where: Callable[..., bool] | None = None
) -> Callable:
    """Ask who it is when the last proof is older than ten minutes (T1, P3).

    What was typed waits, sealed, until the proof was given: then it is sent on. Stands
    below the decorator that says who may use the view. With `where` it asks only of
    rows that this holds for. Pages that give the role Global admin need it not:
    `requires` asks there.
    """
    if view is None:
        return partial(recently_authenticated, where=where)

    @wraps(view)
    def guarded(request: HttpRequest, *rows, **key):
        is_asked = where is None or where(*rows)
        if is_asked and not proof.is_fresh(request):
            return ask_again(request)
        return view(request, *rows, **key)

    guarded.asks_for_proof = True
    return guarded


def _proof_for_role(
    request: HttpRequest, permission: Permission, row: Model | None = None
) -> HttpResponse | None:
    """Ask who it is before the role of all roles is given, offered or ended (T3, P3).

    Whatever page does it: the role stands in the form, or in the row it is about, or
    the row is a person who holds it and is to leave.
    """
    if request.method != "POST" or permission not in _ENDING_ROLES:
        return None
    named = {*request.POST.getlist("role"), getattr(row, "role", "")}
    if isinstance(row, Membership):
        named |= roles_held_by(row.user, row.partner_account)
    if not named & PROVED_ROLES or proof.is_fresh(request):
        return None
    return ask_again(request)


def proved_elsewhere(request: HttpRequest, target: str) -> HttpResponse:
    """Go on after a company's directory asked who it is: send on what waited, if any."""
    waiting = request.session.pop(STATE_SESSION_KEY, None)
    if not waiting or waiting["callback"] != f"{__name__}.send_on":
        return redirect(target)
    return send_on(request, waiting["state"], target=target)


def send_on(request: HttpRequest, waiting: dict, *, target: str = "") -> HttpResponse:
    """Send what waited while its sender proved who they are.

    allauth calls this when the proof was given, for the page that it was asked for.
    """
    asked = _unsealed(request, waiting["sealed"])
    target = target or request.POST.get(REDIRECT_FIELD_NAME, "")
    if not is_own_path(target):
        target = reverse("home")
    if asked is None or asked["back"] != target:
        return redirect(target)
    _as_typed(request, asked)
    view, keys = request.resolver_match.func, request.resolver_match.kwargs
    response = view(request, **keys)
    if isinstance(response, HttpResponseRedirectBase):
        return response
    request.session[_REFUSED] = waiting["sealed"]
    return redirect(asked["url"])


def show_again(request: HttpRequest) -> None:
    """Turn a look at a form into what was sent on there and refused, once.

    So its page shows what was typed and what is to be mended, at its own address.
    """
    if request.method != "GET" or _REFUSED not in request.session:
        return
    asked = _unsealed(request, request.session.pop(_REFUSED))
    if asked and asked["url"] == request.get_full_path():
        _as_typed(request, asked)


def confirmation_methods(user) -> list[str]:
    """Return the pages where the person can prove who they are, the best first."""
    return [one["url"] for one in get_adapter().get_reauthentication_methods(user)]


def is_on_the_way(request: HttpRequest) -> bool:
    """Whether the request is about proving who one is, or about leaving."""
    pages = [*confirmation_methods(request.user)]
    pages += map(reverse, ("own:sign_in_again", "account_logout", "set_language"))
    # The company's own sign-in goes out and comes back there.
    return request.path in pages or request.path.startswith(reverse("company:sign_in"))


def is_own_path(target: str) -> bool:
    """Whether an address is a path of this site."""
    return target.startswith("/") and url_has_allowed_host_and_scheme(
        target, allowed_hosts=None
    )


def ask_again(request: HttpRequest) -> HttpResponse:
    """Lead to where the person proves who they are, and keep what was typed."""
    target = way_back(request)
    request.session.pop(STATE_SESSION_KEY, None)
    if request.method == "POST" and not request.FILES:
        asked = {
            "at": time.time(),
            "back": target,
            "url": request.get_full_path(),
            "typed": request.POST.urlencode(),
        }
        sealed = seal(json.dumps(asked), **_place(request))
        request.session[STATE_SESSION_KEY] = {
            "callback": f"{__name__}.send_on",
            "state": {"sealed": sealed},
        }
    methods = confirmation_methods(request.user)
    return _redirect_with_next(methods[0] if methods else "own:sign_in_again", target)


def _as_typed(request: HttpRequest, asked: dict) -> None:
    """Turn a request into the one that waited."""
    path, _, query = asked["url"].partition("?")
    request.method = "POST"
    request.path, request.path_info = path, arrive(request, path)
    request.META = request.META | {
        "PATH_INFO": request.path_info,
        "QUERY_STRING": query,
    }
    request.GET = QueryDict(query)
    request.POST = QueryDict(asked["typed"])
    request._files = MultiValueDict()
    request.resolver_match = resolve(request.path_info)
    request.company = SimpleLazyObject(lambda: current_company(request))


def _unsealed(request: HttpRequest, sealed: str) -> dict | None:
    """Return what waited, unless it waited too long or belongs to somebody else."""
    try:
        asked = json.loads(unseal(sealed, **_place(request)))
    except DecryptionError:
        return None
    is_young = time.time() - asked["at"] < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    return asked if is_young else None


def _place(request: HttpRequest) -> dict[str, object]:
    return {"table": "session", "pk": request.user.pk, "column": "typed"}


def way_back(request: HttpRequest) -> str:
    """The page to come back to: this one, or the one whose button was pressed."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    came_from = urlsplit(request.headers.get("Referer", ""))
    path = came_from._replace(scheme="", netloc="", fragment="").geturl()
    is_ours = came_from.netloc == request.get_host() and is_own_path(path)
    return path if is_ours else reverse("home")


def _redirect_with_next(page: str, target: str) -> HttpResponse:
    return redirect(f"{resolve_url(page)}?{urlencode({REDIRECT_FIELD_NAME: target})}")


# --- What is refused is remembered ------------------------------------------------------


def note_refused_request(request: HttpRequest, refusal: Exception) -> None:
    """Note that somebody signed in was refused a row or a page.

    Where a row was asked for, whether there is one is not asked here: what follows for
    a foreign one and a missing one is the same until the answer has been sent (R16).
    """
    at = request.resolver_match
    if at is None or not request.user.is_authenticated:
        return
    company = None
    if working_in := company_of_frame(request):
        company = working_in.pk
    model, key, wanted = None, {"page": at.view_name}, "page"
    if isinstance(refusal, Hidden):
        model, key, wanted = refusal.model, refusal.key, refusal.wanted
    elif isinstance(refusal, NotAllowed):
        wanted = str(refusal.permission)
        if refusal.row is not None:
            model, key = type(refusal.row), {"pk": refusal.row.pk}
    elif isinstance(refusal, OperatorNotAllowed):
        wanted = refusal.permission
    elif at.app_name == "admin" and at.url_name and "object_id" in at.kwargs:
        model, key = _record_of(at.url_name), {"pk": at.kwargs["object_id"]}
    elif not isinstance(refusal, HiddenPage | PermissionDenied):
        # Nothing is there: nothing was refused.
        return
    note_refusal(model, key, wanted=wanted, by=request.user, company=company)


def note_refused_company(request: HttpRequest, partner_id: str) -> None:
    """Note that somebody named a company that is none of theirs, if there is one."""
    note_refusal(
        PartnerAccount, {"partner_id": partner_id}, wanted="page", by=request.user
    )


def _record_of(page: str) -> type[Model] | None:
    """Return the model of a page of the admin site: <app>_<model>_<verb>."""
    app, _sep, rest = page.partition("_")
    try:
        return apps.get_model(app, rest.rpartition("_")[0])
    except LookupError:
        return None


def is_global_admin(user) -> bool:
    """Whether the person is Global admin of some company: the shared admin door.

    In a company that the address names, of that one.
    """
    if not user.is_authenticated or user.is_staff:
        return False
    held = live_assignments().filter(user=user, role=Role.GLOBAL_ADMIN)
    working_in = getattr(user, "working_in", None)
    return (held.of_company(working_in) if working_in else held).exists()


def _refuse_operators(request: HttpRequest) -> None:
    """Operators belong to no company: partner pages do not exist for them."""
    if request.user.is_staff:
        raise HiddenPage


def roles_here(request: HttpRequest) -> HeldRoles | None:
    """What the reader holds in the company of this request, asked once; None without one.

    For lists. What changes something asks its service, which asks anew.
    """
    company = request.company or None
    if company is None:
        return None
    known = getattr(request, "_roles_here", None)
    if known is None or known.account != company or known.person != request.user:
        known = request._roles_here = held_in(request.user, company)
    return known


def _require_somewhere(request: HttpRequest, permission: Permission) -> None:
    held = roles_here(request)
    if held is None or not held.anywhere & roles_with(permission):
        raise NotAllowed(permission, row=None, company=request.company or None)


def _reachable(request: HttpRequest, on: type[Model], permission: Permission, key):
    rows = on.objects.visible_to(request.user)
    # Whoever may know of a row may do what takes no more than that.
    is_allowed = Value(True)
    if permission != rows.view_permission:
        allowed = on.objects.where_user_may(request.user, permission)
        is_allowed = Exists(allowed.order_by().filter(pk=OuterRef("pk")))
    rows = rows.annotate(is_allowed=is_allowed)
    try:
        row = rows.for_pages().get(**key)
    except (on.DoesNotExist, ValidationError, ValueError) as error:
        raise Hidden(on, key, wanted=str(permission)) from error
    _keep_to_company(request, row, wanted=str(permission))
    if not row.is_allowed:
        company = _company_of(row)
        raise NotAllowed(permission, row=row, company=company)
    return row


def _keep_to_company(request: HttpRequest, row: Model, *, wanted: str) -> None:
    """Show a row under its own company's address, and change it under no other.

    Only people of several companies have such addresses.
    """
    if len(request.companies) < 2:
        return
    key = follow(row, type(row)._default_manager.all().scope.account)
    named = request.named_company
    if named is not None and named.pk == key:
        return
    company = next(one for one in request.companies if one.pk == key)
    if request.method in ("GET", "HEAD"):
        raise CompanyNotNamed(company)
    if named is not None:
        raise Hidden(type(row), {"pk": row.pk}, wanted=wanted)
    enter(request, company)


def _company_of(row: Model) -> PartnerAccount:
    return PartnerAccount.objects.get(
        pk=follow(row, type(row)._default_manager.all().scope.account)
    )


def _mark(view: Callable, access: Access) -> Callable:
    setattr(view, _MARK, access)
    return view
