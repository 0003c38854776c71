"""Mails about roles given and ended; one per reader and action, whatever it changed."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.holders import appointers
from accounts.models import (
    Coverage,
    Location,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    RoleSource,
    User,
)
from accounts.roles import INCENTIVE_ROLES, Role
from accounts.scoping import today


def roles_given(
    given: Iterable[RoleAssignment], *, by: User | None, taker: User | None = None
) -> list[OutgoingEmail]:
    """Tell each holder of new roles; of a self-grant tell the other admins instead.

    `given` are roles of one kind in one company, given in one action. Without `by` a
    directory gave them, or the program owner sets a company up: then nobody is told.
    `taker` made the key the directory came with, or connected the group with the role:
    what they get by it is a self-grant.
    """
    theirs: dict[User, list[RoleAssignment]] = {}
    for assignment in given:
        if by is not None or assignment.source != RoleSource.MANUAL:
            theirs.setdefault(assignment.user, []).append(assignment)
    mails = []
    for holder, roles in theirs.items():
        if holder != by:
            mails.append(_role_given(holder, roles, by=by))
        if holder in (by, taker):
            mails += _self_grant(roles, by=holder)
    return outbox.queue_many(mails)


def readers_of_grant(
    holders: Iterable[User], *, company: PartnerAccount, by: User | None
) -> list[User]:
    """Return whom roles_given would tell of a role for these people, by name."""
    if by is None:
        return []
    readers = {holder for holder in holders if holder != by}
    if by in set(holders):
        readers |= {admin for admin in appointers(company) if admin != by}
    return sorted(readers, key=lambda reader: (reader.full_name, reader.pk))


def roles_ended(
    ended: Iterable[RoleAssignment],
    *,
    by: User | None,
    left: dict[Coverage, list[Location]],
) -> list[OutgoingEmail]:
    """Tell the holders of ended roles, and the admins of locations without anybody.

    `ended` are roles in one company, ended in one action; `left` is what
    holders.gaps_left_by said before. Nobody is told of what they did themselves, nor
    somebody who can no longer sign in.
    """
    ended = list(ended)
    if not ended:
        return []
    theirs: dict[User, list[RoleAssignment]] = {}
    for assignment in ended:
        theirs.setdefault(assignment.user, []).append(assignment)
    mails = [
        _role_ended(holder, roles, by=by)
        for holder, roles in theirs.items()
        if holder != by and holder.is_active
    ]
    uncovered = left.get(Coverage.NOBODY, [])
    # Whoever alone lost the roles reads of it in the other mail.
    told = {by, *theirs} if len(theirs) == 1 else {by}
    if uncovered:
        mails += [
            _location_uncovered(admin, uncovered, ended=ended)
            for admin in appointers(ended[0].partner_account)
            if admin not in told
        ]
    return outbox.queue_many(mails)


def _role_given(
    holder: User, roles: list[RoleAssignment], *, by: User | None
) -> OutgoingEmail:
    first = roles[0]
    is_incentive = first.role in INCENTIVE_ROLES
    path = path_in(
        first.partner_account,
        "enrollment:overview" if is_incentive else "accounts:people",
    )
    return outbox.prepare(
        "role_given",
        to=holder,
        dedupe_key=f"role_given:{first.pk}:{holder.pk}",
        context=_about(roles)
        | {
            "by": _named(by),
            "is_from_directory": first.source != RoleSource.MANUAL,
            "url": _absolute(path),
        },
        about_url=path,
    )


def _self_grant(roles: list[RoleAssignment], *, by: User) -> list[OutgoingEmail]:
    first = roles[0]
    path = path_in(first.partner_account, "accounts:people")
    return [
        outbox.prepare(
            "role_taken",
            to=admin,
            dedupe_key=f"role_taken:{first.pk}:{admin.pk}",
            context=_about(roles) | {"holder": by, "url": _absolute(path)},
            about_url=path,
        )
        for admin in appointers(first.partner_account)
        if admin != by
    ]


def _role_ended(
    holder: User, roles: list[RoleAssignment], *, by: User | None
) -> OutgoingEmail:
    first = roles[0]
    path = path_in(first.partner_account, "home")
    return outbox.prepare(
        "role_ended",
        to=holder,
        dedupe_key=f"role_ended:{first.pk}:{holder.pk}",
        context=_about(roles)
        | {"by": _named(by), "day": today(), "url": _absolute(path)},
        about_url=path,
    )


def _location_uncovered(
    admin: User, locations: list[Location], *, ended: list[RoleAssignment]
) -> OutgoingEmail:
    first = ended[0]
    company = first.partner_account
    is_of_one = all(assignment.user == first.user for assignment in ended)
    path = path_in(company, "accounts:gaps")
    return outbox.prepare(
        "location_uncovered",
        to=admin,
        dedupe_key=f"location_uncovered:{first.pk}:{admin.pk}",
        context={
            "company": company,
            "locations": locations,
            "holder": first.user if is_of_one else None,
            "url": _absolute(path),
        },
        about_url=path,
    )


def _about(roles: list[RoleAssignment]) -> dict[str, Any]:
    """What the mails about roles share: which role, where, until when."""
    first = roles[0]
    places = list(dict.fromkeys(role.location for role in roles))
    return {
        "company": first.partner_account,
        "roles": roles,
        "role": Role(first.role),
        "kinds": list(dict.fromkeys(Role(role.role) for role in roles)),
        "places": [] if None in places else places,
        "ends_on": first.ends_on,
        "is_incentive": first.role in INCENTIVE_ROLES,
        "is_enrolling": first.role == Role.INCENTIVES_ADMIN,
    }


def _named(by: User | None) -> str:
    """The name of a colleague; none for the program owner's operators."""
    return "" if by is None or by.is_staff else by.full_name


def _absolute(path: str) -> str:
    return settings.PUBLIC_BASE_URL + path
