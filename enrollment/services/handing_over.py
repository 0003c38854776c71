"""Handing an invitation over to a colleague, who may need the role first."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.holders import roles_given_by
from accounts.models import AccessRequest, AuditAction, Membership, User
from accounts.roles import Permission, Role
from accounts.services import (
    check_still_may,
    lock_companies,
    record_audit_event,
    request_access,
)
from enrollment import emails
from enrollment.models import Enrollment, Invitation
from profiles.services import refuse_link


@dataclass(frozen=True)
class HandedOver:
    """What became of a hand-over: what the colleague can act on, what was asked for."""

    handed: list[Enrollment]
    asked: list[AccessRequest]
    # The colleague lacks the role and can take it without asking.
    takes_it: list[Enrollment]


@transaction.atomic
def hand_over(
    invitations: Iterable[Invitation], *, to: User, note: str = "", by: User
) -> HandedOver:
    """Hand invitations of one company over to a colleague; twice is once.

    A colleague with the role there finds them on Home and gets a mail; whoever hands
    over is not reminded any more while that colleague may act. For a colleague without
    the role it is asked for, and the invitation stays with whoever has it now: nothing
    waits for somebody who cannot act. Raises ValidationError when `by` may not act on
    one of them any more, when it is answered or over, when the colleague is not of the
    company, and as request_access does.
    """
    keys = [one.pk for one in invitations]
    companies = Invitation.objects.filter(pk__in=keys).values_list(
        "enrollment__location__partner_account", flat=True
    )
    lock_companies(*set(companies))
    mine = list(
        Invitation.objects.filter(pk__in=keys, user=by)
        .select_related(
            "enrollment__location__partner_account",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year__calendar",
        )
        .order_by("enrollment__location__name", "pk")
    )
    if not mine or len(mine) != len(keys):
        raise ValidationError(
            _("Choose at least one location."), code="required", params={}
        )
    check_still_may(*mine, permission=Permission.ENROLLMENT_EDIT, by=by)
    company = mine[0].enrollment.location.partner_account
    _refuse_bad_colleague(to, company=company, by=by)
    refuse_link(note)
    now = timezone.now()
    for one in mine:
        if not one.enrollment.is_editable or one.enrollment.is_late(now):
            raise ValidationError(
                _("There is nothing to hand over for %(location)s any more."),
                code="over",
                params={"location": one.enrollment.location.name},
            )
    can = set(
        Enrollment.objects.filter(pk__in=[one.enrollment_id for one in mine])
        .where_user_may(to, Permission.ENROLLMENT_EDIT)
        .values_list("pk", flat=True)
    )
    handed = [
        one for one in mine if one.enrollment_id in can and one.handed_to_id != to.pk
    ]
    lacking = [one.enrollment for one in mine if one.enrollment_id not in can]
    takes_it = bool(lacking) and Role.INCENTIVES_ADMIN in roles_given_by(to, company)
    asked = [] if takes_it else [_ask(one, to=to, note=note, by=by) for one in lacking]
    _hand(handed, to=to, by=by, at=now)
    if handed or lacking:
        emails.handed_over(
            handed,
            to=to,
            note=note,
            lacking=lacking,
            asked=asked,
            takes_it=takes_it,
            by=by,
        )
    return HandedOver(
        handed=[one.enrollment for one in mine if one.enrollment_id in can],
        asked=asked,
        takes_it=lacking if takes_it else [],
    )


def _refuse_bad_colleague(to: User, *, company, by: User) -> None:
    if to == by:
        raise ValidationError(
            {"email": _("That is you. Choose a colleague.")}, code="self"
        )
    members = Membership.objects.current().of_company(company)
    if to.is_staff or not members.filter(user=to).exists():
        stranger = ValidationError(
            _("Nobody of your company has this address."), code="stranger"
        )
        raise ValidationError({"email": stranger})


def _ask(enrollment: Enrollment, *, to: User, note: str, by: User) -> AccessRequest:
    """Ask the admins to give the colleague the role for this program there."""
    return request_access(
        enrollment.location.partner_account,
        role=Role.INCENTIVES_ADMIN,
        location=enrollment.location,
        program=enrollment.terms.program,
        reason=note,
        person=to,
        by=by,
    )


def _hand(invitations: list[Invitation], *, to: User, by: User, at) -> None:
    for one in invitations:
        one.handed_to, one.handed_at = to, at
        one.opened_at = one.opened_at or at
        one.save(update_fields=["handed_to", "handed_at", "opened_at"])
        theirs, _is_new = Invitation.objects.get_or_create(
            enrollment=one.enrollment, user=to
        )
        # Whoever gets it back has it: it is a message again, and they are reminded.
        theirs.opened_at = theirs.handed_to = theirs.handed_at = None
        theirs.save(update_fields=["opened_at", "handed_to", "handed_at"])
        record_audit_event(
            one,
            action=AuditAction.INVITATION_HANDED_OVER,
            by=by,
            partner_account=one.enrollment.location.partner_account,
            after={
                "person": to.pk,
                "location": one.enrollment.location_id,
                "program": one.enrollment.terms.program_id,
            },
        )
