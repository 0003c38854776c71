"""People of companies."""

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import (
    AuditAction,
    Membership,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, roles_with
from accounts.services.audit import record_audit_event, record_of_person
from accounts.text import normalize_email


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


def refuse_unless_editing_people(by: User | None, *, account: PartnerAccount) -> None:
    """Raise ValidationError when somebody may not add or deactivate people (C1)."""
    if by is None or (by.is_staff and by.is_superuser):
        return
    editors = RoleAssignment.objects.live().filter(
        user=by, partner_account=account, role__in=roles_with(Permission.PERSON_EDIT)
    )
    if not editors.exists():
        raise ValidationError(
            _("You cannot add or deactivate people in %(company)s."),
            code="not_editing_people",
            params={"company": account.name},
        )


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
def choose_language(user: User, *, language: str) -> User:
    """Remember the language a person reads; mails follow it (R70)."""
    if user.language == language:
        return user
    before, user.language = user.language, language
    user.full_clean(exclude=["password"])
    user.save(update_fields=["language"])
    record_of_person(
        user,
        AuditAction.PERSON_CHANGED,
        by=user,
        before={"language": before},
        after={"language": language},
    )
    return user


def _belongs_elsewhere_only(user: User, account: PartnerAccount) -> bool:
    companies = set(
        user.memberships.filter(ended_at=None).values_list(
            "partner_account_id", flat=True
        )
    )
    return bool(companies) and account.pk not in companies
