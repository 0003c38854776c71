"""Incentives of past years: what became of each enrollment, year by year."""

from django.core.paginator import Paginator
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.roles import Permission
from enrollment.history import past_years
from enrollment.models import FiscalCalendar
from enrollment.rows import enrollment_rows

ROWS_PER_PAGE = 50


@requires(Permission.ENROLLMENT_VIEW)
@require_safe
def past(request):
    """List the enrollments of a year that is over; the latest unless one is chosen."""
    days = FiscalCalendar.objects.days_at(timezone.now()).days
    enrollments = past_years(request.user, company=request.company, days=days)
    numbers = sorted(
        set(
            enrollments.order_by()
            .values_list("terms__fiscal_year__number", flat=True)
            .distinct()
        ),
        reverse=True,
    )
    asked = request.GET.get("year", "")
    year = next(
        (number for number in numbers if str(number) == asked),
        next(iter(numbers), None),
    )
    page = Paginator(
        enrollments.filter(terms__fiscal_year__number=year).order_by(
            "terms__program__name", "location__name", "pk"
        ),
        ROWS_PER_PAGE,
    ).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return render(
        request,
        "enrollment/past.html",
        {
            "rows": enrollment_rows(page.object_list, user=request.user),
            "page": page,
            "query": query.urlencode(),
            "numbers": numbers,
            "year": year,
        },
    )
