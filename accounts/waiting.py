"""What waits for an answer about people, and what came of it: rows of plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import ColleagueInvitation, InvitationState
from accounts.reach import ShownCoverage
from accounts.roles import Role
from accounts.rows import places_named


@dataclass(frozen=True)
class InvitationRow:
    """An invitation of a colleague: to whom, what is offered, what came of it."""

    invitation: ColleagueInvitation
    role: str
    places: str
    chip: ShownCoverage
    note: str
    is_open: bool
    can_change: bool


INVITATION_CHIPS = {
    InvitationState.OPEN: ("them", "mail"),
    InvitationState.ACCEPTED: ("done", "check"),
    InvitationState.REVOKED: ("idle", "ban"),
    InvitationState.REPLACED: ("idle", "ended"),
    InvitationState.EXPIRED: ("idle", "ended"),
}


def invitation_rows(
    invitations: Iterable[ColleagueInvitation],
    *,
    given: frozenset[Role],
    given_by: Mapping[int, frozenset[Role]],
    undelivered: frozenset[UUID],
    at: datetime,
) -> list[InvitationRow]:
    """Show invitations; `given` are the roles the reader may give.

    `given_by` says the same of each admin, since an inviter may have lost the right;
    `undelivered` are the invitations whose mail was given up.
    """
    rows = []
    for invitation in invitations:
        state = InvitationState(invitation.state)
        is_open = invitation.is_open(at)
        if state == InvitationState.OPEN and not is_open:
            state = InvitationState.EXPIRED
        turn, icon = INVITATION_CHIPS[state]
        label, note = str(state.label), ""
        if is_open and invitation.pk in undelivered:
            turn, icon, label = "stop", "alert", _("Undeliverable")
            note = _("The mail could not be delivered. Check the address.")
        elif is_open and not _can_still_give(invitation, given_by):
            turn, icon = "stop", "alert"
            note = _(
                "It cannot be accepted: %(inviter)s may no longer give this role. "
                "Invite again."
            ) % {"inviter": invitation.created_by.full_name}
        rows.append(
            InvitationRow(
                invitation=invitation,
                role=str(Role(invitation.role).label),
                places=places_named(
                    [place.where for place in invitation.places.all()], separator="; "
                ),
                chip=ShownCoverage(label, turn, icon),
                note=note,
                is_open=is_open,
                can_change=is_open and Role(invitation.role) in given,
            )
        )
    return rows


def _can_still_give(
    invitation: ColleagueInvitation, given_by: Mapping[int, frozenset[Role]]
) -> bool:
    return Role(invitation.role) in given_by.get(invitation.created_by_id, frozenset())
