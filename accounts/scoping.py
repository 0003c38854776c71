"""From a table to the rows a person may see: one EXISTS over live role assignments."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Self

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now, TruncDate
from django.utils import timezone

from accounts.prepared import Given
from accounts.roles import Permission, Role, roles_with


@dataclass(frozen=True)
class Scope:
    """Where a table keeps its company, location and program, as look-up paths.

    A part a table does not have is not compared: a bank profile belongs to the
    company, so a role at any of its locations reaches it.
    """

    account: str
    location: str | None = None
    program: str | None = None


@dataclass(frozen=True)
class HeldRoles:
    """The roles that one person holds in one company now: asked once for a page."""

    person: AbstractBaseUser
    account: models.Model
    # At any of its locations, or for all of it; and those for all of it, in every program.
    anywhere: frozenset[Role]
    everywhere: frozenset[Role]

    @property
    def shape(self) -> "HeldRoles":
        """The same of any person in any company, to prepare a question with."""
        return replace(self, person=Given("person"), account=Given("company"))

    @property
    def given(self) -> dict[str, int]:
        """Whose they are, to ask a question that was prepared with their shape."""
        return {"person": self.person.pk, "company": self.account.pk}


def reaches_all(permission: Permission) -> Callable[..., bool]:
    """Whether roles, the first argument, carry a permission for all of their company."""
    roles = roles_with(permission)
    return lambda held, *_others: bool(held.everywhere & roles)


def today() -> date:
    """The day it is for the portal, which last days of roles are told by.

    The portal's zone, not the reader's: a role ends for everybody at the same moment.
    """
    return timezone.localdate(timezone=timezone.get_default_timezone())


def _portals_day() -> TruncDate:
    """The same day, asked of the database's clock."""
    return TruncDate(Now(), tzinfo=timezone.get_default_timezone())


class LiveAssignmentsMixin:
    """The question "which roles hold now?", for whoever queries role assignments."""

    def live(self) -> Self:
        """Assignments not revoked, not past their last day, of the company's people."""
        return self.filter(
            Q(ends_on=None) | Q(ends_on__gte=_portals_day()),
            revoked_at=None,
            user__is_active=True,
            user__memberships__partner_account=F("partner_account"),
            user__memberships__ended_at=None,
        )

    def covering(self, location, program) -> Self:
        """Assignments that hold in a scope: for it, or for more than it."""
        return self.filter(
            Q(location=None) | Q(location=location),
            Q(program=None) | Q(program=program),
        )


class ScopedQuerySet(models.QuerySet):
    """Rows of a tenant table; subclasses say where the scope is.

    `view_permission` is what it takes to know that a row exists: without it the
    answer is the same as for a missing row (R8, R16).
    """

    scope: Scope
    view_permission: Permission

    def visible_to(self, user) -> Self:
        """Rows whose existence the person may know."""
        return self.where_user_may(user, self.view_permission)

    def where_user_may(self, user, permission: Permission) -> Self:
        """Rows on which one of the person's live roles carries the permission."""
        if not user.is_authenticated:
            return self.none()
        return self.where_roles(roles_with(permission), user=user)

    def where_held(self, held: HeldRoles, permission: Permission) -> Self:
        """Rows of one company where_user_may() returns, by roles asked for before.

        Nothing is asked again where roles allow it on all of the company's rows, or on
        none: so it is for roles of the whole company, and for tables that have neither
        locations nor programs. Of thousands of rows that is most of the time.
        """
        roles, rows = roles_with(permission), self.of_company(held.account)
        if not held.anywhere & roles:
            return rows.none()
        if held.everywhere & roles or not (self.scope.location or self.scope.program):
            return rows
        return rows.where_roles(roles, user=held.person)

    def hidden_from(self, held: HeldRoles, permission: Permission) -> Self:
        """Rows of one company that where_held() leaves out: for saying how many (R15).

        Nothing but their number is for the reader, or they would not be hidden.
        """
        roles, rows = roles_with(permission), self.of_company(held.account)
        if not held.anywhere & roles:
            return rows
        if held.everywhere & roles or not (self.scope.location or self.scope.program):
            return rows.none()
        return rows.exclude(self._is_covered(roles, user=held.person))

    def where_roles(self, roles: frozenset[Role], *, user) -> Self:
        """Rows inside the scope of a live assignment of one of the roles."""
        return self.filter(self._is_covered(roles, user=user))

    def with_covered(self, permission: Permission, *, user, name: str) -> Self:
        """Annotate each row with whether the person may do something on it."""
        return self.annotate(
            **{name: self._is_covered(roles_with(permission), user=user)}
        )

    def with_held(self, held: HeldRoles, permission: Permission, *, name: str) -> Self:
        """with_covered() of rows of one company, by roles asked for before.

        Where they allow it on all of the company's rows, or on none, the database is not
        asked of each.
        """
        roles = roles_with(permission)
        if not held.anywhere & roles:
            return self.annotate(**{name: models.Value(False)})
        if held.everywhere & roles:
            return self.annotate(**{name: models.Value(True)})
        return self.with_covered(permission, user=held.person, name=name)

    def without_holder(self, role: Role) -> Self:
        """Rows that no live assignment of the role covers (R6)."""
        return self.exclude(Exists(self._covering_assignments().filter(role=role)))

    def for_pages(self) -> Self:
        """With what every page says of a row; models that have more to say add it."""
        return self

    def of_company(self, partner_account) -> Self:
        """Rows of one company: the company the person is working in."""
        return self.filter(**{self.scope.account: partner_account})

    def _assignments(self):
        return live_assignments()

    def _is_covered(self, roles: frozenset[Role], *, user) -> Exists:
        return Exists(self._covering_assignments().filter(user=user, role__in=roles))

    def _covering_assignments(self):
        return _covering_assignments(self.scope).all()


def live_assignments() -> models.QuerySet:
    """All role assignments that hold now: RoleAssignment.objects.live(), in less time.

    For what every page asks.
    """
    return _live_assignments().all()


def holds_now(assignment: str, *, roles: frozenset[Role]) -> models.Case:
    """Whether the role assignment at a path is one of these roles and holds now.

    Asked of each: PostgreSQL takes the roles that hold for few, and joined with them it
    compares each with each, which of a hundred thousand takes hours.
    """
    held = live_assignments().filter(role__in=roles, pk=OuterRef(assignment))
    return models.Case(
        models.When(Exists(held), then=models.Value(True)), default=models.Value(False)
    )


@cache
def _live_assignments() -> models.QuerySet:
    """The same, put together once: that takes as long as asking it. Never asked itself.

    The day it is told by is the database's, each time it is asked.
    """
    return apps.get_model("accounts", "RoleAssignment").objects.live()


@cache
def _covering_assignments(scope: Scope) -> models.QuerySet:
    """The live assignments that cover a row of such a table: what every page asks.

    Put together once for each scope, as that takes longer than adding who and which
    roles; it is never asked itself.
    """
    assignments = live_assignments().filter(partner_account=OuterRef(scope.account))
    if scope.location:
        assignments = assignments.filter(
            Q(location=None) | Q(location=OuterRef(scope.location))
        )
    if scope.program:
        assignments = assignments.filter(
            Q(program=None) | Q(program=OuterRef(scope.program))
        )
    return assignments
