"""Groups of a company's directory as SCIM groups, with their members."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from scim2_models import InvalidValueException, Meta, PayloadTooLargeException

from accounts import services
from accounts.directory import directory_people
from accounts.models import DirectoryGroup, DirectoryGroupMember, PartnerAccount
from accounts.models.provisioning import NAME_LENGTH
from accounts.scim import asking, resources
from accounts.scim.filters import key_of
from accounts.scim.text import cleaned

MOST_MEMBERS = 10_000
# The library copies a group with every operation: only what Entra never sends comes to
# it, and little of that.
MOST_ODD_OPERATIONS = 20
_ALL_MEMBERS = {"members", f"{resources.CORE}:group:members"}
_ONE_MEMBER = re.compile(
    r'members\[\s*value\s+eq\s+"(?P<key>[^"\\]*)"\s*\]', re.IGNORECASE
)


def rows(account: PartnerAccount) -> QuerySet[DirectoryGroup]:
    """Return the groups the directory has sent and not removed."""
    groups = DirectoryGroup.objects.of_company(account).current()
    return groups.select_related("partner_account").order_by("pk")


def narrowed(name: str, value: object) -> Q | None:
    """Return what a comparison for equality asks of the table; None if it cannot."""
    if name == "displayname" and isinstance(value, str):
        return Q(display_name__iexact=value)
    if name == "externalid" and isinstance(value, str):
        return Q(external_id=value)
    if name == "members.value" and (key := key_of(value)) is not None:
        holding = DirectoryGroupMember.objects.filter(user__memberships=key)
        return Q(pk__in=holding.values("group"))
    return None


def shown(
    account: PartnerAccount,
    groups: Iterable[DirectoryGroup],
    *,
    with_members: bool = True,
) -> list[resources.Group]:
    """Show groups; their members only where somebody looks at them."""
    groups = list(groups)
    members = _members(account, groups) if with_members else {}
    return [_shown(group, members.get(group.pk, [])) for group in groups]


def add(account: PartnerAccount, wanted: resources.Group) -> DirectoryGroup:
    """Add a group; raises ValidationError as the service does."""
    return services.add_directory_group(account, **_answers(wanted))


def change(
    account: PartnerAccount, group: DirectoryGroup, wanted: resources.Group
) -> DirectoryGroup:
    """Make a group what the resource says; raises ValidationError as the service."""
    return services.change_directory_group(group, **_answers(wanted))


def patch(
    account: PartnerAccount, group: DirectoryGroup, changes: asking.Changes
) -> DirectoryGroup:
    """Change a group as a patch asks; raises ValidationError as the service does.

    Members come and go as keys, thousands at a time; whatever else is asked of them,
    and of the group, is the library's.
    """
    steps = [_member_step(operation) for operation in changes.operations]
    rest = [
        operation
        for operation, step in zip(changes.operations, steps, strict=True)
        if step is None
    ]
    if any(map(_names_members, rest)):
        return _patch_whole(account, group, changes)
    (wanted,) = shown(account, [group], with_members=False)
    if rest or not steps:
        asking.apply(asking.Changes(changes.message, rest), wanted)
    answers = _answers(wanted) | {"members": None}
    if len(rest) < len(steps):
        members = set(_members(account, [group]).get(group.pk, ()))
        for step in filter(None, steps):
            members = step(members)
        answers["members"] = _few(members)
    return services.change_directory_group(group, **answers)


def remove(account: PartnerAccount, group: DirectoryGroup) -> None:
    """Empty a group and forget it here."""
    services.remove_directory_group(group)


def _patch_whole(
    account: PartnerAccount, group: DirectoryGroup, changes: asking.Changes
) -> DirectoryGroup:
    if len(changes.operations) > MOST_ODD_OPERATIONS:
        raise PayloadTooLargeException(
            detail=f"Send at most {MOST_ODD_OPERATIONS} such operations."
        )
    (wanted,) = shown(account, [group])
    asking.apply(changes, wanted)
    return change(account, group, wanted)


def _member_step(operation: Any) -> Callable[[set[int]], set[int]] | None:
    """Return what an operation does to the keys of the members, if that is plain.

    Plain are members as a whole, with or without a value, and the removal of one member
    by a filter: what Entra sends. None for anything else.
    """
    if not isinstance(operation, dict):
        return None
    op = str(asking.member(operation, "op")).lower()
    path, value = asking.member(operation, "path"), asking.member(operation, "value")
    if op not in ("add", "replace", "remove") or not isinstance(path, str):
        return None
    one = _ONE_MEMBER.fullmatch(path.strip())
    if one and op == "remove" and value is None:
        return lambda members: members - {key_of(one["key"])}
    if path.strip().lower() not in _ALL_MEMBERS:
        return None
    if value is None and op != "add":
        return lambda members: set()
    named = [_named(entry) for entry in (value if isinstance(value, list) else [value])]
    if op == "remove":
        return lambda members: members - set(map(key_of, named))
    keys = set(map(_known, _few(named)))
    return lambda members: keys | (members if op == "add" else set())


def _names_members(operation: Any) -> bool:
    """Whether an operation may be about members."""
    if not isinstance(operation, dict):
        return False
    path, value = asking.member(operation, "path"), asking.member(operation, "value")
    names = [path] if path or not isinstance(value, dict) else value
    return any("member" in str(name).lower() for name in names)


def _named(entry: Any) -> str:
    """Return whom an entry of a patch names: the id, or the end of the address."""
    if isinstance(entry, dict):
        for name in ("value", "$ref"):
            said = asking.member(entry, name)
            if isinstance(said, str) and said:
                return said.rpartition("/")[2]
    raise InvalidValueException(detail="A member is an object with a value.")


def _members(
    account: PartnerAccount, groups: list[DirectoryGroup]
) -> dict[int, list[int]]:
    """Return the keys of the people in each group."""
    held = list(
        DirectoryGroupMember.objects.filter(group__in=groups)
        .order_by("pk")
        .values_list("group_id", "user_id")
    )
    keys = dict(
        directory_people(account)
        .filter(user__in={user for _group, user in held})
        .values_list("user_id", "pk")
    )
    members: dict[int, list[int]] = {}
    for group, user in held:
        if user in keys:
            members.setdefault(group, []).append(keys[user])
    return members


def _shown(group: DirectoryGroup, members: list[int]) -> resources.Group:
    key = str(group.pk)
    return resources.Group(
        id=key,
        external_id=group.external_id or None,
        display_name=group.display_name,
        members=[
            resources.Member(
                value=str(person),
                ref=resources.location("Users", str(person)),
                type="User",
            )
            for person in members
        ]
        or None,
        meta=Meta(
            resource_type="Group",
            created=group.created_at,
            last_modified=group.updated_at,
            location=resources.location("Groups", key),
        ),
    )


def _answers(wanted: resources.Group) -> dict:
    display_name = cleaned(wanted.display_name, max_length=NAME_LENGTH)
    if not display_name:
        raise ValidationError(_("displayName must not be empty."))
    return {
        "display_name": display_name,
        "external_id": cleaned(wanted.external_id, max_length=NAME_LENGTH),
        "members": {
            _known(member.value or (member.ref or "").rpartition("/")[2])
            for member in _few(wanted.members or [])
        },
    }


def _few(members: Collection) -> Collection:
    """Return members, if a group may have so many."""
    if len(members) > MOST_MEMBERS:
        raise ValidationError(
            _("Send at most %(most)d values.") % {"most": MOST_MEMBERS}
        )
    return members


def _known(value: str) -> int:
    """Return the key that an id stands for."""
    key = key_of(value)
    if key is not None:
        return key
    raise ValidationError(
        _("There is no person with the id %(id)s."),
        code="no_such_member",
        params={"id": value[:40]},
    )
