"""Lists of the audit trail: narrowed, paged by keys, and as a table to take away."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict, StreamingHttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.forms import TrailFilterForm
from accounts.models import AuditEvent, AuditKind, Location, PartnerAccount, User
from accounts.safe_csv import csv_lines
from accounts.scoping import today
from accounts.trail import TrailRow, in_batches, trail_rows

PAGE_SIZE = 50
BATCH = 500
OLDER, NEWER = "before", "after"
# A number of an event, as far as the database counts.
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class TrailPage:
    """Some events, newest first, and the addresses of those before and after."""

    rows: list[TrailRow]
    older: str
    newer: str


def narrowed(
    events: QuerySet[AuditEvent], form: TrailFilterForm, *, people: QuerySet[User]
) -> QuerySet[AuditEvent]:
    """Return the events a form asks for; a filter that is not understood is none.

    `people` are those who can be looked for by name or address.
    """
    if not form.is_bound:
        return events
    form.is_valid()
    asked = form.cleaned_data
    if words := asked.get("person", "").split():
        for word in words:
            people = people.filter(
                Q(full_name__icontains=word) | Q(email__icontains=word)
            )
        events = events.about(people.order_by().values("pk"))
    if isinstance(place := asked.get("location"), Location):
        events = events.filter(location=place)
    elif place:
        events = events.filter(location__in=_named(Location, place))
    if company := asked.get("company"):
        events = events.filter(partner_account__in=_named(PartnerAccount, company))
    if asked.get("kind"):
        events = events.filter(action__in=AuditKind(asked["kind"]).actions)
    if since := asked.get("since"):
        events = events.filter(at__gte=_at(since, time.min))
    if until := asked.get("until"):
        events = events.filter(at__lte=_at(until, time.max))
    return events


def trail_page(
    request: HttpRequest,
    events: QuerySet[AuditEvent],
    *,
    key: str,
    company: PartnerAccount | None,
) -> TrailPage:
    """Return one page of events; `key` counts them, so that any page is as fast.

    The address carries the last number seen, never how many to skip.
    """
    older, newer = (_number(request.GET.get(name)) for name in (OLDER, NEWER))
    rows = _with_names(events)
    is_back = newer is not None
    if is_back:
        rows = rows.filter(**{f"{key}__gt": newer}).order_by(key)
    elif older is not None:
        rows = rows.filter(**{f"{key}__lt": older}).order_by(f"-{key}")
    else:
        rows = rows.order_by(f"-{key}")
    found = list(rows[: PAGE_SIZE + 1])
    has_more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    if is_back:
        found.reverse()
    has_older = bool(found) and (has_more or is_back)
    has_newer = bool(found) and (has_more if is_back else older is not None)
    query = query_of(request.GET)
    return TrailPage(
        rows=trail_rows(found, company=company),
        older=_address(query, OLDER, getattr(found[-1], key)) if has_older else "",
        newer=_address(query, NEWER, getattr(found[0], key)) if has_newer else "",
    )


def query_of(asked: QueryDict) -> list[tuple[str, str]]:
    """Return what an address asks for besides its place in the list."""
    return [
        (name, value)
        for name, values in asked.lists()
        for value in values
        if name not in (OLDER, NEWER) and value
    ]


def trail_table(
    events: QuerySet[AuditEvent],
    *,
    key: str,
    company: PartnerAccount | None,
    language: str,
) -> StreamingHttpResponse:
    """Return events as a table that is written while it is read, newest first."""
    found = _with_names(events).order_by(f"-{key}").iterator(chunk_size=BATCH)
    response = StreamingHttpResponse(
        _spoken(found, company=company, language=language),
        content_type="text/csv; charset=utf-8",
    )
    name = f"activity-{today().isoformat()}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _spoken(events: Iterator[AuditEvent], *, company, language: str) -> Iterator[bytes]:
    """The table's lines in one language, whoever is answered between them."""
    rows = in_batches(events, company=company, size=BATCH)
    lines = csv_lines(
        _header(language, company), (_cells(row, company) for row in rows)
    )
    while True:
        with translation.override(language):
            line = next(lines, None)
        if line is None:
            return
        yield line


def _header(language: str, company: PartnerAccount | None) -> list[str]:
    with translation.override(language):
        return [
            _("Time (UTC)"),
            *([] if company else [_("Company"), _("PartnerID")]),
            _("Who"),
            _("On behalf of"),
            _("What"),
            _("About"),
            _("Kind"),
            _("Before"),
            _("After"),
            _("Reason"),
            _("By way of"),
            _("From"),
        ]


def _cells(row: TrailRow, company: PartnerAccount | None) -> list[str]:
    event = row.event
    of_whom = []
    if company is None:
        account = event.partner_account
        of_whom = [account.name, account.partner_id] if account else ["", ""]
    return [
        event.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        *of_whom,
        row.who,
        row.on_behalf_of,
        row.what,
        row.about,
        row.kind,
        "; ".join(f"{one.label}: {one.before}" for one in row.changes if one.before),
        "; ".join(f"{one.label}: {one.after}" for one in row.changes if one.after),
        event.reason,
        row.came_by,
        row.came_from,
    ]


def _with_names(events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    return events.select_related(
        "actor", "on_behalf_of", "person", "location", "partner_account"
    )


def _named(model, text: str):
    """Rows by their PartnerID or a part of their name."""
    rows = model._default_manager.filter(
        Q(partner_id=text.strip()) | Q(name__icontains=text.strip())
    )
    return rows.order_by().values("pk")


def _at(day: date, moment: time) -> datetime:
    zone = timezone.get_default_timezone()
    return timezone.make_aware(datetime.combine(day, moment), zone)


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return min(int(text[:20]), LARGEST)


def _address(query: list[tuple[str, str]], name: str, number: int) -> str:
    return f"?{urlencode([*query, (name, number)])}"
