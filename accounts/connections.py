"""How a company's directory is connected: tokens and groups as rows of plain values."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import (
    DirectoryGroup,
    GroupMapping,
    PartnerAccount,
    ProvisioningToken,
    User,
    scope_words,
)
from accounts.reach import ShownCoverage
from accounts.roles import Role
from accounts.rows import places_named

# Time to make a new one and to take it to the directory.
ENDS_SOON = timedelta(days=30)


@dataclass(frozen=True)
class TokenRow:
    """A token with whether it opens the door."""

    token: ProvisioningToken
    chip: ShownCoverage
    made_by: str
    can_revoke: bool
    can_replace: bool


@dataclass(frozen=True)
class GroupRow:
    """A group as the directory sent it."""

    name: str
    members: int


@dataclass(frozen=True)
class MappingRow:
    """A group with the role it gives; `groups` are those the directory sent."""

    mapping: GroupMapping
    groups: list[GroupRow]
    role: str
    where: str


def token_rows(tokens: Iterable[ProvisioningToken], *, on: date) -> list[TokenRow]:
    """Show tokens, those that work first."""
    rows = [
        TokenRow(
            token=token,
            chip=_token_chip(token, on=on),
            made_by=_made_by(token),
            can_revoke=token.revoked_at is None,
            can_replace=not token.is_over(on),
        )
        for token in tokens
    ]
    return sorted(rows, key=lambda row: (row.token.is_over(on), -row.token.pk))


def tokens_left_by(person: User, account: PartnerAccount, *, on: date) -> str:
    """Say which tokens of a company somebody made that go on working; nothing if none.

    A token is the company's, not its maker's; but whoever made it has seen it.
    """
    tokens = ProvisioningToken.objects.of_company(account).live(on)
    names = list(
        tokens.filter(created_by=person).order_by("name").values_list("name", flat=True)
    )
    if not names:
        return ""
    return ngettext(
        "%(person)s made the token %(names)s, and may have kept it. It goes on working: "
        "whoever has it can change your people. Replace it, or revoke it.",
        "%(person)s made the tokens %(names)s, and may have kept them. They go on "
        "working: whoever has one can change your people. Replace or revoke them.",
        len(names),
    ) % {"person": person.full_name, "names": places_named(names)}


def group_rows(
    account: PartnerAccount, mappings: Iterable[GroupMapping]
) -> tuple[list[MappingRow], list[GroupRow]]:
    """Show the groups that give a role, and those that give none, by name."""
    groups = list(
        DirectoryGroup.objects.of_company(account)
        .current()
        .annotate(members=Count("group_members"))
        .order_by("display_name", "pk")
    )
    mappings = list(mappings)
    mapped = [
        MappingRow(
            mapping=mapping,
            groups=[_group_row(group) for group in groups if mapping.names(group)],
            role=str(Role(mapping.role).label),
            where=scope_words(mapping.location, mapping.program),
        )
        for mapping in mappings
    ]
    idle = [
        _group_row(group)
        for group in groups
        if not any(mapping.names(group) for mapping in mappings)
    ]
    return sorted(mapped, key=_by_name), idle


def _group_row(group: DirectoryGroup) -> GroupRow:
    return GroupRow(name=group.display_name, members=group.members)


def _by_name(row: MappingRow) -> tuple[str, str, str]:
    return row.mapping.group_name.casefold(), row.role, row.where


def _made_by(token: ProvisioningToken) -> str:
    maker = token.created_by
    return maker.full_name if maker and not maker.is_staff else _("the program owner")


def _token_chip(token: ProvisioningToken, *, on: date) -> ShownCoverage:
    if token.revoked_at is not None:
        return ShownCoverage(_("Revoked"), "idle", "ban")
    if token.is_over(on):
        return ShownCoverage(_("Expired"), "idle", "ended")
    if token.expires_on is not None and token.expires_on - on < ENDS_SOON:
        return ShownCoverage(_("Ends soon"), "you", "alert")
    if token.last_used_at is None:
        return ShownCoverage(_("Not used yet"), "them", "clock")
    return ShownCoverage(_("In use"), "done", "check")
