"""What a company's directory changes: its own people, their groups, roles by groups."""

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.directory import RoleByGroup, directory_people, roles_by_group
from accounts.models import (
    AuditAction,
    DirectoryGroup,
    DirectoryGroupMember,
    DirectoryPerson,
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RoleAssignment,
    RoleSource,
    User,
)
from accounts.roles import Role
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.granting import assign_roles
from accounts.services.leaving import deactivate_person
from accounts.services.people import add_person
from accounts.services.roles import (
    check_revoking,
    end_assignments,
    refuse_guest,
)
from accounts.text import normalize_email


@dataclass(frozen=True)
class PersonEntry:
    """What a directory says of one person."""

    user_name: str
    email: str
    full_name: str
    external_id: str = ""
    language: str = "en"
    is_active: bool = True
    facts: dict[str, Any] = field(default_factory=dict)


@transaction.atomic
def add_directory_person(account: PartnerAccount, entry: PersonEntry) -> Membership:
    """Add somebody the company's directory sends; return their first membership.

    Somebody with an account and an address of the company's only joins: their name,
    password and other companies stay as they are. Raises ValidationError with the code
    "taken" when the directory has this person already, the address is an operator's, or
    a name is somebody else's, and with "not_yours" when the address is other people's.
    """
    lock_companies(account.pk)
    address = normalize_email(entry.email)
    user = User.objects.filter(email=address).first()
    _refuse_others_people(account, address, user=user)
    if user is not None and (
        user.is_staff or directory_people(account).filter(user=user).exists()
    ):
        raise _taken()
    _refuse_taken_names(account, entry, besides=user)
    user = add_person(
        account,
        email=address,
        full_name=entry.full_name,
        language=entry.language,
        joins_existing=True,
        by=None,
    )
    _keep(account, user, entry)
    if not entry.is_active:
        _deactivate(account, user)
    sync_roles(account)
    return directory_people(account).get(user=user)


@transaction.atomic
def change_directory_person(
    account: PartnerAccount, user: User, entry: PersonEntry
) -> Membership:
    """Take over what the directory says of one of its people.

    Being active decides the membership of this company and nothing else. The name and
    the address of the account itself follow only when the account is this company's
    alone; the address moreover only from one of the company's domains to another.
    Raises ValidationError with the code "taken" when a name or the new address is
    somebody else's, and when the company would lose its last Global admin (rule 75).
    """
    lock_companies(account.pk)
    user = User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    _refuse_taken_names(account, entry, besides=user)
    changed = _follow(account, user, entry)
    if _keep(account, user, entry):
        changed.setdefault("after", {})["directory"] = True
    if changed:
        record_audit_event(
            user,
            action=AuditAction.PERSON_CHANGED,
            by=None,
            partner_account=account,
            before={"person": user.pk} | changed.get("before", {}),
            after={"person": user.pk} | changed["after"],
        )
    _set_active(account, user, entry.is_active)
    sync_roles(account)
    return directory_people(account).get(user=user)


@transaction.atomic
def remove_directory_person(account: PartnerAccount, user: User) -> None:
    """Deactivate somebody and let the directory forget them; every row stays.

    Raises ValidationError when the company would lose its last Global admin (rule 75).
    """
    lock_companies(account.pk)
    _deactivate(account, user)
    removed = timezone.now()
    DirectoryPerson.objects.update_or_create(
        partner_account=account,
        user=user,
        defaults={"removed_at": removed, "updated_at": removed},
        create_defaults={"user_name": user.email, "removed_at": removed},
    )
    DirectoryGroupMember.objects.filter(
        user=user, group__partner_account=account
    ).delete()


@transaction.atomic
def add_directory_group(
    account: PartnerAccount,
    *,
    display_name: str,
    external_id: str = "",
    members: Collection[int] = (),
) -> DirectoryGroup:
    """Store a group with its members, keys of people; mapped ones get their roles.

    Raises ValidationError with the code "taken" when a group has one of the names, and
    with "no_such_member" when somebody is not of the directory.
    """
    lock_companies(account.pk)
    group = DirectoryGroup(
        partner_account=account, display_name=display_name, external_id=external_id
    )
    _refuse_taken_group(group)
    group.save()
    added, _left = _set_members(group, members)
    record_audit_event(
        group,
        action=AuditAction.GROUP_ADDED,
        by=None,
        partner_account=account,
        after={"group": display_name, "people": added},
    )
    sync_roles(account)
    return group


