"""What is under way when the demo opens, so that anybody can go on with it.

Campaigns in each of their states, imports that were applied, compared and held, and what
colleagues handed over, asked for, filled in and disputed.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError

from accounts import outbox
from accounts.models import User
from enrollment import services
from enrollment.audience import count_people
from enrollment.management.demo.cast import Cast
from enrollment.management.demo.clock import first_moment
from enrollment.management.demo.files import as_csv, entries, rows
from enrollment.models import (
    HOLD,
    Campaign,
    Enrollment,
    Invitation,
    ProgramAtLocation,
    ProgramTerms,
    ValueImport,
)
from profiles import preparing

Plan = Callable[..., None]
# A scheduled campaign begins in the morning.
MORNING = time(9)
# Between a campaign's beginning and what an operator did to it.
A_WHILE = timedelta(hours=1)


def plan_campaigns(cast: Cast, *, plan: Plan, by: str) -> None:
    """Let each campaign come as far as its entry says."""
    for entry in entries("campaigns"):
        terms = cast.terms[entry["program"], "current"]
        run = partial(
            _run_campaign, terms, entry, by=cast.people[by], now=cast.clock.now
        )
        plan(entry["began"], run)


def plan_imports(cast: Cast, *, plan: Plan, by: str) -> None:
    """Let each file come in, be compared, and be applied where that is said."""
    files = defaultdict(list)
    for row in rows("imports"):
        for key in row["partner_id"].split():
            day = cast.clock.day(row["measured_on"]).isoformat()
            line = row | {"partner_id": key, "measured_on": day}
            files[line.pop("file"), line.pop("at"), line.pop("becomes")].append(line)
    for (name, offset, becomes), lines in files.items():
        bring = partial(bring_file, name, lines, becomes=becomes, by=cast.people[by])
        plan(offset, bring)


def plan_colleagues(cast: Cast, *, plan: Plan) -> None:
    """Let colleagues hand over, ask, fill in and dispute."""
    ways = {
        "hand_over": _hand_over,
        "ask": _ask,
        "prepare": _prepare,
        "dispute": _dispute,
    }
    for entry in entries("colleagues"):
        (way,) = ways.keys() & entry.keys()
        plan(entry[way], partial(ways[way], cast, entry))


def _run_campaign(
    terms: ProgramTerms, entry: dict[str, Any], *, by: User, now: datetime, at: datetime
) -> None:
    campaign = services.plan_campaign(terms, by=by)
    becomes = entry["becomes"]
    calendar = terms.fiscal_year.calendar
    tomorrow = calendar.day_at(now) + timedelta(days=1)
    facts = {
        name: entry[name]
        for name in ("words_en", "words_sv", "mails_per_hour")
        if name in entry
    }
    if becomes == "scheduled":
        facts["send_at"] = first_moment(tomorrow, calendar, hour=MORNING)
    services.change_campaign(campaign, by=by, **facts)
    campaign.refresh_from_db()
    # On the last day of a year nothing is left to send tomorrow.
    if becomes == "draft" or tomorrow > terms.fiscal_year.ends_on:
        return
    people = count_people(campaign, on=calendar.day_at(at))
    confirmed_at = at - HOLD
    services.confirm_campaign(campaign, people=people, by=by, at=confirmed_at)
    if becomes == "scheduled":
        return
    _carry_on(campaign, at=at)
    if becomes in ("paused", "stopped"):
        # What may leave in this time has left.
        with outbox.as_sent_at(at + A_WHILE):
            _carry_on(campaign, at=at + A_WHILE)
        if becomes == "paused":
            services.pause_campaign(campaign, by=by)
        else:
            services.stop_campaign(campaign, by=by, at=min(at + A_WHILE, now))


def _carry_on(campaign: Campaign, *, at: datetime) -> None:
    while services.run_next_range(campaign, at=at):
        pass


def bring_file(
    name: str,
    lines: list[dict[str, str]],
    *,
    becomes: str = "applied",
    by: User,
    at: datetime,
) -> None:
    """Let a file come in and be compared; apply it unless it is to wait.

    Raises ValidationError when something else became of it.
    """
    kept = services.keep_file([as_csv(lines)], name=name, by=by).value_import
    first = services.first_rows(kept)
    kept = services.name_columns(
        kept, columns=first.columns, delimiter=first.delimiter, by=by
    )
    while kept.is_reading:
        kept = services.read_next_lines(kept, at=at)
    ValueImport.objects.filter(pk=kept.pk).update(imported_at=at)
    if becomes == "applied" and not kept.is_applied:
        services.apply_import(kept, by=by, at=at)
        kept = services.carry_out_import(kept, at=at)
    if kept.status != becomes:
        raise ValidationError(f"{name} is {kept.status}, not {becomes}.")


def _hand_over(cast: Cast, entry: dict[str, Any], *, at: datetime) -> None:
    by = cast.people[entry["by"]]
    services.hand_over(
        Invitation.objects.filter(user=by, enrollment=_enrollment(cast, entry)),
        to=cast.people[entry["to"]],
        note=entry["note"],
        by=by,
    )


def _ask(cast: Cast, entry: dict[str, Any], *, at: datetime) -> None:
    to = cast.people[entry["to"]]
    preparing.ask_colleague(
        cast.locations[entry["location"]],
        section=entry["section"],
        email=to.email,
        full_name=to.full_name,
        language=to.language,
        note=entry["note"],
        by=cast.people[entry["by"]],
    )


def _prepare(cast: Cast, entry: dict[str, Any], *, at: datetime) -> None:
    by = cast.people[entry["by"]]
    part = services.prepare_enrollment(
        _enrollment(cast, entry), section=entry["section"], by=by
    )
    preparing.fill_part(
        part,
        country=entry["country"],
        details=entry["details"],
        note=entry["note"],
        by=by,
    )


def _dispute(cast: Cast, entry: dict[str, Any], *, at: datetime) -> None:
    terms = cast.terms[entry["program"], "current"]
    place = ProgramAtLocation.objects.get(
        terms=terms, location=cast.locations[entry["location"]]
    )
    services.dispute_requirement(
        place,
        requirement=terms.requirements.get(criterion__code=entry["criterion"]),
        text=entry["text"],
        by=cast.people[entry["by"]],
        at=at,
    )


def _enrollment(cast: Cast, entry: dict[str, Any]) -> Enrollment:
    return Enrollment.objects.get(
        location=cast.locations[entry["location"]],
        terms=cast.terms[entry["program"], "current"],
    )
