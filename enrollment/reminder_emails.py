"""What the portal writes to remind of invitations whose last day comes near."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.models import MailTopic, OutgoingEmail, User
from enrollment.clock import clock_for
from enrollment.models import Enrollment

# More than this nobody reads; the Overview lists all.
MOST_ROWS = 50


def reminder(
    user: User, enrollments: Sequence[Enrollment], *, at: datetime
) -> OutgoingEmail:
    """Prepare one reminder, of one invitation or of several together.

    Made in the reader's language. `enrollments` come in the order they are listed, the
    one whose last day comes first at the beginning.
    """
    first = enrollments[0]
    only = first if len(enrollments) == 1 else None
    company = first.location.partner_account
    path = path_in(company, only) if only else path_in(company, "enrollment:overview")
    programs = {one.terms.program_id for one in enrollments}
    program = first.terms.program if len(programs) == 1 else None
    companies = dict.fromkeys(one.location.partner_account for one in enrollments)
    left = (first.enroll_by - first.terms.fiscal_year.calendar.day_at(at)).days
    # Of each last day anew: who is invited anew has another one.
    event = f"{first.pk}:{first.enroll_by}:{len(enrollments)}:{left}"
    return outbox.prepare(
        "reminder",
        to=user,
        dedupe_key=f"reminder:{event}:{user.pk}",
        context={
            "only": only,
            "rows": [
                {"enrollment": one, "clock": clock_for(one, at=at)}
                for one in enrollments[:MOST_ROWS]
            ],
            "more": max(len(enrollments) - MOST_ROWS, 0),
            "count": len(enrollments),
            "enroll_by": first.enroll_by,
            "days_left": left,
            "program": program,
            "sender_name": first.terms.sender_name if program else "",
            "company_names": [one.name for one in companies],
            "location_names": list(
                dict.fromkeys(one.location.name for one in enrollments)
            ),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
        mutes=f"{MailTopic.REMINDERS}:{program.pk if program else ''}",
    )
