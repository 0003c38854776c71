"""How a company and the program owner's people begin, each in one step."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import emails
from accounts.models import (
    AuditAction,
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.operators import OPERATOR_GROUPS
from accounts.roles import Role
from accounts.services.audit import record_audit_event
from accounts.services.companies import (
    create_partner_account,
    lock_companies,
)
from accounts.services.granting import assign_role
from accounts.services.leaving import end_sessions
from accounts.services.locations import add_location
from accounts.services.people import add_person
from accounts.text import clean_line, normalize_email


@dataclass(frozen=True)
class CompanySetUp:
    """What setting a company up added; nothing where all of it was there."""

    account: PartnerAccount
    is_new: bool
    locations: int
    new_admin: User | None


@transaction.atomic
def add_operator(
    *,
    email: str,
    full_name: str,
    groups: Iterable[str] = (),
    is_superuser: bool = False,
    language: str = "en",
    is_told: bool = True,
    by: User | None = None,
) -> User:
    """Add a person of the program owner, in groups of operators.py.

    Operators belong to no company. The password is theirs to choose: a mail says
    where, unless `is_told` is False. Adding somebody who is an operator gives the
    groups that were missing and changes nothing else. Raises ValidationError when a
    group is unknown, or the address is malformed, a partner's, or was ended.
    """
    address = normalize_email(email)
    wanted = _known_groups(groups)
    user = User.objects.select_for_update().filter(email=address).first()
    is_new = user is None
    if is_new:
        user = User(
            email=address,
            full_name=clean_line(full_name, max_length=120),
            language=language,
            is_staff=True,
            is_superuser=is_superuser,
        )
        user.set_unusable_password()
        user.full_clean(exclude=["password"])
        user.save()
    _refuse_no_operator(user)
    held = set(user.groups.values_list("name", flat=True))
    user.groups.add(*(group for name, group in wanted.items() if name not in held))
    if is_new or not held.issuperset(wanted):
        record_audit_event(
            user,
            action=AuditAction.PERSON_ADDED,
            by=by,
            partner_account=None,
            before={} if is_new else {"person": user.pk, "groups": sorted(held)},
            after={
                "person": user.pk,
                "groups": sorted(held | set(wanted)),
                "superuser": user.is_superuser,
            },
        )
    if is_new and is_told:
        emails.operator_added(user)
    return user


@transaction.atomic
def end_operator(
    *, email: str, groups: Iterable[str] = (), by: User | None = None
) -> User:
    """End an operator's part in some groups; without groups, all of their access.

    The row stays, for what they did names it; their sessions die at the next request.
    Ending it twice changes nothing. Raises ValidationError for an unknown group, and
    when the address is no operator's.
    """
    ended = _known_groups(groups)
    user = (
        User.objects.select_for_update()
        .filter(email=normalize_email(email), is_staff=True)
        .first()
    )
    if user is None:
        raise ValidationError(
            _("%(email)s is no operator's address."),
            code="no_operator",
            params={"email": email},
        )
    held = set(user.groups.values_list("name", flat=True))
    before = {"person": user.pk, "groups": sorted(held), "superuser": user.is_superuser}
    if ended:
        left = held - set(ended)
        action = AuditAction.PERSON_CHANGED
    else:
        left, user.is_superuser = set(), False
        action = AuditAction.PERSON_LEFT
    if left == held and (ended or not user.is_active):
        return user
    user.groups.remove(*user.groups.exclude(name__in=left))
    if not ended:
        user.is_active = False
        user.save(update_fields=["is_active", "is_superuser"])
        end_sessions(user)
    record_audit_event(
        user,
        action=action,
        by=by,
        partner_account=None,
        before=before,
        after={
            "person": user.pk,
            "groups": sorted(left),
            "superuser": user.is_superuser,
        },
    )
    return user


@transaction.atomic
def set_up_company(
    *,
    partner_id: str,
    name: str,
    legal_name: str = "",
    country: str,
    email_domains: Iterable[str],
    admin_email: str,
    admin_name: str,
    admin_language: str = "en",
    locations: Iterable[Mapping[str, str]] = (),
    by: User | None,
) -> CompanySetUp:
    """Start a company with its locations and its first Global admin; all or nothing.

    `locations` are what add_location takes. The admin is mailed where to choose a
    password. Done again, it adds what is missing: later locations, say. Raises
    ValidationError as the services it calls, when the PartnerID is that of a company
    of another name, and when the company has a Global admin, who appoints the others.
    """
    account = PartnerAccount.objects.filter(partner_id=partner_id).first()
    is_new = account is None
    if is_new:
        account = create_partner_account(
            partner_id=partner_id,
            name=name,
            legal_name=legal_name or name,
            country=country,
            email_domains=list(email_domains),
            by=by,
        )
    elif account.name != name:
        raise ValidationError(
            _("%(partner_id)s is the PartnerID of %(company)s."),
            code="other_company",
            params={"partner_id": partner_id, "company": account.name},
        )
    lock_companies(account.pk)
    return CompanySetUp(
        account=account,
        is_new=is_new,
        locations=sum(_add_missing(account, row, by=by) for row in locations),
        new_admin=_first_global_admin(
            account,
            email=admin_email,
            full_name=admin_name,
            language=admin_language,
            by=by,
        ),
    )


def _known_groups(names: Iterable[str]) -> dict[str, Group]:
    names = list(names)
    unknown = ", ".join(name for name in names if name not in OPERATOR_GROUPS)
    if unknown:
        raise ValidationError(
            _("There is no group %(unknown)s. The groups are: %(known)s."),
            code="unknown_group",
            params={"unknown": unknown, "known": ", ".join(OPERATOR_GROUPS)},
        )
    return {name: Group.objects.get(name=name) for name in names}


def _refuse_no_operator(user: User) -> None:
    if not user.is_staff:
        raise ValidationError(
            _(
                "This address belongs to a person of a partner company. An operator "
                "needs an address of their own."
            ),
            code="partner",
        )
    if not user.is_active:
        raise ValidationError(
            _("The access of this address was ended. Use another address."),
            code="inactive",
        )


def _add_missing(
    account: PartnerAccount, row: Mapping[str, str], *, by: User | None
) -> bool:
    """Add a location unless the company has it; say whether it was added."""
    known = Location.objects.filter(
        partner_account=account, partner_id=row["partner_id"]
    )
    if known.exists():
        return False
    try:
        add_location(account, **row, by=by)
    except ValidationError as error:
        raise ValidationError(
            [
                _("Location %(partner_id)s: %(reason)s")
                % {"partner_id": row["partner_id"], "reason": sentence}
                for sentence in error.messages
            ]
        ) from None
    return True


def _first_global_admin(
    account: PartnerAccount,
    *,
    email: str,
    full_name: str,
    language: str,
    by: User | None,
) -> User | None:
    """Appoint the first Global admin; None when it is the one there already."""
    address = normalize_email(email)
    admins = RoleAssignment.objects.live().filter(
        partner_account=account, role=Role.GLOBAL_ADMIN
    )
    if admins.filter(user__email=address).exists():
        return None
    if admins.exists():
        raise ValidationError(
            _(
                "%(company)s has a Global admin, who appoints others under People: "
                "%(name)s."
            ),
            code="has_global_admin",
            params={
                "company": account.name,
                "name": admins.order_by("pk").first().user.full_name,
            },
        )
    admin = add_person(
        account,
        email=address,
        full_name=clean_line(full_name, max_length=120),
        language=language,
        by=by,
    )
    assign_role(admin, role=Role.GLOBAL_ADMIN, account=account, by=None)
    emails.company_set_up(account, admin=admin)
    return admin