@transaction.atomic
def change_directory_group(
    group: DirectoryGroup,
    *,
    display_name: str,
    external_id: str = "",
    members: Collection[int] | None = (),
) -> DirectoryGroup:
    """Take over a group's names and members, None: as they are; roles follow at once.

    Raises ValidationError as add_directory_group does, and when the company would lose
    its last Global admin (rule 75).
    """
    lock_companies(group.partner_account_id)
    old_name = group.display_name
    is_renamed = (group.display_name, group.external_id) != (display_name, external_id)
    group.display_name, group.external_id = display_name, external_id
    _refuse_taken_group(group)
    added, left = [], []
    if members is not None:
        added, left = _set_members(group, members)
    if is_renamed or added or left:
        group.save()
        record_audit_event(
            group,
            action=AuditAction.GROUP_CHANGED,
            by=None,
            partner_account=group.partner_account,
            before={"group": old_name, "people": left},
            after={"group": display_name, "people": added},
        )
    sync_roles(group.partner_account)
    return group


@transaction.atomic
def remove_directory_group(group: DirectoryGroup) -> None:
    """Empty a group and let the directory forget it; the row stays.

    Raises ValidationError when the company would lose its last Global admin (rule 75).
    """
    lock_companies(group.partner_account_id)
    _added, left = _set_members(group, ())
    group.removed_at = timezone.now()
    group.save()
    record_audit_event(
        group,
        action=AuditAction.GROUP_REMOVED,
        by=None,
        partner_account=group.partner_account,
        before={"group": group.display_name, "people": left},
    )
    sync_roles(group.partner_account)


def sync_roles(account: PartnerAccount, *, by: User | None = None) -> None:
    """Give and end roles until people hold what their groups give; hold the lock.

    What is held already, from wherever, is not given again; only roles that came by
    SCIM are ended. A role that somebody cannot hold, a guest (R14) or at a closed
    location, is not given, and the others are. `by` mapped or unmapped a group. Who gets
    a role by groups that they alone connected with it took it, whoever puts them into
    the group (T3). Raises ValidationError when `by` may not end a role, or nobody would
    stay Global admin.
    """
    wanted = roles_by_group(account)
    held = list(
        RoleAssignment.objects.of_company(account)
        .filter(revoked_at=None)
        .select_related("user", "partner_account", "location", "program")
        .order_by("user_id", "pk")
    )
    # First the new ones: a Global admin may take over from another.
    there = {_scope(one) for one in held if not _is_over(one)}
    missing = {role: makers for role, makers in wanted.items() if role not in there}
    _give(account, missing, by=by)
    left = [
        one
        for one in held
        if one.source == RoleSource.SCIM and _scope(one) not in wanted
    ]
    for _user, roles in groupby(left, key=lambda one: one.user_id):
        ended = list(roles)
        for assignment in ended:
            check_revoking(assignment, by=by)
        end_assignments(ended, by=by)


def _give(
    account: PartnerAccount,
    missing: dict[RoleByGroup, set[int | None]],
    *,
    by: User | None,
) -> None:
    """Give roles, those of one kind to one person together: that is one mail."""
    people = User.objects.in_bulk({one.user_id for one in missing})
    places = Location.objects.in_bulk({one.location_id for one in missing} - {None})
    programs = IncentiveProgram.objects.in_bulk(
        {one.program_id for one in missing} - {None}
    )
    together: dict[tuple[int, Role, int | None, bool, bool], list[int | None]] = {}
    for one, makers in missing.items():
        is_wide, is_taken = one.location_id is None, makers == {one.user_id}
        kind = (one.user_id, one.role, one.program_id, is_wide, is_taken)
        together.setdefault(kind, []).append(one.location_id)
    for (user, role, program, _is_wide, is_taken), locations in sorted(
        together.items(), key=lambda item: str(item[0])
    ):
        open_places = [
            places[key]
            for key in sorted(key for key in locations if key is not None)
            if places[key].closed_at is None
        ]
        if not open_places and locations != [None]:
            continue
        if _is_guest(people[user], role=role, account=account):
            continue
        assign_roles(
            people[user],
            role=role,
            account=account,
            locations=open_places,
            programs=[programs[program]] if program else [],
            source=RoleSource.SCIM,
            taker=people[user] if is_taken else None,
            by=by,
        )


def refusal_code(refusal: ValidationError) -> str:
    """Return the first code a refusal carries, wherever it stands."""
    if hasattr(refusal, "error_dict"):
        refusal = next(iter(refusal.error_dict.values()))[0]
    return refusal.error_list[0].code or ""


def _is_guest(user: User, *, role: Role, account: PartnerAccount) -> bool:
    """Whether the role is not for this person (R14)."""
    try:
        refuse_guest(user.email, role=role, account=account)
    except ValidationError:
        return True
    return False


def _scope(assignment: RoleAssignment) -> RoleByGroup:
    return RoleByGroup(
        assignment.user_id,
        Role(assignment.role),
        assignment.location_id,
        assignment.program_id,
    )


def _is_over(assignment: RoleAssignment) -> bool:
    return assignment.is_over(timezone.localdate())


