"""Who holds which role where: given, checked and ended under the company's lock."""

from collections.abc import Iterable
from datetime import date
from itertools import product
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import emails
from accounts.holders import gaps_left_by
from accounts.models import (
    AuditAction,
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RoleAssignment,
    RoleSource,
    User,
)
from accounts.roles import (
    COMPANY_WIDE_ROLES,
    INCENTIVE_ROLES,
    Role,
    roles_that_grant,
)
from accounts.scoping import today
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.refused import noting_refusals

# What one action may give or end, so that its page and its transaction stay short.
MOST_AT_ONCE = 500


def check_roles(
    user: User,
    *,
    role: Role | str,
    account: PartnerAccount,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    by: User | None,
) -> list[tuple[Location | None, IncentiveProgram | None]]:
    """Return the scopes assign_roles would give the role in; change nothing.

    Raises ValidationError when a scope is not of the company, the person is not of the
    company or a guest (R14), or the giver may not give this role (R5, R13).
    """
    role = Role(role)
    scopes = check_scopes(
        role,
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    check_holders([user], role=role, account=account, ends_on=ends_on)
    return scopes


def check_scopes(
    role: Role,
    *,
    account: PartnerAccount,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    by: User | None,
) -> list[tuple[Location | None, IncentiveProgram | None]]:
    """Return the scopes a role would be given in, whoever is to hold it.

    Raises ValidationError when the giver may not give it (R5, R13), a scope is not of
    the company or the last day is past.
    """
    scopes = list(product(list(locations) or [None], list(programs) or [None]))
    _refuse_unless_granting(by, role=role, account=account)
    for location, program in scopes:
        _refuse_bad_scope(role, account=account, location=location, program=program)
    if ends_on is not None and ends_on < today():
        raise ValidationError(
            {"ends_on": _("The last day is in the past. Choose today or later.")}
        )
    return scopes


def check_holders(
    people: Iterable[User],
    *,
    role: Role,
    account: PartnerAccount,
    ends_on: date | None = None,
) -> None:
    """Ask whether people may hold a role; one question for any number of them.

    Raises ValidationError that names who is not of the company or a guest (R14), and
    when a last day would leave the company without a Global admin (rule 75).
    """
    people = list(people)
    members = set(
        Membership.objects.current()
        .filter(partner_account=account, user__in=people)
        .values_list("user_id", flat=True)
    )
    refusals = []
    for person in people:
        try:
            _refuse_bad_holder(
                person, role=role, account=account, is_member=person.pk in members
            )
        except ValidationError as error:
            (refusal,) = error.error_dict["user"]
            refusals.append(refusal if len(people) == 1 else _about(person, refusal))
    if refusals:
        raise ValidationError({"user": refusals})
    if ends_on is not None and role == Role.GLOBAL_ADMIN:
        _refuse_losing_last_global_admin(
            account, without=RoleAssignment.objects.filter(user__in=people)
        )


def refuse_guest(email: str, *, role: Role, account: PartnerAccount) -> None:
    """Raise ValidationError when an address is a guest's and the role not for guests.

    R14: an address outside the company's e-mail domains holds no incentive role.
    """
    if role in INCENTIVE_ROLES and not account.welcomes(email):
        raise ValidationError(
            {
                "user": _(
                    "Guests cannot hold incentive roles. Use an address at "
                    "%(domains)s, or ask the program owner whether another domain "
                    "is yours too."
                )
                % {"domains": ", ".join(account.email_domains) or account.name}
            },
            code="guest",
        )


@noting_refusals
@transaction.atomic
def revoke_role(assignment: RoleAssignment, *, by: User | None) -> RoleAssignment:
    """End a role at once; ending it twice changes nothing.

    Raises ValidationError when the revoker may not (R5, R13) and when the company
    would be left without a Global admin (rule 75).
    """
    lock_companies(assignment.partner_account_id)
    account = assignment.partner_account
    assignment = RoleAssignment.objects.select_for_update(of=("self",)).get(
        pk=assignment.pk
    )
    check_revoking(assignment, by=by)
    assignment.partner_account = account
    end_assignments([assignment], by=by)
    return assignment


@noting_refusals
@transaction.atomic
def revoke_roles(
    assignments: list[RoleAssignment], *, by: User | None
) -> list[RoleAssignment]:
    """End roles of several people in one company at once, all of them or none.

    Returns those that ended now; what had ended before stays as it is. Raises
    ValidationError as check_revoking does.
    """
    keys = {assignment.pk for assignment in assignments}
    companies = {assignment.partner_account_id for assignment in assignments}
    lock_companies(*companies)
    held = list(
        RoleAssignment.objects.select_for_update(of=("self",))
        .filter(pk__in=keys, revoked_at=None)
        .select_related("user", "partner_account", "location", "program")
        .order_by("user__full_name", "user_id", "pk")
    )
    check_revoking(*held, by=by)
    end_assignments(held, by=by)
    return held


def check_revoking(*assignments: RoleAssignment, by: User | None) -> None:
    """Raise what ending the roles together would; change nothing.

    ValidationError when they are of several companies or too many, the revoker may not
    end one of them (R5, R13), and when the company would be left without a Global admin
    (rule 75).
    """
    if len({assignment.partner_account_id for assignment in assignments}) > 1:
        raise ValidationError(
            _("Choose roles of one company at a time."), code="several_companies"
        )
    if len(assignments) > MOST_AT_ONCE:
        raise ValidationError(
            _("At most %(most)d roles are ended at once. Choose fewer."),
            code="too_many",
            params={"most": MOST_AT_ONCE},
        )
    for role in dict.fromkeys(Role(assignment.role) for assignment in assignments):
        _refuse_unless_granting(by, role=role, account=assignments[0].partner_account)
    ending = [
        assignment.pk
        for assignment in assignments
        if assignment.revoked_at is None and assignment.role == Role.GLOBAL_ADMIN
    ]
    if ending:
        _refuse_losing_last_global_admin(
            assignments[0].partner_account,
            without=RoleAssignment.objects.filter(pk__in=ending),
        )


def give(
    assignment: RoleAssignment, *, held: RoleAssignment | None, by: User | None
) -> RoleAssignment:
    """Store one role, in the place of the one held in the same scope, if any."""
    if held is not None and (
        held.ends_on == assignment.ends_on or _belongs_to_others(held, assignment)
    ):
        return held
    if held is not None:
        _end_assignment(held, by=by)
    assignment.save()
    record_audit_event(
        assignment,
        action=AuditAction.ROLE_ASSIGNED,
        by=by,
        partner_account=assignment.partner_account,
        after=_described(assignment),
    )
    return assignment


def _belongs_to_others(held: RoleAssignment, wanted: RoleAssignment) -> bool:
    """Whether a directory would replace a role that holds and is not its own."""
    return (
        wanted.source != RoleSource.MANUAL
        and held.source != wanted.source
        and not held.is_over(today())
    )


def end_assignments(assignments: Iterable[RoleAssignment], *, by: User | None) -> None:
    """End roles in one company, and tell whoever has to know.

    For services that hold the company's lock and have asked what may be ended.
    """
    day = today()
    ended = [one for one in assignments if one.revoked_at is None]
    held = [one for one in ended if not one.is_over(day)]
    left = gaps_left_by(*held)
    for assignment in ended:
        _end_assignment(assignment, by=by)
    emails.roles_ended(held, by=by, left=left)


def end_at_closed_location(
    location: Location, *, by: User | None
) -> list[RoleAssignment]:
    """End every role held at a location that is closed; return those that held.

    For the service that closes it and tells people itself: nobody needs to be
    appointed there any more. Whole-company roles hold on elsewhere.
    """
    there = list(
        RoleAssignment.objects.filter(location=location, revoked_at=None)
        .select_related("user", "partner_account", "location", "program")
        .order_by("pk")
    )
    day = today()
    held = [one for one in there if not one.is_over(day)]
    for assignment in there:
        _end_assignment(assignment, by=by)
    return held


def _end_assignment(assignment: RoleAssignment, *, by: User | None) -> None:
    assignment.revoked_at = timezone.now()
    assignment.revoked_by = by
    assignment.save(update_fields=["revoked_at", "revoked_by"])
    record_audit_event(
        assignment,
        action=AuditAction.ROLE_REVOKED,
        by=by,
        partner_account=assignment.partner_account,
        before=_described(assignment),
    )


def _described(assignment: RoleAssignment) -> dict[str, Any]:
    return {
        "person": assignment.user_id,
        "role": assignment.role,
        "location": assignment.location_id,
        "program": assignment.program_id,
        "ends_on": assignment.ends_on and assignment.ends_on.isoformat(),
        "source": assignment.source,
    }


def _refuse_unless_granting(
    by: User | None, *, role: Role, account: PartnerAccount
) -> None:
    if by is None:
        return
    # The program owner sets a company up, and helps when its last admin has left.
    if by.is_staff and by.is_superuser and role == Role.GLOBAL_ADMIN:
        return
    givers = RoleAssignment.objects.live().filter(
        user=by, partner_account=account, role__in=roles_that_grant(role)
    )
    if not givers.exists():
        raise ValidationError(
            _("You cannot give or end the role %(role)s in %(company)s."),
            code="not_granting",
            params={"role": role.label, "company": account.name},
        )


def _refuse_losing_last_global_admin(account: PartnerAccount, *, without) -> None:
    """Somebody stays Global admin without a last day (rule 75)."""
    others = RoleAssignment.objects.live().filter(
        partner_account=account, role=Role.GLOBAL_ADMIN, ends_on=None
    )
    if not others.exclude(pk__in=without.values("pk")).exists():
        raise ValidationError(
            _(
                "The company would be left without a Global admin. Give somebody else "
                "the role first, without a last day."
            ),
            code="last_global_admin",
        )


def _refuse_bad_scope(
    role: Role,
    *,
    account: PartnerAccount,
    location: Location | None,
    program: IncentiveProgram | None,
) -> None:
    if role in COMPANY_WIDE_ROLES and (location or program):
        raise ValidationError(
            {"location": _("This role is for the whole company. Leave out locations.")}
        )
    if program is not None and location is None:
        raise ValidationError(
            {"location": _("Choose a location: programs are chosen at a location.")}
        )
    if location is not None and location.partner_account_id != account.pk:
        raise ValidationError({"location": _("Choose a location of your company.")})
    if location is not None and location.closed_at is not None:
        raise ValidationError({"location": _("This location is closed.")})


def _refuse_bad_holder(
    user: User, *, role: Role, account: PartnerAccount, is_member: bool
) -> None:
    if not is_member:
        raise ValidationError({"user": _("Choose a person of your company.")})
    refuse_guest(user.email, role=role, account=account)


def _about(person: User, refusal: ValidationError) -> ValidationError:
    return ValidationError(
        _("%(person)s (%(email)s): %(sentence)s"),
        code=refusal.code,
        params={
            "person": person.full_name,
            "email": person.email,
            "sentence": " ".join(refusal.messages),
        },
    )
