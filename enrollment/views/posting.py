"""Steps of an enrollment: looked at, they lead to the enrollment they belong to."""

from accounts import posting
from enrollment.models import (
    Enrollment,
    EnrollmentBatch,
    Invitation,
    ProgramAtLocation,
)


def _page_of(
    row: Enrollment | EnrollmentBatch | Invitation | ProgramAtLocation,
) -> Enrollment | EnrollmentBatch | str:
    if isinstance(row, Enrollment | EnrollmentBatch):
        return row
    return row.enrollment or "enrollment:overview"


def leading_to(page: str):
    """Posts about no row; looked at, they lead to a page by its name."""
    return posting.posted(instead=lambda: page)


posted = posting.posted(instead=_page_of)
