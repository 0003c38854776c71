"""Groups of a company's directory as SCIM groups, with their members."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from scim2_models import Meta

from accounts import services
from accounts.directory import directory_people
from accounts.models import DirectoryGroup, DirectoryGroupMember, PartnerAccount
from accounts.models.provisioning import NAME_LENGTH
from accounts.scim import resources
from accounts.scim.filters import key_of
from accounts.scim.text import cleaned

MOST_MEMBERS = 10_000


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


def remove(account: PartnerAccount, group: DirectoryGroup) -> None:
    """Empty a group and forget it here."""
    services.remove_directory_group(group)


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
    members = wanted.members or []
    if len(members) > MOST_MEMBERS:
        raise ValidationError(
            _("Send at most %(most)d values.") % {"most": MOST_MEMBERS}
        )
    return {
        "display_name": display_name,
        "external_id": cleaned(wanted.external_id, max_length=NAME_LENGTH),
        "members": {_key(member) for member in members},
    }


def _key(member: resources.Member) -> int:
    """Return the key of the person a member names, by value or by address."""
    value = member.value or (member.ref or "").rpartition("/")[2]
    key = key_of(value)
    if key is not None:
        return key
    raise ValidationError(
        _("There is no person with the id %(id)s."),
        code="no_such_member",
        params={"id": value[:40]},
    )
