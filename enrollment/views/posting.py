"""Steps of an enrollment: looked at, they lead to the enrollment they belong to."""

from accounts import posting
from enrollment.models import Enrollment, Invitation, ProgramAtLocation


def _page_of(row: Enrollment | Invitation | ProgramAtLocation) -> Enrollment | str:
    enrollment = row if isinstance(row, Enrollment) else row.enrollment
    return enrollment or "enrollment:overview"


posted = posting.posted(instead=_page_of)
