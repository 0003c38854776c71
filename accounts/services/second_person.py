"""The second person: who may decide what somebody else began, at every such door.

It is an operator of the program owner who holds the right, did none of what is decided,
and was given the right by somebody else. What people give themselves is allowed and
told to others (R4); it never makes them the second person (security.md T1, T3). Where
an admin of a company is asked before an operator, as for lost second factors, only
roles given by others count: RoleAssignment.objects.given_by_others().
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import AuditAction, AuditEvent, User
from accounts.operators import groups_with


def check_second_person(
    by: User,
    *,
    rights: Iterable[str],
    first: Iterable[tuple[int | None, ValidationError]],
) -> None:
    """Raise why somebody does not count as the second person.

    `first` are the keys of those who did what is decided, each with the refusal they
    read; `rights` the permissions of which one is needed. Raises ValidationError with
    the code "not_operator" for people of partners, whatever roles they hold or gave
    themselves, "not_deciding" without the right, and "own_act" with a right that came
    by an own act alone.
    """
    for person, refusal in first:
        if person is not None and person == by.pk:
            raise refusal
    if not by.is_staff:
        raise ValidationError(
            _("Only the program owner's operators decide this."), code="not_operator"
        )
    rights = list(rights)
    held = [right for right in rights if by.has_perm(right)]
    if not held:
        groups = dict.fromkeys(name for right in rights for name in groups_with(right))
        raise ValidationError(
            _("Operators in the group %(groups)s decide this."),
            code="not_deciding",
            params={"groups": ", ".join(groups)},
        )
    if all(is_by_own_act(by, right) for right in held):
        raise ValidationError(
            _(
                "You gave yourself the right to decide this, so it does not count here. "
                "Another operator decides."
            ),
            code="own_act",
        )


def is_by_own_act(operator: User, right: str) -> bool:
    """Whether an operator holds a right only through what they gave themselves.

    The trail knows who put somebody into a group, or made them a superuser; what the
    command line or the program owner's set-up gave was given by nobody here, and counts.
    """
    told = AuditEvent.objects.filter(
        object_type=operator._meta.label_lower,
        object_id=str(operator.pk),
        action=AuditAction.PERSON_ADDED,
    ).order_by("-pk")
    if not told.filter(actor=operator).exists():
        return False
    if operator.is_superuser:
        # They are made so, or not, when they are added; what is told later adds groups.
        return _was_made_by(
            operator, told, lambda facts: facts.get("superuser", bool(facts))
        )
    app, _dot, codename = right.partition(".")
    carrying = Group.objects.filter(
        user=operator,
        permissions__content_type__app_label=app,
        permissions__codename=codename,
    )
    names = list(carrying.order_by("pk").values_list("name", flat=True))
    return bool(names) and all(
        _was_made_by(
            operator, told, lambda facts, name=name: name in facts.get("groups", ())
        )
        for name in names
    )


def _was_made_by(
    operator: User,
    told: Iterable[AuditEvent],
    holds: Callable[[dict[str, Any]], bool],
) -> bool:
    """Whether the last event that gave an operator something was their own."""
    for event in told:
        if holds(event.after) and not holds(event.before):
            return event.actor_id == operator.pk
    return False