def _set_active(account: PartnerAccount, user: User, is_active: bool) -> None:
    if is_active:
        add_person(
            account,
            email=user.email,
            full_name=user.full_name,
            joins_existing=True,
            by=None,
        )
    else:
        _deactivate(account, user)


def _deactivate(account: PartnerAccount, user: User) -> None:
    membership = user.memberships.filter(partner_account=account, ended_at=None).first()
    if membership is not None:
        deactivate_person(membership, by=None)


def _keep(account: PartnerAccount, user: User, entry: PersonEntry) -> bool:
    """Remember what the directory says; tell whether it is new."""
    said = {
        "user_name": entry.user_name,
        "external_id": entry.external_id,
        "facts": entry.facts,
        "removed_at": None,
    }
    known = DirectoryPerson.objects.filter(partner_account=account, user=user).first()
    if known is not None and all(
        getattr(known, name) == value for name, value in said.items()
    ):
        return False
    kept = known or DirectoryPerson(partner_account=account, user=user)
    for name, value in said.items():
        setattr(kept, name, value)
    kept.save()
    return True


def _follow(
    account: PartnerAccount, user: User, entry: PersonEntry
) -> dict[str, dict[str, Any]]:
    """Change the account itself as far as it is this company's alone; say what."""
    if user.is_staff or user.memberships.exclude(partner_account=account).exists():
        return {}
    before, after = {}, {}
    if entry.full_name and entry.full_name != user.full_name:
        before["full_name"], after["full_name"] = user.full_name, entry.full_name
        user.full_name = entry.full_name
    address = normalize_email(entry.email)
    if address != user.email and account.welcomes(user.email):
        _move_address(account, user, address, before=before, after=after)
    if not after:
        return {}
    user.full_clean(exclude=["password"])
    user.save(update_fields=["full_name", "email"])
    return {"before": before, "after": after}


def _move_address(
    account: PartnerAccount, user: User, address: str, *, before: dict, after: dict
) -> None:
    """Let the sign-in address follow inside the company's own domains.

    The directory answers for these; over any other address it has no say.
    """
    if not account.welcomes(address):
        return
    if User.objects.filter(email=address).exists():
        raise _taken()
    before["email"], after["email"] = user.email, address
    EmailAddress.objects.filter(user=user).delete()
    user.email = address


def _refuse_others_people(
    account: PartnerAccount, address: str, *, user: User | None
) -> None:
    """A directory takes nobody in who is not its company's to give (T2).

    Neither who belongs elsewhere nor who is still to come there: they accept an
    invitation. Whether another company's address has an account is not told.
    """
    if account.welcomes(address):
        return
    if user is not None and not user.is_staff:
        is_others = not user.memberships.filter(partner_account=account).exists()
    else:
        others = PartnerAccount.objects.exclude(pk=account.pk)
        is_others = others.filter(
            email_domains__contains=[address.rpartition("@")[2]]
        ).exists()
    if is_others:
        raise ValidationError(
            _(
                "This address is outside your company's domains and belongs to somebody "
                "else here. Invite the person by e-mail: they join by accepting."
            ),
            code="not_yours",
        )


def _refuse_taken_names(
    account: PartnerAccount, entry: PersonEntry, *, besides: User | None
) -> None:
    others = directory_people(account).exclude(user=besides)
    if others.filter(user_name__iexact=entry.user_name).exists():
        raise _taken()
    if entry.external_id and others.filter(external_id=entry.external_id).exists():
        raise _taken()


def _refuse_taken_group(group: DirectoryGroup) -> None:
    others = DirectoryGroup.objects.of_company(group.partner_account).current()
    others = others.exclude(pk=group.pk)
    is_taken = others.filter(display_name__iexact=group.display_name).exists()
    if group.external_id and not is_taken:
        is_taken = others.filter(external_id=group.external_id).exists()
    if is_taken:
        raise ValidationError(
            _("A group with this displayName or externalId exists already."),
            code="taken",
        )


def _taken() -> ValidationError:
    return ValidationError(
        _("Somebody with this userName, externalId or e-mail address exists already."),
        code="taken",
    )


def _set_members(
    group: DirectoryGroup, members: Collection[int]
) -> tuple[list[int], list[int]]:
    """Make the members those of the keys; return who came and who left, as people."""
    known = dict(
        directory_people(group.partner_account)
        .filter(pk__in=members)
        .values_list("pk", "user_id")
    )
    held = set(group.group_members.values_list("user_id", flat=True))
    missing = set(members) - set(known)
    if missing:
        raise ValidationError(
            _("There is no person with the id %(id)s."),
            code="no_such_member",
            params={"id": min(missing)},
        )
    wanted = set(known.values())
    added, left = sorted(wanted - held), sorted(held - wanted)
    group.group_members.filter(user__in=left).delete()
    DirectoryGroupMember.objects.bulk_create(
        DirectoryGroupMember(group=group, user_id=key) for key in added
    )
    return added, left
