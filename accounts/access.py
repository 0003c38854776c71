"""From an address to the object a person may act on: one decorator per view.

A view never sees a primary key. Out of reach answers as missing does (404, R16);
within reach but not allowed is 403, with a page that names who could help.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest
from django.shortcuts import redirect

from accounts.holders import follow, holds_anywhere
from accounts.models import PartnerAccount, RoleAssignment
from accounts.roles import Permission, Role

_MARK = "access"


@dataclass(frozen=True)
class Access:
    """What a view declared; test_house.py finds views without it."""

    kind: str
    permission: str = ""
    reason: str = ""


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
                return view(request, **key)
            return view(request, _reachable(request, on, permission, key))

        return _mark(guarded, Access("requires", str(permission)))

    return decorate


def signed_in(reason: str) -> Callable:
    """Let every signed-in partner person use a view; say why that is safe."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, **key):
            if request.user.is_staff:
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
                raise Http404 from error
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
                raise Http404
            if not request.user.has_perm(permission):
                raise PermissionDenied
            if on is None:
                return view(request, **key)
            try:
                row = on.objects.get(**key)
            except (on.DoesNotExist, ValidationError, ValueError) as error:
                raise Http404 from error
            return view(request, row)

        return _mark(guarded, Access("operator", permission))

    return decorate


def is_global_admin(user) -> bool:
    """Whether the person is Global admin of some company: the shared admin door."""
    return (
        user.is_authenticated
        and not user.is_staff
        and RoleAssignment.objects.live()
        .filter(user=user, role=Role.GLOBAL_ADMIN)
        .exists()
    )


def _refuse_operators(request: HttpRequest) -> None:
    """Operators belong to no company: partner pages do not exist for them."""
    if request.user.is_staff:
        raise Http404


def _require_somewhere(request: HttpRequest, permission: Permission) -> None:
    company = request.company or None
    if not holds_anywhere(request.user, permission, company):
        raise NotAllowed(permission, row=None, company=company)


def _reachable(request: HttpRequest, on: type[Model], permission: Permission, key):
    try:
        row = on.objects.visible_to(request.user).get(**key)
    except (on.DoesNotExist, ValidationError, ValueError) as error:
        raise Http404 from error
    allowed = on.objects.where_user_may(request.user, permission)
    if not allowed.filter(pk=row.pk).exists():
        company = _company_of(row)
        raise NotAllowed(permission, row=row, company=company)
    return row


def _company_of(row: Model) -> PartnerAccount:
    return PartnerAccount.objects.get(
        pk=follow(row, type(row)._default_manager.all().scope.account)
    )


def _mark(view: Callable, access: Access) -> Callable:
    setattr(view, _MARK, access)
    return view
