"""Many locations at once: what was ticked, one page to check, a result for each row."""

import time

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Case, Count, IntegerField, Value, When
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.roles import Permission
from accounts.safe_csv import csv_lines
from enrollment import services
from enrollment.batches import check_page, result_rows
from enrollment.models import TO_DO, BatchOutcome, EnrollmentBatch
from enrollment.rows import places_to_enroll
from enrollment.views.overview import asked_of, led_to_overview
from enrollment.views.posting import posted

# So long a request does rows itself; workers do the rest.
SECONDS_IN_REQUEST = 3
ROWS_PER_PAGE = 100
# What has to be looked at comes first.
ORDER = (
    BatchOutcome.REFUSED,
    BatchOutcome.ACCEPTED,
    BatchOutcome.LISTED,
    *TO_DO,
    BatchOutcome.SUBMITTED,
)


@requires(Permission.ENROLLMENT_EDIT)
@led_to_overview
def begin_batch(request):
    """Keep the rows that were ticked, or all that the address leaves, to check them."""
    asked = asked_of(request)
    places = places_to_enroll(asked.chosen.places, days=asked.terms.days.days)
    if "all" not in request.POST:
        keys = request.POST.getlist("row")[: services.MOST_TOGETHER]
        pairs = [key.split("-") for key in keys]
        pairs = [
            (int(terms), int(location))
            for terms, location in (pair for pair in pairs if len(pair) == 2)
            if terms.isdecimal() and location.isdecimal()
        ]
        places = places.filter(
            terms__in={terms for terms, _location in pairs},
            location__in={location for _terms, location in pairs},
            pk__in=[f"{terms}-{location}" for terms, location in pairs],
        )
    # One more, so that it is known whether there are.
    order = ("program_name", "location_name", "pk")
    found = list(places.order_by(*order)[: services.MOST_TOGETHER + 1])
    try:
        batch = services.begin_batch(
            request.company, places=found[: services.MOST_TOGETHER], by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("enrollment:overview")
    if len(found) > services.MOST_TOGETHER:
        messages.warning(
            request,
            _(
                "These are the first %(most)d enrollments. Submit them, then choose the rest."
            )
            % {"most": services.MOST_TOGETHER},
        )
    return redirect(batch)


@requires(Permission.ENROLLMENT_EDIT, on=EnrollmentBatch)
@require_safe
def batch(request, batch):
    """Show what was ticked, by what is missing; once it is sent, what became of it."""
    if batch.is_sent:
        return _result_page(request, batch)
    return _check_page(request, batch)


@requires(Permission.ENROLLMENT_EDIT, on=EnrollmentBatch)
@posted
def submit_batch(request, batch):
    """Submit what is ready; sent again, it only goes on with what is left."""
    try:
        batch = services.send_batch(
            batch,
            seen=request.POST.get("seen", ""),
            leaving_out=set(request.POST.getlist("leave_out")),
            agreed={
                int(key): request.POST.get(f"version-{key}", "")[:20]
                for key in request.POST.getlist("agree")
                if key.isdecimal()
            },
            by=request.user,
        )
    except ValidationError as error:
        return _check_page(request, batch, errors=error.messages, status=422)
    services.carry_on(batch, until=time.monotonic() + SECONDS_IN_REQUEST)
    return redirect(batch)


@requires(Permission.ENROLLMENT_EDIT, on=EnrollmentBatch)
@require_safe
def export_batch(request, batch):
    """Write what became of every row as a table."""
    if not batch.is_sent:
        return redirect(batch)
    with translation.override(request.LANGUAGE_CODE):
        header = [
            _("Program"),
            _("Location"),
            _("PartnerID"),
            _("Result"),
            _("Reference"),
            _("Why"),
        ]
        lines = list(csv_lines(header, _cells(batch)))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = (
        f'attachment; filename="enrollments-{batch.sent_at.date().isoformat()}.csv"'
    )
    response["Cache-Control"] = "no-store"
    return response


def _cells(batch: EnrollmentBatch):
    rows = batch.rows.visible_to(batch.by).select_related(
        "enrollment__terms__program", "enrollment__location"
    )
    for row in rows.order_by("pk"):
        one = row.enrollment
        yield [
            one.terms.program.name,
            one.location.name,
            one.location.partner_id,
            row.get_outcome_display(),
            one.reference,
            row.why,
        ]


def _check_page(request, batch, *, errors=(), status=200):
    page = check_page(batch, user=request.user)
    typed = request.POST
    context = {
        "batch": batch,
        "page": page,
        "count": sum(map(len, (page.ready, page.one, page.more, page.stopped))),
        "errors": errors,
        "has_errors": bool(errors),
        "left_out": set(typed.getlist("leave_out")),
        "agreed": set(typed.getlist("agree")),
        "is_short": len(page.ready) <= ROWS_PER_PAGE,
    }
    return render(request, "enrollment/batch_check.html", context, status=status)


def _result_page(request, batch):
    counts = dict(
        batch.rows.order_by().values_list("outcome").annotate(count=Count("pk"))
    )
    waiting = sum(counts.get(outcome, 0) for outcome in TO_DO)
    left_out = counts.get(BatchOutcome.LISTED, 0)
    rows = batch.rows.order_by(
        Case(
            *(
                When(outcome=outcome, then=Value(place))
                for place, outcome in enumerate(ORDER)
            ),
            output_field=IntegerField(),
        ),
        "pk",
    )
    page = Paginator(rows, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    total = sum(counts.values()) - left_out
    context = {
        "batch": batch,
        "page": page,
        "rows": result_rows(page.object_list, user=request.user),
        "submitted": counts.get(BatchOutcome.SUBMITTED, 0),
        "accepted": counts.get(BatchOutcome.ACCEPTED, 0),
        "refused": counts.get(BatchOutcome.REFUSED, 0),
        "left_out": left_out,
        "waiting": waiting,
        "total": total,
        "done": total - waiting,
        "look_again": 5 if waiting else 0,
    }
    return render(request, "enrollment/batch_result.html", context)
