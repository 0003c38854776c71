"""Access asked for from a page that refused; an admin gives it or says why not."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import emails
from accounts.holders import givers_of, roles_given_by
from accounts.models import (
    AccessRequest,
    AuditAction,
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RequestState,
    RoleAssignment,
    User,
)
from accounts.roles import REQUESTABLE_ROLES, Role, roles_covering
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.granting import assign_role
from accounts.services.refused import noting_refusals
from accounts.services.roles import check_scopes, refuse_guest

# Admins are not flooded by one person (security.md T19).
MOST_REQUESTS_A_DAY = 10


@transaction.atomic
def request_access(
    account: PartnerAccount,
    *,
    role: Role | str,
    location: Location | None = None,
    program: IncentiveProgram | None = None,
    reason: str = "",
    person: User | None = None,
    by: User,
) -> AccessRequest:
    """Ask the company's admins for a role in one scope; asking again changes nothing.

    `person` is the colleague somebody asks for; without one they ask for themselves.
    Raises ValidationError when the role cannot be asked for, is held already or could
    be taken by oneself, the person is a guest (R14), either is not of the company,
    nobody could give it (code "nobody_gives"), or too much was asked for today.
    """
    lock_companies(account.pk)
    role = Role(role)
    person = person or by
    _refuse_strangers(account, person, by)
    _refuse_bad_request(
        account, role=role, location=location, program=program, person=person
    )
    now = timezone.now()
    asked = AccessRequest.objects.filter(
        user=person,
        partner_account=account,
        role=role,
        location=location,
        program=program,
        state=RequestState.WAITING,
    )
    _lapse(asked.overtaken(), at=now)
    waiting = asked.select_related("location", "program").first()
    if waiting is not None:
        return waiting
    today = AccessRequest.objects.filter(
        Q(user=by, asked_by=None) | Q(asked_by=by), asked_at__gt=now - timedelta(days=1)
    )
    if today.count() >= MOST_REQUESTS_A_DAY:
        raise ValidationError(
            _("You asked for a lot today. Wait for the answers, or write to an admin."),
            code="too_many",
        )
    request = AccessRequest(
        user=person,
        asked_by=by if by != person else None,
        partner_account=account,
        role=role,
        location=location,
        program=program,
        reason=reason,
        asked_at=now,
    )
    request.full_clean(validate_constraints=False)
    request.save()
    record_audit_event(
        request,
        action=AuditAction.ACCESS_REQUESTED,
        by=by,
        partner_account=account,
        after=_described(request),
        reason=reason,
    )
    emails.access_requested(request)
    return request


@noting_refusals
@transaction.atomic
def grant_access(request: AccessRequest, *, by: User) -> AccessRequest:
    """Give what was asked for, through the same rules as any role; twice is once.

    Raises ValidationError when somebody else answered, nobody needs it any more, or
    `by` may not give the role (R5, R13).
    """
    request = _held(request)
    if request.state == RequestState.GRANTED and request.answered_by_id == by.pk:
        return request
    _refuse_answered(request)
    assign_role(
        request.user,
        role=request.role,
        account=request.partner_account,
        location=request.location,
        program=request.program,
        by=by,
    )
    _answer(request, state=RequestState.GRANTED, by=by)
    record_audit_event(
        request,
        action=AuditAction.ACCESS_GRANTED,
        by=by,
        partner_account=request.partner_account,
        after=_described(request),
    )
    return request


@noting_refusals
@transaction.atomic
def decline_access(request: AccessRequest, *, reason: str, by: User) -> AccessRequest:
    """Say no, with the reason the person reads; twice is once.

    Raises ValidationError as grant_access does, and without a reason.
    """
    request = _held(request)
    if request.state == RequestState.DECLINED and request.answered_by_id == by.pk:
        return request
    _refuse_answered(request)
    check_scopes(Role(request.role), account=request.partner_account, by=by)
    if not reason.strip():
        raise ValidationError({"reason": _("Say why. The person reads it.")})
    _answer(request, state=RequestState.DECLINED, by=by, answer=reason)
    record_audit_event(
        request,
        action=AuditAction.ACCESS_DECLINED,
        by=by,
        partner_account=request.partner_account,
        after=_described(request),
        reason=reason,
    )
    emails.access_declined(request)
    return request


@transaction.atomic
def lapse_requests(*, at: datetime) -> int:
    """Close the requests nobody needs any more; return how many."""
    overtaken = AccessRequest.objects.overtaken()
    lock_companies(*overtaken.values_list("partner_account_id", flat=True))
    return _lapse(overtaken, at=at)


def lapse_at_closed_location(location: Location, *, at: datetime) -> int:
    """Close what was asked for at a location that is closed; tell who asked.

    For the service that closes it, which holds the company's lock. Returns how many.
    """
    there = AccessRequest.objects.filter(location=location, state=RequestState.WAITING)
    lapsing = list(there.select_related("user", "location", "program"))
    lapsed = _lapse(there, at=at, reason=location.closing_reason)
    for request in lapsing:
        emails.access_lapsed(request)
    return lapsed


def _lapse(requests, *, at: datetime, reason: str = "") -> int:
    overtaken = list(
        requests.select_related("partner_account").order_by("asked_at", "pk")
    )
    for request in overtaken:
        request.state = RequestState.LAPSED
        request.answered_at = at
        request.save(update_fields=["state", "answered_at"])
        record_audit_event(
            request,
            action=AuditAction.ACCESS_LAPSED,
            by=None,
            partner_account=request.partner_account,
            reason=reason,
        )
    return len(overtaken)


def _refuse_strangers(account: PartnerAccount, person: User, by: User) -> None:
    """Who asks, and for whom, both belong to the company."""
    members = Membership.objects.current().of_company(account)
    if by.is_staff or not members.filter(user=by).exists():
        raise ValidationError(_("You do not belong to this company."), code="stranger")
    if person != by and not members.filter(user=person).exists():
        raise ValidationError(
            _("This person does not belong to your company."), code="stranger"
        )


def _refuse_bad_request(
    account: PartnerAccount,
    *,
    role: Role,
    location: Location | None,
    program: IncentiveProgram | None,
    person: User,
) -> None:
    if role not in REQUESTABLE_ROLES:
        raise ValidationError({"role": _("This role cannot be asked for.")})
    check_scopes(
        role,
        account=account,
        locations=[location] if location else [],
        programs=[program] if program else [],
        by=None,
    )
    refuse_guest(person.email, role=role, account=account)
    held = RoleAssignment.objects.live().covering(location, program)
    if held.filter(
        user=person, partner_account=account, role__in=roles_covering(role)
    ).exists():
        raise ValidationError(_("You have this role there already."), code="held")
    if role in roles_given_by(person, account):
        raise ValidationError(
            _("You can give yourself this role under People."), code="own"
        )
    if not givers_of(role, account):
        raise ValidationError(
            _("Nobody in %(company)s can give this role."),
            code="nobody_gives",
            params={"company": account.name},
        )


def _held(request: AccessRequest) -> AccessRequest:
    """Lock the company, then read what the request is by now."""
    lock_companies(request.partner_account_id)
    return AccessRequest.objects.select_related(
        "partner_account", "user", "location", "program", "answered_by"
    ).get(pk=request.pk)


def _refuse_answered(request: AccessRequest) -> None:
    """Two admins at once: one answers, the other learns who did."""
    answered = {
        RequestState.GRANTED: _("%(who)s has given this access already."),
        RequestState.DECLINED: _("%(who)s has declined this request already."),
    }
    if request.state in answered:
        raise ValidationError(
            answered[RequestState(request.state)],
            code="answered",
            params={"who": request.answered_by.full_name},
        )
    if not AccessRequest.objects.waiting().filter(pk=request.pk).exists():
        raise ValidationError(
            _(
                "%(person)s does not need this any more: the role was given otherwise, "
                "or the person or the location is gone."
            ),
            code="overtaken",
            params={"person": request.user.full_name},
        )


def _answer(
    request: AccessRequest, *, state: RequestState, by: User, answer: str = ""
) -> None:
    request.state = state
    request.answered_by = by
    request.answered_at = timezone.now()
    request.answer = answer
    request.save(update_fields=["state", "answered_by", "answered_at", "answer"])


def _described(request: AccessRequest) -> dict[str, object]:
    return {
        "person": request.user_id,
        "role": request.role,
        "location": request.location_id,
        "program": request.program_id,
    }
