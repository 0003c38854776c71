"""Invitations whose last day is over, or comes later."""

from datetime import date, datetime

from django.db import transaction

from accounts.models import User
from accounts.services import (
    lock_companies,
)
from enrollment.models import (
    Enrollment,
    FiscalCalendar,
)
from enrollment.services.moving import Code, day_at, move, move_all, write_event
from enrollment.states import (
    EndReason,
    EnrollmentStatus,
)

# How many invitations lapse in one transaction.
INVITATIONS_AT_ONCE = 2000


@transaction.atomic
def lapse_invitations(*, at: datetime) -> int:
    """Expire the next invitations that were not submitted by their last day.

    What somebody began and did not send, too; what they chose is kept for when they
    are invited anew. Each program counts days in its own calendar. So many in one
    transaction, which holds their companies; call it until nothing lapses. Sources:
    domain.md §10.4 and R66.
    """
    unanswered = Enrollment.objects.unanswered(FiscalCalendar.objects.by_day(at))
    some = list(
        unanswered.order_by().values_list("pk", "location__partner_account")[
            :INVITATIONS_AT_ONCE
        ]
    )
    lock_companies(*{company for _key, company in some})
    found = unanswered.filter(pk__in=[key for key, _company in some])
    lapsed = list(found.select_for_update(of=("self",)).order_by("pk"))
    move_all(
        lapsed,
        EnrollmentStatus.EXPIRED,
        codes={one.pk: Code.LAPSED for one in lapsed},
        at=at,
        end_reason=EndReason.NOT_ANSWERED,
    )
    return len(lapsed)


def reopen_invitation(
    enrollment: Enrollment, *, code: str = Code.INVITED_ANEW, by: User, at: datetime
) -> Enrollment:
    """Move a lapsed invitation back to Invited, with a last day counted from now.

    Whoever accepted it before accepts the agreement as it is now. The part of
    invitations.invite_anew() that changes the enrollment.
    """
    enrollment.invited_at = at
    enrollment.enroll_by = enrollment.terms.last_day_for(day_at(enrollment, at))
    enrollment.end_reason = ""
    enrollment.accepted_at = None
    enrollment.accepted_by = None
    enrollment.agreement_version = ""
    enrollment.terms_version = None
    move(
        enrollment,
        EnrollmentStatus.INVITED,
        code=code,
        by=by,
        at=at,
        also=[
            "invited_at",
            "enroll_by",
            "end_reason",
            "accepted_at",
            "accepted_by",
            "agreement_version",
            "terms_version",
        ],
    )
    return enrollment


def extend_last_day(
    enrollment: Enrollment, *, until: date, note: str, by: User, at: datetime
) -> Enrollment:
    """Give an enrollment another last day; one that lapsed is open again.

    The part of extensions.answer_extension() that changes the enrollment. What was
    chosen stays.
    """
    if enrollment.is_lapsed:
        reopen_invitation(enrollment, by=by, at=at)
    enrollment.enroll_by = until
    enrollment.save(update_fields=["enroll_by"])
    write_event(
        enrollment,
        code=Code.EXTENDED,
        from_status=enrollment.status,
        by=by,
        note=note,
        at=at,
    )
    return enrollment
