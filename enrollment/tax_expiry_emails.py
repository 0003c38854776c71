"""What the portal writes to partners about tax forms that expire soon."""

from collections.abc import Sequence
from datetime import date

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.models import OutgoingEmail, User
from profiles.models import TaxProfileVersion

# More than this nobody reads; the page lists all.
MOST_ROWS = 50


def what_expires(
    user: User, versions: Sequence[TaxProfileVersion], *, last_day: date, step: int
) -> OutgoingEmail:
    """Prepare what expires for one person; once for each step. No mail holds a number.

    Made in the reader's language. `versions` come with `uses`: how many enrollments
    each of them would hold up.
    """
    companies = list(dict.fromkeys(one.profile.account for one in versions))
    only = versions[0] if len(versions) == 1 else None
    if only is None:
        path = path_in(companies[0], "profiles:tax_list")
    else:
        path = path_in(companies[0], "profiles:change_tax", pk=only.profile_id)
    return outbox.prepare(
        "tax_form_expiring",
        to=user,
        dedupe_key=f"tax_form_expiring:{last_day.isoformat()}:{step}:{user.pk}",
        context={
            "only": only,
            "rows": [_row(one) for one in versions[:MOST_ROWS]],
            "more": max(len(versions) - MOST_ROWS, 0),
            "count": len(versions),
            "uses": sum(one.uses for one in versions),
            "last_day": last_day,
            "days_left": step,
            "names_company": len(companies) > 1,
            "company_names": [company.name for company in companies],
            "location_names": list(
                dict.fromkeys(one.profile.location.name for one in versions)
            ),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def _row(version: TaxProfileVersion) -> dict:
    path = path_in(
        version.profile.account, "profiles:change_tax", pk=version.profile_id
    )
    return {
        "location": version.profile.location,
        "profile": version.profile,
        "url": settings.PUBLIC_BASE_URL + path,
    }
