"""What roles add up to, in words: where one holds, and what a person can do in all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from accounts.models import (
    Coverage,
    IncentiveProgram,
    Location,
    RoleAssignment,
    scope_words,
)
from accounts.roles import Permission


@dataclass(frozen=True)
class ShownCoverage:
    """A location's coverage as a chip."""

    label: str
    turn: str
    icon: str


TURNS = {
    Coverage.NOBODY: ("stop", "alert"),
    Coverage.SOME_PROGRAMS: ("you", "alert"),
    Coverage.ONE_PERSON: ("you", "user"),
    Coverage.COVERED: ("done", "check"),
}


def shown_coverage(coverage: int) -> ShownCoverage:
    """Return a location's coverage as a chip shows it."""
    turn, icon = TURNS[Coverage(coverage)]
    return ShownCoverage(str(Coverage(coverage).label), turn, icon)


@dataclass
class Cover:
    """Where a person can do one thing, from any number of roles together."""

    everywhere: bool = False
    # By location and program; no program means all of them.
    places: dict[tuple[int, int | None], RoleAssignment] = field(default_factory=dict)

    def add(self, assignment: RoleAssignment) -> None:
        if assignment.location_id is None:
            self.everywhere = True
        self.places[assignment.location_id, assignment.program_id] = assignment

    def holds(self, location_id: int, program_id: int | None) -> bool:
        """Whether the place is covered by something at least as wide."""
        return (
            self.everywhere
            or (location_id, None) in self.places
            or (location_id, program_id) in self.places
        )

    def words(self, *, besides: "Cover | None" = None) -> list[str]:
        """List the places, leaving out what another cover holds already."""
        if besides is not None and besides.everywhere:
            return []
        if self.everywhere:
            return [scope_words(None, None)]
        places = [
            (assignment.location, assignment.program)
            for (location_id, program_id), assignment in self.places.items()
            if program_id is None or (location_id, None) not in self.places
            if besides is None or not besides.holds(location_id, program_id)
        ]
        return [scope_words(*place) for place in sorted(places, key=_by_name)]


@dataclass(frozen=True)
class Reach:
    """What a person can do with incentives, and where, in words."""

    enroll: list[str]
    # Where the person sees enrollments and can change nothing.
    look: list[str]


def reach_of(assignments: Iterable[RoleAssignment]) -> Reach:
    """Add roles up to what their holder can do, as people say it."""
    enroll, look = Cover(), Cover()
    for assignment in assignments:
        if Permission.ENROLLMENT_EDIT in assignment.permissions:
            enroll.add(assignment)
        elif Permission.ENROLLMENT_VIEW in assignment.permissions:
            look.add(assignment)
    return Reach(enroll=enroll.words(), look=look.words(besides=enroll))


def _by_name(place: tuple[Location, IncentiveProgram | None]) -> tuple[str, str, str]:
    location, program = place
    return location.name, location.partner_id, program.name if program else ""
