"""Everything that changes people, companies, places and roles; the only writer here."""

from collections.abc import Iterable
from datetime import date
from itertools import product
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import outbox
from accounts.logs import request_id
from accounts.models import (
    AuditAction,
    AuditEvent,
    IncentiveProgram,
    Location,
    Membership,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import (
    COMPANY_WIDE_ROLES,
    INCENTIVE_ROLES,
    Role,
    roles_that_grant,
)
from accounts.text import normalize_email


def record_audit_event(
    subject: Model,
    *,
    action: AuditAction,
    by: User | None,
    partner_account: PartnerAccount | None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEvent:
    """Write what was done to `subject`; `by` is None for the clock (rule 76)."""
    chain = f"company:{partner_account.pk}" if partner_account else "portal"
    return AuditEvent.objects.create(
        chain=chain,
        partner_account=partner_account,
        actor=by,
        action=action,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        before=before or {},
        after=after or {},
        reason=reason,
        request_id=request_id.get(""),
    )


def lock_companies(*keys: int) -> None:
    """Hold companies until the transaction ends; taken before any other lock.

    One company's roles, profiles and enrollments change one after the other, so that
    two people's changes neither cross nor lock each other up. Rows that only refer to
    the company are not kept waiting. Companies are locked in the order of their keys.
    """
    companies = PartnerAccount.objects.select_for_update(of=("self",), no_key=True)
    list(companies.filter(pk__in=keys).order_by("pk").values_list("pk", flat=True))


@transaction.atomic
def create_partner_account(
    *,
    partner_id: str,
    name: str,
    legal_name: str,
    country: str,
    email_domains: list[str],
    by: User | None,
) -> PartnerAccount:
    """Add a company. Raises ValidationError when the PartnerID is taken or malformed."""
    account = PartnerAccount(
        partner_id=partner_id,
        name=name,
        legal_name=legal_name,
        country=country,
        email_domains=[domain.lower() for domain in email_domains],
    )
    _refuse_taken_partner_id(partner_id)
    account.full_clean()
    account.save()
    record_audit_event(
        account,
        action=AuditAction.COMPANY_ADDED,
        by=by,
        partner_account=account,
        after={"partner_id": partner_id, "name": name},
    )
    return account


@transaction.atomic
def add_location(
    account: PartnerAccount,
    *,
    partner_id: str,
    name: str,
    country: str,
    legal_name: str = "",
    street: str = "",
    postcode: str = "",
    city: str = "",
    by: User | None,
) -> Location:
    """Add a location to a company; a PartnerID belongs to one of them only."""
    location = Location(
        partner_account=account,
        partner_id=partner_id,
        name=name,
        legal_name=legal_name or account.legal_name,
        country=country,
        street=street,
        postcode=postcode,
        city=city,
    )
    _refuse_taken_partner_id(partner_id)
    location.full_clean()
    location.save()
    record_audit_event(
        location,
        action=AuditAction.LOCATION_ADDED,
        by=by,
        partner_account=account,
        after={"partner_id": partner_id, "name": name, "country": country},
    )
    return location


@transaction.atomic
def add_person(
    account: PartnerAccount,
    *,
    email: str,
    full_name: str,
    language: str = "en",
    joins_existing: bool = False,
    by: User | None,
) -> User:
    """Add a person to a company; somebody known already only joins it.

    The new person has no password and sets one through "Forgot your password?". Raises
    ValidationError for somebody of another company, unless `joins_existing` says that
    belonging to both is meant.
    """
    address = normalize_email(email)
    user = User.objects.select_for_update().filter(email=address).first()
    if user is None:
        user = User(email=address, full_name=full_name, language=language)
        user.set_unusable_password()
        user.full_clean(exclude=["password"])
        user.save()
    elif user.is_staff:
        raise ValidationError(
            _("This address belongs to an operator of the program owner."),
            code="operator",
        )
    elif not joins_existing and _belongs_elsewhere_only(user, account):
        raise ValidationError(
            _(
                "This address belongs to a person of another company. "
                "Only the program owner can let one person join two companies."
            ),
            code="other_company",
        )
    membership, is_new = Membership.objects.get_or_create(
        user=user, partner_account=account, ended_at=None, defaults={"added_by": by}
    )
    if is_new:
        record_audit_event(
            membership,
            action=AuditAction.PERSON_ADDED,
            by=by,
            partner_account=account,
            after={"person": user.pk},
        )
    return user


def _belongs_elsewhere_only(user: User, account: PartnerAccount) -> bool:
    companies = set(
        user.memberships.filter(ended_at=None).values_list(
            "partner_account_id", flat=True
        )
    )
    return bool(companies) and account.pk not in companies


@transaction.atomic
def add_operator(
    *,
    email: str,
    full_name: str,
    groups: Iterable[str] = (),
    is_superuser: bool = False,
    language: str = "en",
) -> User:
    """Add a person of the program owner, in groups of operators.py.

    Operators belong to no company. Like everybody else's, the password is set through
    "Forgot your password?". Raises ValidationError when the address is taken.
    """
    user = User(
        email=normalize_email(email),
        full_name=full_name,
        language=language,
        is_staff=True,
        is_superuser=is_superuser,
    )
    user.set_unusable_password()
    user.full_clean(exclude=["password"])
    user.save()
    user.groups.set([Group.objects.get(name=name) for name in groups])
    record_audit_event(
        user,
        action=AuditAction.PERSON_ADDED,
        by=None,
        partner_account=None,
        after={"person": user.pk, "groups": sorted(groups)},
    )
    return user


@transaction.atomic
def share_demo_password(people: Iterable[User], *, password: str) -> None:
    """Let invented people sign in with one password.

    It is hashed once for all of them, since hashing is slow on purpose. Raises
    ValidationError outside demo mode: real people set their own.
    """
    if not settings.DEMO:
        raise ValidationError(_("Only invented people in demo mode share a password."))
    User.objects.filter(pk__in=[person.pk for person in people]).update(
        password=make_password(password)
    )


@transaction.atomic
def assign_role(
    user: User,
    *,
    role: Role | str,
    account: PartnerAccount,
    location: Location | None = None,
    program: IncentiveProgram | None = None,
    ends_on: date | None = None,
    by: User | None,
) -> RoleAssignment:
    """Give a person a role in one scope (R3, R4); as assign_roles."""
    (assignment,) = assign_roles(
        user,
        role=role,
        account=account,
        locations=[location] if location else [],
        programs=[program] if program else [],
        ends_on=ends_on,
        by=by,
    )
    return assignment


@transaction.atomic
def assign_roles(
    user: User,
    *,
    role: Role | str,
    account: PartnerAccount,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    by: User | None,
) -> list[RoleAssignment]:
    """Give a person a role at each location for each program, all of them or none.

    No locations means the whole company, no programs all of them. Giving what is held
    already changes nothing and returns what is held; another last day replaces it.
    `by` is None only when the program owner sets a company up. Raises ValidationError
    as check_roles does.
    """
    role = Role(role)
    # The company's row is the lock that keeps two admins' changes in order.
    lock_companies(account.pk)
    scopes = check_roles(
        user,
        role=role,
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    held = {
        (assignment.location_id, assignment.program_id): assignment
        for assignment in RoleAssignment.objects.filter(
            user=user, role=role, partner_account=account, revoked_at=None
        ).select_related("partner_account", "location", "program")
    }
    return [
        _give(
            RoleAssignment(
                user=user,
                role=role,
                partner_account=account,
                location=location,
                program=program,
                ends_on=ends_on,
                granted_by=by,
            ),
            held=held.get((location and location.pk, program and program.pk)),
            by=by,
        )
        for location, program in scopes
    ]


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
    scopes = list(product(list(locations) or [None], list(programs) or [None]))
    _refuse_unless_granting(by, role=role, account=account)
    for location, program in scopes:
        _refuse_bad_scope(role, account=account, location=location, program=program)
    _refuse_bad_holder(user, role=role, account=account)
    if ends_on is not None and ends_on < timezone.localdate():
        raise ValidationError(
            {"ends_on": _("The last day is in the past. Choose today or later.")}
        )
    if ends_on is not None and role == Role.GLOBAL_ADMIN:
        _refuse_losing_last_global_admin(
            account, without=RoleAssignment.objects.filter(user=user)
        )
    return scopes


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
    if assignment.revoked_at is None:
        assignment.partner_account = account
        _end_assignment(assignment, by=by)
    return assignment


def check_revoking(assignment: RoleAssignment, *, by: User | None) -> None:
    """Raise what revoke_role would; change nothing."""
    account = assignment.partner_account
    _refuse_unless_granting(by, role=Role(assignment.role), account=account)
    if assignment.revoked_at is None and assignment.role == Role.GLOBAL_ADMIN:
        _refuse_losing_last_global_admin(
            account, without=RoleAssignment.objects.filter(pk=assignment.pk)
        )


@transaction.atomic
def choose_language(user: User, *, language: str) -> User:
    """Remember the language a person reads; mails follow it (R70)."""
    user.language = language
    user.full_clean(exclude=["password"])
    user.save(update_fields=["language"])
    return user


@transaction.atomic
def resend_email(email: OutgoingEmail, *, by: User) -> OutgoingEmail:
    """Queue a mail that was given up once more, with the same Message-ID.

    A mail that is on its way already stays as it is.
    """
    email = OutgoingEmail.objects.select_for_update(of=("self",)).get(pk=email.pk)
    if not email.is_undelivered:
        return email
    email = outbox.requeue(email)
    record_audit_event(
        email,
        action=AuditAction.MAIL_RESENT,
        by=by,
        partner_account=None,
        after={"message": email.name},
    )
    return email


def _give(
    assignment: RoleAssignment, *, held: RoleAssignment | None, by: User | None
) -> RoleAssignment:
    """Store one role, in the place of the one held in the same scope, if any."""
    if held is not None and held.ends_on == assignment.ends_on:
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
    }


def _refuse_taken_partner_id(partner_id: str) -> None:
    if (
        Location.objects.filter(partner_id=partner_id).exists()
        or PartnerAccount.objects.filter(partner_id=partner_id).exists()
    ):
        raise ValidationError(
            {"partner_id": _("This PartnerID is taken by another company or location.")}
        )


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


def _refuse_bad_holder(user: User, *, role: Role, account: PartnerAccount) -> None:
    is_member = Membership.objects.current().filter(user=user, partner_account=account)
    if not is_member.exists():
        raise ValidationError({"user": _("Choose a person of your company.")})
    if role in INCENTIVE_ROLES and not account.welcomes(user.email):
        raise ValidationError(
            {
                "user": _(
                    "Guests cannot hold incentive roles. Add the person with an "
                    "address of your company first."
                )
            },
            code="guest",
        )
