"""Chip, turn, line, step and clock agree for every status and every reader."""

import datetime
from datetime import UTC, date

from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import IncentiveProgram
from enrollment.eligibility import GAPS
from enrollment.models import Enrollment, FiscalCalendar, FiscalYear, ProgramTerms
from enrollment.states import FOLLOWS_PROFILES, SHOWN, EnrollmentStatus, Turn
from enrollment.wording import standing, standing_without_enrollment

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
BEFORE = NOW - datetime.timedelta(days=9)
MINE = (Turn.NEW, Turn.YOU)
STEPS = {"Enroll", "Continue", "Fix", "Answer"}


def terms() -> ProgramTerms:
    return ProgramTerms(
        pk=1,
        program=IncentiveProgram(name="Cloud"),
        fiscal_year=FiscalYear(
            calendar=FiscalCalendar(time_zone="UTC"),
            number=2027,
            starts_on=date(2026, 7, 1),
            ends_on=date(2027, 6, 30),
        ),
    )


@st.composite
def enrollments(draw) -> Enrollment:
    status = draw(st.sampled_from(EnrollmentStatus.values))
    was_submitted = status in FOLLOWS_PROFILES and (
        status != EnrollmentStatus.ACTION_REQUIRED or draw(st.booleans())
    )
    one = Enrollment(
        location_id=1,
        terms=terms(),
        status=status,
        status_since=BEFORE,
        enroll_by=draw(st.sampled_from([TODAY, TODAY - datetime.timedelta(days=1)])),
        accepted_at=BEFORE if was_submitted or draw(st.booleans()) else None,
        submitted_at=BEFORE if was_submitted else None,
        asked_at=draw(st.sampled_from([None, BEFORE])),
    )
    if status == EnrollmentStatus.ENROLLED:
        one.enrolled_at, one.earns_from = BEFORE, date(2026, 11, 1)
    return one


@settings(deadline=None)
@given(
    one=enrollments(),
    sees_progress=st.booleans(),
    may_edit=st.booleans(),
    is_at_risk=st.booleans(),
    codes=st.lists(st.sampled_from(sorted(GAPS)), max_size=2, unique=True),
)
def test_no_two_words_of_a_row_disagree(
    one, sees_progress, may_edit, is_at_risk, codes
):
    # R42, R69; who may change an enrollment sees its progress (accounts/roles.py).
    may_edit = may_edit and sees_progress
    seen = standing(
        one,
        sees_progress=sees_progress,
        sees_requirements=sees_progress,
        may_edit=may_edit,
        gaps=[GAPS[code] for code in codes],
        at=NOW,
        is_at_risk=is_at_risk,
    )

    assert seen.line
    assert seen.action is not None
    is_mine = seen.turn in MINE
    if seen.status.code != "at_risk":
        assert is_mine == seen.line.startswith("Your turn")
        assert is_mine == (str(seen.action.label) in STEPS)
    assert not is_mine or may_edit
    if seen.turn == Turn.THEM:
        assert seen.line.startswith("With ")
    if one.is_late(NOW) and seen.status.code != "enrolling":
        assert "the last day to enroll was" in seen.line.lower()
        assert str(seen.action.label) in {"View", "See requirements"}
    if seen.clock is not None:
        assert not one.is_late(NOW)
        assert one.is_editable
        assert one.earns_from is None
        assert may_edit
    if not sees_progress:
        assert seen.status.code not in ("action_required", "validating")
    if seen.status.code == EnrollmentStatus.DECLINED:
        can_be_taken_back = may_edit and not one.is_late(NOW)
        assert can_be_taken_back == (str(seen.action.label) == "Change your mind")


@settings(deadline=None)
@given(
    status=st.sampled_from(["open", "eligible", "ineligible"]),
    may_edit=st.booleans(),
    enroll_by=st.sampled_from([None, TODAY, TODAY - datetime.timedelta(days=1)]),
)
def test_what_cannot_be_begun_any_more_offers_no_beginning(status, may_edit, enroll_by):
    year = terms()
    year.enroll_by = enroll_by
    seen = standing_without_enrollment(
        status,
        row_id="1-1",
        terms=year,
        may_edit=may_edit,
        sees_requirements=True,
        met=1,
        total=2,
        on=TODAY,
    )

    is_over = enroll_by is not None and enroll_by < TODAY
    begins = seen.action is not None and seen.action.is_post
    assert seen.status == SHOWN[status]
    assert begins == (status == "open" and may_edit and not is_over)
    assert (seen.clock is not None) == begins
    assert seen.line
