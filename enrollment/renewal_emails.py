"""What the portal writes to partners about the year end: before it and after it.

Each mail is one person's, about all their locations and companies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.models import Location, MailTopic, OutgoingEmail, PartnerAccount, User
from enrollment.changes import Change
from enrollment.forecast import Forecast
from enrollment.models import Enrollment, FiscalYear, RenewalPlan
from enrollment.states import RenewalMail

# More than this nobody reads; the page lists all.
MOST_ROWS = 50
MOST_CHANGES = 5
MOST_PROGRAMS = 5
GROUPS = ("continued", "needs_you", "ended")


@dataclass(frozen=True)
class ForecastLine:
    """One enrollment that the next year puts at risk or ends."""

    enrollment: Enrollment
    forecast: Forecast
    changes: list[Change]

    @property
    def steps(self) -> list[dict[str, str]]:
        """What clears each risk: an address, or who can."""
        company = self.enrollment.location.partner_account
        return [
            {
                "reason": risk.sentence,
                "label": risk.remedy.label,
                "url": (
                    settings.PUBLIC_BASE_URL
                    + path_in(company, risk.remedy.page, **risk.remedy.parts)
                    if risk.remedy.page
                    else ""
                ),
                "sentence": risk.remedy.sentence,
            }
            for risk in self.forecast.risks
            if risk.remedy
        ]


def what_is_at_risk(
    user: User, lines: Sequence[ForecastLine], *, first_day: date, step: int
) -> OutgoingEmail:
    """Prepare what a year to come puts at risk for one person; once for each step.

    Made in the reader's language.
    """
    companies = _companies(line.enrollment.location for line in lines)
    path = path_in(companies[0], "enrollment:overview")
    return outbox.prepare(
        "renewal_forecast",
        to=user,
        dedupe_key=f"renewal_forecast:{first_day.isoformat()}:{step}:{user.pk}",
        context={
            "lines": lines[:MOST_ROWS],
            "more": max(len(lines) - MOST_ROWS, 0),
            "count": len(lines),
            "first_day": first_day,
            "last_day": first_day - timedelta(days=1),
            "names_company": len(companies) > 1,
            "company_names": [company.name for company in companies],
            "location_names": _names(line.enrollment.location for line in lines),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
        mutes=f"{MailTopic.RENEWALS}:",
    )


@dataclass(frozen=True)
class EndedLine:
    """What became of one enrollment; its page is the new year's, if it has one."""

    location: Location
    program: str
    page: Enrollment
    reasons: str = ""

    @property
    def path(self) -> str:
        return path_in(self.location.partner_account, self.page)

    @property
    def url(self) -> str:
        return settings.PUBLIC_BASE_URL + self.path


@dataclass(frozen=True)
class Summary:
    """What a year end meant for one person, as much of it as a mail lists."""

    # How many of each of GROUPS there are; the lists may be shorter.
    counts: dict[str, int]
    continued: list[EndedLine]
    needs_you: list[EndedLine]
    ended: list[EndedLine]
    # Which the program owner still looks at.
    waiting: int
    # What the new terms say otherwise, by program.
    news: list[tuple[str, list[Change]]]

    @property
    def groups(self) -> list[dict]:
        """What a mail lists, what needs the reader first."""
        return [
            {
                "name": name,
                "count": self.counts[name],
                "lines": getattr(self, name),
                "more": self.counts[name] - len(getattr(self, name)),
            }
            for name in ("needs_you", "ended", "continued")
            if self.counts[name]
        ]

    @property
    def lines(self) -> list[EndedLine]:
        return [*self.needs_you, *self.ended, *self.continued]

    @property
    def mail(self) -> RenewalMail:
        """A mail of its own where nothing goes on."""
        goes_on = self.counts["continued"] or self.counts["needs_you"] or self.waiting
        return RenewalMail.CONTINUED if goes_on else RenewalMail.ENDED


def what_became_of_it(
    user: User,
    summary: Summary,
    *,
    into: FiscalYear,
    event: str,
    locations: Sequence[Location] = (),
) -> OutgoingEmail:
    """Prepare what a year end meant for one person; `event` is told once.

    Made in the reader's language. `locations` are those the program owner still looks
    at an enrollment of.
    """
    locations = [*(line.location for line in summary.lines), *locations]
    companies = _companies(locations)
    only = summary.lines[0] if len(locations) == 1 and summary.lines else None
    path = only.path if only else path_in(companies[0], "enrollment:overview")
    first_ended = next(iter(summary.ended), None)
    return outbox.prepare(
        summary.mail.value,
        to=user,
        dedupe_key=summary_key(event, user.pk),
        context={
            "summary": summary,
            "counts": summary.counts,
            "only": only,
            "reason": first_ended.reasons if first_ended else "",
            "into": into,
            "ended_year": into.number - 1,
            "last_day": into.starts_on - timedelta(days=1),
            "names_company": len(companies) > 1,
            "company_names": [company.name for company in companies],
            "location_names": _names(locations),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def summary_key(event: str, person: int) -> str:
    """The key that a person's summary of a run, or of a decision, is queued by."""
    return f"year_end:{event}:{person}"


def what_was_undone(
    user: User, company: PartnerAccount, *, plan: RenewalPlan
) -> OutgoingEmail:
    """Prepare that a year end, of which a person was told, was undone; told once.

    Made in the reader's language.
    """
    path = path_in(company, "enrollment:overview")
    return outbox.prepare(
        "renewal_undone",
        to=user,
        dedupe_key=f"year_end_undone:{plan.pk}:{user.pk}",
        context={
            "year": plan.into,
            "company": company,
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def _companies(locations: Iterable[Location]) -> list[PartnerAccount]:
    return list(dict.fromkeys(location.partner_account for location in locations))


def _names(locations: Iterable[Location]) -> list[str]:
    return list(dict.fromkeys(location.name for location in locations))
