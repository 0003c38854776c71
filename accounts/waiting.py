"""What waits for an answer about people, and what came of it: rows of plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.holders import givers_of, needs_operators
from accounts.models import (
    AccessRequest,
    ColleagueInvitation,
    FactorReset,
    InvitationState,
    PartnerAccount,
    RecoveryRequest,
    RecoveryState,
    RequestState,
    ResetState,
    User,
)
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
    adding: frozenset[int],
    undelivered: frozenset[UUID],
    at: datetime,
) -> list[InvitationRow]:
    """Show invitations; `given` are the roles the reader may give.

    `given_by` says the same of each admin, since an inviter may have lost the right;
    `adding` are those who may invite without a role, whom the reader is one of;
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
        elif is_open and not _can_still_give(invitation, given_by, adding):
            turn, icon = "stop", "alert"
            note = _(
                "It cannot be accepted: %(inviter)s may no longer give this role. "
                "Invite again."
            ) % {"inviter": invitation.created_by.full_name}
        if state == InvitationState.REVOKED and _is_place_closed(invitation):
            note = _("Withdrawn, because the location was closed.")
        rows.append(
            InvitationRow(
                invitation=invitation,
                role=invitation.offered,
                places=places_named(
                    [place.where for place in invitation.places.all()], separator="; "
                )
                if invitation.role
                else "",
                chip=ShownCoverage(label, turn, icon),
                note=note,
                is_open=is_open,
                can_change=is_open
                and (not invitation.role or invitation.role in given),
            )
        )
    return rows


def _is_place_closed(invitation: ColleagueInvitation) -> bool:
    """Whether it ended with the location it was for."""
    closed = {
        place.location and place.location.closed_at for place in invitation.places.all()
    }
    return closed == {invitation.closed_at}


def _can_still_give(
    invitation: ColleagueInvitation,
    given_by: Mapping[int, frozenset[Role]],
    adding: frozenset[int],
) -> bool:
    if not invitation.role:
        return invitation.created_by_id in adding
    return Role(invitation.role) in given_by.get(invitation.created_by_id, frozenset())


@dataclass(frozen=True)
class RequestRow:
    """Somebody's request: what, where, why, and whether the reader can answer it."""

    request: AccessRequest
    role: str
    where: str
    # What was answered, or why there is no answer any more.
    note: str
    chip: ShownCoverage
    can_answer: bool
    # Who could, when the reader cannot.
    givers: list[User]


REQUEST_CHIPS = {
    RequestState.WAITING: ("you", "clock"),
    RequestState.GRANTED: ("done", "check"),
    RequestState.DECLINED: ("stop", "ban"),
    RequestState.LAPSED: ("idle", "ended"),
}


def request_rows(
    requests: Iterable[AccessRequest],
    *,
    given: frozenset[Role],
    company: PartnerAccount,
) -> list[RequestRow]:
    """Show requests to an admin; `given` are the roles the reader may give."""
    rows = list(requests)
    beyond = {Role(row.role) for row in rows} - given
    givers = {role: givers_of(role, company) for role in beyond}
    return [
        _request_row(
            row,
            can_answer=row.state == RequestState.WAITING and Role(row.role) in given,
            givers=givers.get(Role(row.role), []),
        )
        for row in rows
    ]


def own_request_rows(requests: Iterable[AccessRequest]) -> list[RequestRow]:
    """Show somebody their own requests."""
    return [_request_row(row, can_answer=False, givers=[]) for row in requests]


def _request_row(
    request: AccessRequest, *, can_answer: bool, givers: list[User]
) -> RequestRow:
    state = RequestState(request.state)
    turn, icon = REQUEST_CHIPS[state]
    if state == RequestState.WAITING and not can_answer:
        turn = "them"
    place, note = request.location, request.answer
    if state == RequestState.LAPSED and place and place.closed_at:
        note = _("%(location)s was closed: %(reason)s") % {
            "location": place.name,
            "reason": place.closing_reason,
        }
    return RequestRow(
        request=request,
        role=str(Role(request.role).label),
        where=request.where,
        note=note,
        chip=ShownCoverage(str(state.label), turn, icon),
        can_answer=can_answer,
        givers=givers,
    )


@dataclass(frozen=True)
class RecoveryRow:
    """A company's request for an admin: how far it has come."""

    recovery: RecoveryRequest
    chip: ShownCoverage


RECOVERY_CHIPS = {
    RecoveryState.WAITING: ("you", "mail"),
    RecoveryState.REVIEWED: ("them", "clock"),
    RecoveryState.GRANTED: ("done", "check"),
    RecoveryState.DECLINED: ("stop", "ban"),
    RecoveryState.STOPPED: ("stop", "ban"),
    RecoveryState.LAPSED: ("idle", "ended"),
}


def recovery_rows(requests: Iterable[RecoveryRequest]) -> list[RecoveryRow]:
    """Show requests for recovery to the operators."""
    return [
        RecoveryRow(
            one, ShownCoverage(one.get_state_display(), *RECOVERY_CHIPS[one.state])
        )
        for one in requests
    ]


@dataclass(frozen=True)
class ResetRow:
    """Somebody's request to reset second factors: how far it has come."""

    reset: FactorReset
    chip: ShownCoverage
    is_vouched: bool
    # Operators take both steps.
    is_for_operators: bool


RESET_CHIPS = {
    ResetState.WAITING: ("you", "clock"),
    ResetState.VOUCHED: ("them", "clock"),
    ResetState.GRANTED: ("done", "check"),
    ResetState.DECLINED: ("stop", "ban"),
    ResetState.STOPPED: ("stop", "ban"),
    ResetState.LAPSED: ("idle", "ended"),
}


def reset_row(reset: FactorReset) -> ResetRow:
    """Show a request to reset second factors."""
    return ResetRow(
        reset=reset,
        chip=ShownCoverage(reset.get_state_display(), *RESET_CHIPS[reset.state]),
        is_vouched=reset.vouched_by_id is not None,
        is_for_operators=(
            reset.vouched_by.is_staff if reset.vouched_by else needs_operators(reset)
        ),
    )
