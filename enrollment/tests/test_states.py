"""The map of an enrollment's life holds together and says what people read."""

import pytest

from enrollment.states import (
    EDITABLE,
    FOLLOWS_PROFILES,
    OPEN,
    SHOWN,
    STATUS_ORDER,
    TRANSITIONS,
    VEILED,
    EnrollmentStatus,
    Turn,
    shown_status,
)
from profiles.states import IN_FORCE, USING


def test_every_status_has_an_entry_and_leads_to_statuses():
    assert set(TRANSITIONS) == set(EnrollmentStatus)
    for following in TRANSITIONS.values():
        assert following <= set(EnrollmentStatus)


def test_every_status_can_be_reached():
    reached = frozenset().union(*TRANSITIONS.values())

    assert reached == set(EnrollmentStatus)


@pytest.mark.parametrize("status", EnrollmentStatus)
def test_no_status_follows_itself(status):
    assert status not in TRANSITIONS[status]


def test_nothing_becomes_enrolled_without_being_validated_or_regaining_eligibility():
    before = {status for status in TRANSITIONS if "enrolled" in TRANSITIONS[status]}

    assert before == {EnrollmentStatus.VALIDATING, EnrollmentStatus.INELIGIBLE}


def test_a_discontinued_enrollment_stays_discontinued_until_its_year_ends():
    # R67, domain.md §10.2
    assert TRANSITIONS[EnrollmentStatus.DISCONTINUED] == {EnrollmentStatus.EXPIRED}


def test_the_named_sets_lie_inside_each_other():
    assert EDITABLE < OPEN
    assert VEILED < FOLLOWS_PROFILES < OPEN


def test_what_uses_its_profiles_is_open_and_not_declined():
    # profiles/states.py lies below and names them again.
    assert OPEN - {EnrollmentStatus.DECLINED} == USING
    assert EnrollmentStatus.ENROLLED == IN_FORCE


@pytest.mark.parametrize("status", ["action_required", "validating"])
def test_progress_is_called_enrolling_for_those_without_the_right(status):
    # R42
    assert shown_status(status, sees_progress=False).code == "enrolling"
    assert shown_status(status, sees_progress=True).code == status


@pytest.mark.parametrize("status", sorted(set(EnrollmentStatus) - VEILED))
def test_every_other_status_is_the_same_for_everybody(status):
    assert shown_status(status, sees_progress=False) == shown_status(
        status, sees_progress=True
    )


def test_everything_shown_has_words_an_icon_and_a_turn():
    assert set(SHOWN) == set(STATUS_ORDER)
    assert set(EnrollmentStatus.values) < set(SHOWN)
    for shown in SHOWN.values():
        assert str(shown.label)
        assert shown.icon
        assert shown.turn in Turn
