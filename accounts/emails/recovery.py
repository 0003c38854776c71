"""Mails about recovery: to who asked, and to everybody who could object."""

from django.conf import settings
from django.db.models import Exists, F, OuterRef

from accounts import outbox
from accounts.companies import path_in
from accounts.models import (
    Membership,
    OutgoingEmail,
    RecoveryRequest,
    RecoveryState,
    RoleAssignment,
    User,
)

# So that the page that asks stays quick in a company of thousands.
MOST_TOLD = 200


def recovery_requested(recovery: RecoveryRequest) -> None:
    """Tell who asked which evidence is needed, and the others how to object."""
    mails = [_mail("recovery_asked", recovery, to=recovery.user)]
    mails += [_mail("recovery_notice", recovery, to=one) for one in _others(recovery)]
    outbox.queue_many(mails)


def recovery_granted(recovery: RecoveryRequest) -> None:
    """Tell the new Global admin and everybody who heard of the request."""
    mails = [_mail("recovery_granted", recovery, to=recovery.user)]
    mails += [
        _mail("recovery_granted_notice", recovery, to=one) for one in _others(recovery)
    ]
    outbox.queue_many(mails)


def recovery_declined(recovery: RecoveryRequest) -> None:
    """Tell who asked that it was declined or stopped, and by whom."""
    outbox.queue_many([_mail("recovery_declined", recovery, to=recovery.user)])


def _others(recovery: RecoveryRequest) -> list[User]:
    """The company's other people: who holds roles first, then who was here last."""
    company = recovery.partner_account
    members = Membership.objects.current().of_company(company)
    roles = RoleAssignment.objects.live().filter(
        user=OuterRef("pk"), partner_account=company
    )
    people = User.objects.filter(
        pk__in=members.values("user_id"), is_active=True
    ).exclude(pk=recovery.user_id)
    return list(
        people.annotate(has_role=Exists(roles.order_by())).order_by(
            "-has_role", F("last_login").desc(nulls_last=True), "pk"
        )[:MOST_TOLD]
    )


def _mail(name: str, recovery: RecoveryRequest, *, to: User) -> OutgoingEmail:
    company = recovery.partner_account
    page = "accounts:people" if name == "recovery_granted" else "accounts:recovery"
    path = path_in(company, page)
    return outbox.prepare(
        name,
        to=to,
        dedupe_key=f"{name}:{recovery.pk}:{to.pk}",
        context={
            "company": company,
            "recovery": recovery,
            "asking": recovery.user,
            "domains": company.email_domains,
            "is_stopped": recovery.state == RecoveryState.STOPPED,
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )
