"""What the portal writes when enrollments are not eligible any more, back, or at an end."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils.translation import gettext as _

from accounts import outbox
from accounts.companies import path_in
from accounts.dates import full_day
from accounts.models import OutgoingEmail, User
from enrollment.models import Enrollment, EnrollmentEvent
from enrollment.unmet import criteria_unmet, unmet_words

# More than this nobody reads; the Overview lists all.
MOST_ROWS = 50


def eligibility_lost(user: User, enrollments: Sequence[Enrollment]) -> OutgoingEmail:
    """Say of which enrollments requirements are not met any more, and which.

    This and the others are made in the reader's language.
    """
    notes = dict(
        EnrollmentEvent.objects.filter(
            enrollment__in=[one.pk for one in enrollments[:MOST_ROWS]],
            code=EnrollmentEvent.Code.ELIGIBILITY_LOST,
            at=F("enrollment__status_since"),
        )
        .order_by("pk")
        .values_list("enrollment", "note")
    )
    criteria = criteria_unmet(notes.values())
    return _prepared(
        "eligibility_lost",
        user,
        enrollments,
        page="why",
        said=lambda one: unmet_words(notes.get(one.pk, ""), criteria=criteria),
    )


def eligibility_regained(
    user: User, enrollments: Sequence[Enrollment]
) -> OutgoingEmail:
    """Say which enrollments are eligible again, and where they are."""
    return _prepared(
        "eligibility_regained",
        user,
        enrollments,
        said=lambda one: [one.get_status_display()],
    )


def enrollment_lapsed(user: User, enrollments: Sequence[Enrollment]) -> OutgoingEmail:
    """Say what was begun and not submitted in time, and what can be done (§6.4)."""
    return _prepared(
        "enrollment_lapsed",
        user,
        enrollments,
        said=lambda one: [
            _("the last day was %(day)s") % {"day": full_day(one.enroll_by)}
        ],
    )


def program_discontinued(
    user: User, enrollments: Sequence[Enrollment]
) -> OutgoingEmail:
    """Say that a program was discontinued, and which enrollments ended with it."""
    return _prepared(
        "program_discontinued",
        user,
        enrollments,
        said=lambda one: [],
        names_program=False,
    )


def _prepared(
    name: str,
    user: User,
    enrollments: Sequence[Enrollment],
    *,
    said,
    page: str = "",
    names_program: bool = True,
) -> OutgoingEmail:
    """Prepare one of these mails; `names_program` is of its rows."""
    first = enrollments[0]
    only = first if len(enrollments) == 1 else None
    company = first.location.partner_account
    if only is None:
        path = path_in(company, "enrollment:overview")
    elif page == "why":
        path = path_in(
            company, "enrollment:why", pk=f"{only.terms_id}-{only.location_id}"
        )
    else:
        path = path_in(company, only)
    programs = {one.terms.program_id: one.terms for one in enrollments}
    since = max(one.status_since for one in enrollments)
    context: dict[str, Any] = {
        "only": only,
        "count": len(enrollments),
        "rows": [
            {
                "location": one.location,
                "program": one.terms.program,
                "said": said(one),
            }
            for one in enrollments[:MOST_ROWS]
        ],
        "names_program": names_program,
        "more": max(len(enrollments) - MOST_ROWS, 0),
        "program": first.terms.program if len(programs) == 1 else None,
        "sender_name": first.terms.sender_name if len(programs) == 1 else "",
        "company_names": list(
            dict.fromkeys(one.location.partner_account.name for one in enrollments)
        ),
        "location_names": list(dict.fromkeys(one.location.name for one in enrollments)),
        "url": settings.PUBLIC_BASE_URL + path,
    }
    return outbox.prepare(
        name,
        to=user,
        dedupe_key=f"{name}:{first.pk}:{len(enrollments)}:{since.isoformat()}:{user.pk}",
        context=context,
        about_url=path,
    )
