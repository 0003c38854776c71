"""What the location pages show: who can enroll, what is missing, what is under way."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from accounts.models import Coverage, Location
from accounts.reach import ShownCoverage, shown_coverage
from accounts.roles import Permission
from enrollment.eligibility import GAPS, Gap, gaps_of, payout_at
from enrollment.models import Enrollment
from enrollment.states import EDITABLE, EnrollmentStatus


@dataclass(frozen=True)
class PlaceRow:
    """A location for one reader; gaps are those of enrollments the reader may change."""

    location: Location
    coverage: ShownCoverage
    readiness: list[dict]
    gaps: list[Gap]
    # Enrollments of the reader's scope: under way or in force, and in force.
    open: int
    enrolled: int

    @property
    def in_place(self) -> int:
        return sum(item["is_ok"] for item in self.readiness)


def readiness(gaps: Iterable[Gap], *, has_role: bool = True) -> list[dict]:
    """What an enrollment needs, each in place or missing."""
    missing = {gap.part for gap in gaps}
    return [
        {"label": _("role"), "is_ok": has_role},
        {"label": _("bank"), "is_ok": "bank" not in missing},
        {"label": _("tax"), "is_ok": "tax" not in missing},
        {"label": _("currency"), "is_ok": not missing & {"bank", "currency"}},
    ]


def place_rows(locations: Iterable[Location], *, user, at: datetime) -> list[PlaceRow]:
    """Return what one reader sees of locations; annotated by with_coverage().

    Bank, tax and currency are said of enrollments that the reader may change (C3, C5):
    what they lack is asked where Submit asks it. Everybody else reads of the role.
    """
    locations = list(locations)
    gaps = _gaps_by_location(locations, user=user, at=at)
    counts = {
        row["location"]: row
        for row in Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_VIEW)
        .filter(location__in=locations)
        .open()
        .order_by()
        .values("location")
        .annotate(
            total=Count("pk"),
            enrolled=Count("pk", filter=Q(status=EnrollmentStatus.ENROLLED)),
        )
    }
    rows = []
    for location in locations:
        lacking = gaps.get(location.pk)
        is_covered = location.coverage >= Coverage.ONE_PERSON
        items = readiness(lacking or (), has_role=is_covered)
        counted = counts.get(location.pk, {"total": 0, "enrolled": 0})
        rows.append(
            PlaceRow(
                location=location,
                coverage=shown_coverage(location.coverage),
                readiness=items[:1] if lacking is None else items,
                gaps=lacking or [],
                open=counted["total"],
                enrolled=counted["enrolled"],
            )
        )
    return rows


def _gaps_by_location(
    locations: list[Location], *, user, at: datetime
) -> dict[int, list[Gap]]:
    """What the enrollments to finish lack, once each; no key where there are none."""
    enrollments = list(
        Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_EDIT)
        .filter(location__in=locations, status__in=EDITABLE)
        .select_related("terms__fiscal_year__calendar")
        .order_by("pk")
    )
    payouts = payout_at(enrollments, at=at)
    codes: dict[int, set[str]] = {}
    for enrollment in enrollments:
        known = codes.setdefault(enrollment.location_id, set())
        known.update(gap.code for gap in gaps_of(payouts[enrollment.pk]))
    return {
        key: [gap for code, gap in GAPS.items() if code in known]
        for key, known in codes.items()
    }
