"""Colleagues invited by e-mail: a role offered to an address, accepted by its owner."""

import uuid
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import product

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import emails
from accounts.link_tokens import fingerprint_of, token_for
from accounts.models import (
    AuditAction,
    ColleagueInvitation,
    IncentiveProgram,
    InvitationState,
    Location,
    Membership,
    OfferedPlace,
    PartnerAccount,
    User,
)
from accounts.roles import Role
from accounts.services.audit import (
    carried_out_by,
    record_audit_event,
    record_of_person,
)
from accounts.services.companies import lock_companies
from accounts.services.granting import assign_roles
from accounts.services.people import add_person, refuse_unless_editing_people
from accounts.services.refused import noting_refusals
from accounts.services.roles import check_scopes, refuse_guest
from accounts.text import normalize_email

INVITATION_LIFETIME = timedelta(days=7)
# The same thing asked for again this soon is a repetition, not a new wish.
REPEATED = timedelta(minutes=2)
# Nobody's mailbox is filled from here (security.md T19).
MOST_MAILS_A_DAY = 10


@noting_refusals
@transaction.atomic
def invite_colleague(
    account: PartnerAccount,
    *,
    email: str,
    full_name: str,
    language: str,
    role: Role | str,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    by: User,
) -> ColleagueInvitation:
    """Offer a role to an address and mail it a link; a newer offer replaces an open one.

    Without a role (an empty text) it offers to belong to the company. The same offer made again at once stays the one it is. Raises ValidationError as
    check_colleague does, and when the address got too many of these mails today.
    """
    lock_companies(account.pk)
    role = Role(role) if role else ""
    offer = {"full_name": full_name, "language": language, "role": role}
    locations, programs = list(locations), list(programs)
    scopes = check_colleague(
        account,
        email=email,
        role=role,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    address = normalize_email(email)
    now = timezone.now()
    open_one = ColleagueInvitation.objects.filter(
        partner_account=account, email=address, state=InvitationState.OPEN
    ).first()
    wanted = ColleagueInvitation(
        partner_account=account,
        email=address,
        ends_on=ends_on,
        created_by=by,
        created_at=now,
        expires_at=now + INVITATION_LIFETIME,
        **offer,
    )
    if open_one is not None:
        if _is_repetition(open_one, wanted, scopes=scopes, at=now):
            return open_one
        _close(open_one, state=InvitationState.REPLACED, by=by, at=now)
    wanted.token_sha256 = fingerprint_of(token_for(wanted.pk))
    wanted.full_clean(validate_constraints=False)
    wanted.save()
    OfferedPlace.objects.bulk_create(
        OfferedPlace(invitation=wanted, location=location, program=program)
        for location, program in scopes
    )
    record_audit_event(
        wanted,
        action=AuditAction.COLLEAGUE_INVITED,
        by=by,
        partner_account=account,
        before={"replaces": str(open_one.pk)} if open_one else None,
        after=_described(wanted),
    )
    _send(wanted, at=now)
    return wanted


def check_colleague(
    account: PartnerAccount,
    *,
    email: str,
    role: Role | str,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    by: User | None,
) -> list[tuple[Location | None, IncentiveProgram | None]]:
    """Return the scopes invite_colleague would offer; change nothing.

    Raises ValidationError when the inviter may not give this role there (R5, R13), or
    without a role may not add people (C1), the address is a guest's and the role not
    for guests (R14), or it is of somebody who belongs to the company already. Nothing
    is said of accounts elsewhere.
    """
    address = normalize_email(email)
    scopes = _check_offered(
        role,
        email=address,
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    members = Membership.objects.current().of_company(account)
    if members.filter(user__email=address).exists():
        raise _about_address(
            _(
                "This person belongs to your company already. Assign the role "
                "instead of inviting."
            ),
            code="member",
        )
    return scopes


@noting_refusals
@transaction.atomic
def resend_invitation(
    invitation: ColleagueInvitation, *, by: User
) -> ColleagueInvitation:
    """Send an open invitation's mail again; it works no longer by that.

    Asked again at once changes nothing. Raises ValidationError when it is not open any
    more, the sender or the inviter may not give the role, or too many were sent today.
    """
    invitation = _held(invitation)
    now = timezone.now()
    _refuse_closed(invitation, at=now)
    _check_offer(invitation, by=by)
    _refuse_powerless_inviter(invitation)
    latest = emails.invitation_mails(invitation).first()
    if latest is not None and now - latest.created_at < REPEATED:
        return invitation
    _send(invitation, at=now)
    record_audit_event(
        invitation,
        action=AuditAction.INVITATION_RESENT,
        by=by,
        partner_account=invitation.partner_account,
    )
    return invitation


@noting_refusals
@transaction.atomic
def revoke_invitation(
    invitation: ColleagueInvitation, *, by: User
) -> ColleagueInvitation:
    """End an open invitation at once; ending it twice changes nothing.

    Raises ValidationError when it came to another end, or `by` may not give the role.
    """
    invitation = _held(invitation)
    now = timezone.now()
    if invitation.state == InvitationState.REVOKED:
        return invitation
    _refuse_closed(invitation, at=now)
    _check_granting(invitation, by=by)
    _close(invitation, state=InvitationState.REVOKED, by=by, at=now)
    record_audit_event(
        invitation,
        action=AuditAction.INVITATION_REVOKED,
        by=by,
        partner_account=invitation.partner_account,
        before=_described(invitation),
    )
    return invitation


@transaction.atomic
def accept_invitation(
    invitation: ColleagueInvitation, *, by: User
) -> ColleagueInvitation:
    """Join the company with the role offered; accepting twice changes nothing.

    Raises ValidationError when it was offered to another address, is not open any more,
    or the inviter may not give what it offers by now.
    """
    invitation = _held(invitation)
    if by.is_staff or not by.is_active or by.email != invitation.email:
        raise ValidationError(
            _("This invitation is for somebody else."), code="wrong_person"
        )
    was_accepted = invitation.state == InvitationState.ACCEPTED
    if was_accepted and invitation.closed_by_id == by.pk:
        return invitation
    return _accept(invitation, by=by, at=timezone.now())


@transaction.atomic
def join_by_invitation(
    invitation: ColleagueInvitation,
    *,
    email: str,
    full_name: str,
    password: str,
    language: str,
) -> User:
    """Make the account of somebody new who has the link, and accept for them.

    The link proves the address, which has to be known too, since links get about.
    Raises ValidationError as accept_invitation does, when the address is not the one
    invited, has an account already, or the password is weak.
    """
    user = _checked_account(
        invitation.email,
        email=email,
        full_name=full_name,
        password=password,
        language=language,
    )
    invitation = _held(invitation)
    now = timezone.now()
    _refuse_closed(invitation, at=now)
    _add_account(user)
    _accept(invitation, by=user, at=now)
    return user


@transaction.atomic
def expire_invitations(*, at: datetime) -> int:
    """Close the invitations whose time is over; return how many."""
    overdue = ColleagueInvitation.objects.overdue(at).order_by("pk")
    lock_companies(*overdue.values_list("partner_account_id", flat=True))
    closed = list(overdue.select_related("partner_account"))
    for invitation in closed:
        _close(invitation, state=InvitationState.EXPIRED, by=None, at=at)
        record_audit_event(
            invitation,
            action=AuditAction.INVITATION_EXPIRED,
            by=None,
            partner_account=invitation.partner_account,
        )
    return len(closed)


def withdraw_at_closed_location(
    location: Location, *, by: User, at: datetime
) -> list[ColleagueInvitation]:
    """Withdraw the open invitations to a location that is closed; return them.

    An invitation that offers other places too goes on without this one. For the service
    that closes the location, which holds the company's lock. Inviter and invited are
    told.
    """
    withdrawn = []
    offering = ColleagueInvitation.objects.open_for_place(location)
    for invitation in offering.select_related("partner_account", "created_by").order_by(
        "pk"
    ):
        before = _described(invitation)
        is_only_there = not invitation.places.exclude(location=location).exists()
        if is_only_there:
            _close(invitation, state=InvitationState.REVOKED, by=by, at=at)
            withdrawn.append(invitation)
        else:
            invitation.places.filter(location=location).delete()
        record_audit_event(
            invitation,
            action=AuditAction.INVITATION_REVOKED,
            by=by,
            partner_account=invitation.partner_account,
            before=before,
            after=None if is_only_there else _described(invitation),
            reason=location.closing_reason,
        )
        if is_only_there and invitation.expires_at > at:
            emails.invitation_withdrawn(invitation, location=location)
    return withdrawn


def check_open(invitation: ColleagueInvitation) -> None:
    """Raise why an invitation cannot be accepted any more, naming nobody."""
    _refuse_closed(invitation, at=timezone.now())


def check_acceptance(invitation: ColleagueInvitation) -> None:
    """Raise what accepting would for whoever it is for; change nothing."""
    _refuse_closed(invitation, at=timezone.now())
    _refuse_powerless_inviter(invitation)


def _accept(
    invitation: ColleagueInvitation, *, by: User, at: datetime
) -> ColleagueInvitation:
    _refuse_closed(invitation, at=at)
    _refuse_powerless_inviter(invitation)
    _close(invitation, state=InvitationState.ACCEPTED, by=by, at=at)
    account, inviter = invitation.partner_account, invitation.created_by
    # Belonging to two companies is what they agree to here; it is the inviter's right.
    with carried_out_by(by):
        add_person(
            account,
            email=by.email,
            full_name=by.full_name,
            joins_existing=True,
            by=inviter,
        )
        if invitation.role:
            assign_roles(
                by,
                role=invitation.role,
                account=account,
                ends_on=invitation.ends_on,
                by=inviter,
                **_scopes(invitation),
            )
    record_audit_event(
        invitation,
        action=AuditAction.INVITATION_ACCEPTED,
        by=by,
        partner_account=account,
        after=_described(invitation),
    )
    emails.colleague_joined(invitation, person=by)
    return invitation


@transaction.atomic
def make_account_by_link(
    invited: str, *, email: str, full_name: str, password: str, language: str
) -> User:
    """Make the account of somebody whom a link was mailed to; it belongs to no company.

    The link proves the address `invited`, which has to be known too. Raises
    ValidationError when it is another one, has an account already, or the password is
    weak.
    """
    user = _checked_account(
        invited,
        email=email,
        full_name=full_name,
        password=password,
        language=language,
    )
    _add_account(user)
    record_of_person(user, AuditAction.PERSON_ADDED, by=user)
    return user


def _checked_account(
    invited: str, *, email: str, full_name: str, password: str, language: str
) -> User:
    """Return the account to be, for the address that a link went to."""
    user = User(email=normalize_email(email), full_name=full_name, language=language)
    if user.email != invited:
        raise _about_address(
            _("This is not the address that the mail with the link was sent to."),
            code="wrong_person",
        )
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from error
    # Slow on purpose: before anybody waits for the lock.
    user.set_password(password)
    user.full_clean(exclude=["email", "password"])
    return user


def _add_account(user: User) -> None:
    """Store a new person; whoever has the address already signs in instead."""
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise _about_address(
            _("This address has an account already. Sign in instead."),
            code="has_account",
        ) from error


def _held(invitation: ColleagueInvitation) -> ColleagueInvitation:
    """Lock the company, then read what the invitation is by now."""
    lock_companies(invitation.partner_account_id)
    return ColleagueInvitation.objects.select_related(
        "partner_account", "created_by"
    ).get(pk=invitation.pk)


def _places(invitation: ColleagueInvitation) -> list[OfferedPlace]:
    return list(invitation.places.select_related("location", "program").order_by("pk"))


def _scopes(invitation: ColleagueInvitation) -> dict[str, list]:
    """Return the locations and programs offered, as the role services ask for them.

    Raises ValidationError when they are not what was offered: none of the places may
    have got lost, since no place at all would mean the whole company.
    """
    places = _places(invitation)
    locations = dict.fromkeys(place.location for place in places if place.location)
    programs = dict.fromkeys(place.program for place in places if place.program)
    scopes = product(locations or [None], programs or [None])
    if set(scopes) != {(place.location, place.program) for place in places}:
        raise ValidationError(_("This invitation offers nothing."), code="no_place")
    return {"locations": list(locations), "programs": list(programs)}


def _is_repetition(
    held: ColleagueInvitation,
    wanted: ColleagueInvitation,
    *,
    scopes: list[tuple[Location | None, IncentiveProgram | None]],
    at: datetime,
) -> bool:
    same = ("full_name", "language", "role", "ends_on", "created_by_id")
    return (
        held.is_open(at)
        and at - held.created_at < REPEATED
        and all(getattr(held, name) == getattr(wanted, name) for name in same)
        and {(one.location, one.program) for one in _places(held)} == set(scopes)
    )


def _close(
    invitation: ColleagueInvitation,
    *,
    state: InvitationState,
    by: User | None,
    at: datetime,
) -> None:
    """Bring an open invitation to its one end; whoever comes second is refused."""
    is_first = ColleagueInvitation.objects.filter(
        pk=invitation.pk, state=InvitationState.OPEN
    ).update(state=state, closed_by=by, closed_at=at)
    invitation.refresh_from_db(fields=["state", "closed_by", "closed_at"])
    if not is_first:
        _refuse_closed(invitation, at=at)


def _refuse_closed(invitation: ColleagueInvitation, *, at: datetime) -> None:
    if invitation.is_open(at):
        return
    sentences = {
        InvitationState.OPEN: _("This invitation has expired."),
        InvitationState.EXPIRED: _("This invitation has expired."),
        InvitationState.ACCEPTED: _("This invitation has been accepted already."),
        InvitationState.REVOKED: _("This invitation was withdrawn."),
        InvitationState.REPLACED: _("This invitation was replaced by a newer one."),
    }
    raise ValidationError(
        sentences[InvitationState(invitation.state)], code=invitation.state
    )


def _check_offer(invitation: ColleagueInvitation, *, by: User) -> None:
    """Raise when somebody could not give now what the invitation offers."""
    _check_offered(
        invitation.role,
        email=invitation.email,
        account=invitation.partner_account,
        ends_on=invitation.ends_on,
        by=by,
        **_scopes(invitation),
    )


def _check_offered(
    role: Role | str,
    *,
    email: str,
    account: PartnerAccount,
    locations: Iterable[Location],
    programs: Iterable[IncentiveProgram],
    ends_on: date | None,
    by: User | None,
) -> list[tuple[Location | None, IncentiveProgram | None]]:
    """Return the scopes of what somebody offers; one for the company without a role.

    Raises ValidationError when they may not offer it, or the address may not take it.
    """
    if not role:
        refuse_unless_editing_people(by, account=account)
        return [(None, None)]
    scopes = check_scopes(
        Role(role),
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    refuse_guest(email, role=Role(role), account=account)
    return scopes


def _check_granting(invitation: ColleagueInvitation, *, by: User) -> None:
    account = invitation.partner_account
    if invitation.role:
        check_scopes(Role(invitation.role), account=account, by=by)
    else:
        refuse_unless_editing_people(by, account=account)


def _refuse_powerless_inviter(invitation: ColleagueInvitation) -> None:
    """The inviter still holds the right, and what is offered still exists."""
    inviter = invitation.created_by
    try:
        _check_offer(invitation, by=inviter)
    except ValidationError as error:
        raise ValidationError(
            _(
                "What this invitation offers can no longer be given. Ask %(inviter)s "
                "or another admin of the company for a new one."
            ),
            code="not_granting",
            params={"inviter": inviter.full_name},
        ) from error


def _send(invitation: ColleagueInvitation, *, at: datetime) -> None:
    since = at - timedelta(days=1)
    if emails.invitations_mailed_to(invitation.email, since=since) >= MOST_MAILS_A_DAY:
        raise _about_address(
            _("This address got too many invitations today. Try again tomorrow."),
            code="too_many",
        )
    emails.colleague_invited(invitation, occasion=uuid.uuid4().hex)


def _about_address(sentence: str, *, code: str) -> ValidationError:
    return ValidationError({"email": ValidationError(sentence, code=code)})


def _described(invitation: ColleagueInvitation) -> dict[str, object]:
    return {
        "email": invitation.email,
        "role": invitation.role,
        "places": [
            {"location": place.location_id, "program": place.program_id}
            for place in _places(invitation)
        ],
        "ends_on": invitation.ends_on and invitation.ends_on.isoformat(),
        "expires_at": invitation.expires_at.isoformat(),
    }
