"""People who leave a company: membership, roles and, if nothing is left, sessions."""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import (
    AuditAction,
    Membership,
    RoleAssignment,
    User,
)
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.people import refuse_unless_editing_people
from accounts.services.refused import noting_refusals
from accounts.services.roles import check_revoking, end_assignments


@noting_refusals
@transaction.atomic
def deactivate_person(membership: Membership, *, by: User | None) -> Membership:
    """End a membership and the roles in that company; ending it twice changes nothing.

    Nothing is deleted, and other companies of the person notice nothing. Whoever
    belongs to no company any more is signed out everywhere at the next request. `by` is
    None for the program owner and for the company's directory. Raises ValidationError
    as check_deactivating does.
    """
    lock_companies(membership.partner_account_id)
    account = membership.partner_account
    membership = Membership.objects.select_for_update(of=("self",)).get(
        pk=membership.pk
    )
    if membership.ended_at is not None:
        return membership
    membership.partner_account = account
    check_deactivating(membership, by=by)
    end_assignments(_held_roles(membership), by=by)
    membership.ended_at = timezone.now()
    membership.save(update_fields=["ended_at"])
    person = membership.user
    if not person.memberships.filter(ended_at=None).exists():
        end_sessions(person)
    record_audit_event(
        membership,
        action=AuditAction.PERSON_LEFT,
        by=by,
        partner_account=account,
        before={"person": person.pk},
    )
    return membership


def check_deactivating(membership: Membership, *, by: User | None) -> None:
    """Raise what deactivate_person would; change nothing.

    ValidationError when `by` may not change people here or may not end one of the roles
    (R5, R13; C1), and when the company would lose its last Global admin (rule 75).
    """
    account = membership.partner_account
    refuse_unless_editing_people(by, account=account)
    for assignment in _held_roles(membership):
        check_revoking(assignment, by=by)


def end_sessions(user: User) -> None:
    """Sign a person out everywhere, at the next request of each session."""
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
    user.refresh_from_db(fields=["session_epoch"])


def _held_roles(membership: Membership) -> list[RoleAssignment]:
    return list(
        RoleAssignment.objects.filter(
            user=membership.user_id,
            partner_account=membership.partner_account_id,
            revoked_at=None,
        )
        .select_related("user", "partner_account", "location", "program")
        .order_by("pk")
    )
