"""What an import would change, as pages and commands show it: counts, samples, rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override, pgettext_lazy

from accounts.safe_csv import csv_lines
from enrollment import value_files
from enrollment.changes import amount
from enrollment.models import (
    Criterion,
    Enrollment,
    ImportEffect,
    ImportStatus,
    LineOutcome,
    RequirementCheck,
    RequirementDispute,
    StagedValue,
    ValueImport,
)
from enrollment.states import SHOWN, ShownStatus

SAMPLE = 10
MOST_UNKNOWN = 50

SHOWN_IMPORTS: dict[str, ShownStatus] = {
    status.value: ShownStatus(status.value, status.label, turn, icon)
    for status, turn, icon in (
        (ImportStatus.UPLOADED, "you", "question"),
        (ImportStatus.READING, "them", "refresh"),
        (ImportStatus.READY, "you", "check"),
        (ImportStatus.HELD, "stop", "pause"),
        (ImportStatus.APPLYING, "them", "refresh"),
        (ImportStatus.APPLIED, "done", "check"),
        (ImportStatus.UNDONE, "idle", "returned"),
        (ImportStatus.CANCELED, "idle", "ban"),
        (ImportStatus.REFUSED, "stop", "error"),
    )
}
SET_ASIDE = ShownStatus(
    "set_aside", pgettext_lazy("import", "Set aside"), "stop", "error"
)


BEING_CANCELED = ShownStatus(
    "being_canceled", gettext_lazy("Being canceled"), "them", "refresh"
)


def shown_import(value_import: ValueImport) -> ShownStatus:
    """Return how a page says where a file stands."""
    if value_import.is_being_canceled:
        return BEING_CANCELED
    if value_import.is_set_aside:
        return SET_ASIDE
    return SHOWN_IMPORTS[value_import.status]


STAGES = (
    (gettext_lazy("File"), ()),
    (gettext_lazy("Columns"), (ImportStatus.UPLOADED,)),
    (gettext_lazy("Lines"), (ImportStatus.READING,)),
    (gettext_lazy("Difference"), (ImportStatus.READY, ImportStatus.HELD)),
    (pgettext_lazy("import", "Applied"), (ImportStatus.APPLYING,)),
)


@dataclass(frozen=True)
class Stage:
    """A step on the way of a file."""

    label: Promise
    is_done: bool
    is_current: bool


def stages_of(value_import: ValueImport) -> list[Stage]:
    """Return the steps of a file, with where it is now."""
    at = next(
        (n for n, (_label, here) in enumerate(STAGES) if value_import.status in here),
        len(STAGES),
    )
    return [
        Stage(label, is_done=number < at, is_current=number == at)
        for number, (label, _here) in enumerate(STAGES)
    ]


def problem_of(value_import: ValueImport) -> str:
    """Say why a file could not be read, if it could not."""
    if not value_import.problem:
        return ""
    refusal = value_files.file_problem(
        value_import.problem["code"], **value_import.problem["params"]
    )
    return " ".join(refusal.messages)


def share_of(value_import: ValueImport) -> int:
    """Return what share of what is in force would end, in percent, rounded up."""
    ends = value_import.difference.get("ends", 0)
    in_force = value_import.difference.get("in_force", 0)
    return -(-ends * 100 // in_force) if in_force else 0


@dataclass(frozen=True)
class Part:
    """One part of a difference: what it is called, and how much of it there is."""

    code: str
    label: Promise | str
    number: int


def difference_rows(value_import: ValueImport) -> list[Part]:
    """Return the counts of a compared import, in the order they are read."""
    said = value_import.difference
    rows = [
        ("gained", _("Newly eligible"), said.get("gained", 0)),
        ("ends", _("No longer eligible"), said.get("ends", 0)),
        (
            "found_out",
            _("Not eligible, and not known before"),
            said.get("found_out", 0),
        ),
        ("ending", _("Enrollments that end"), said.get("enrollments_ending", 0)),
        ("back", _("Enrollments that come back"), said.get("enrollments_back", 0)),
        ("new", _("Values that are new"), said.get("new", 0)),
        ("changed", _("Values that change"), said.get("changed", 0)),
        ("same", _("Values as known"), said.get("same", 0)),
        ("older", _("Values older than what is known"), said.get("older", 0)),
        (
            "superseded",
            _("Lines with a later day in the file"),
            said.get("superseded", 0),
        ),
        ("repeated", _("Lines that repeat another"), said.get("repeated", 0)),
        ("rejected", _("Lines rejected"), value_import.rejected),
    ]
    return [Part(*row) for row in rows]


@dataclass(frozen=True)
class Effect:
    """A program's year at a location that becomes eligible, or not so."""

    location: Any
    program: Any
    was: str
    becomes: str
    status: ShownStatus | None


def effects_of(effects: QuerySet[ImportEffect]) -> QuerySet[ImportEffect]:
    """Return effects of an import with all that is said of them."""
    status = Enrollment.objects.filter(
        location=OuterRef("location"), terms=OuterRef("terms")
    ).values("status")
    return (
        effects.select_related("location__partner_account", "terms__program")
        .annotate(status=Subquery(status))
        .order_by("location__partner_account__name", "location__name", "pk")
    )


def shown_effects(effects) -> list[Effect]:
    """Return effects as a page shows them."""
    return [
        Effect(
            location=one.location,
            program=one.terms.program,
            was=one.get_was_display(),
            becomes=one.get_becomes_display(),
            status=SHOWN.get(one.was_status or one.status or ""),
        )
        for one in effects
    ]


def sample_effects(effects: QuerySet[ImportEffect]) -> list[Effect]:
    """Return some effects of one kind, as a page shows them."""
    return shown_effects(effects_of(effects)[:SAMPLE])


@dataclass(frozen=True)
class Rejected:
    """A rejected line as a page shows it."""

    line: int
    field: str
    reason: str
    cell: str


def sample_problems(value_import: ValueImport) -> list[Rejected]:
    """Return the first rejected lines."""
    return [
        Rejected(
            line=one.line,
            field=one.get_field_display(),
            reason=value_files.line_sentence(one.code, one.cell),
            cell=_stands_there(one.code, one.cell),
        )
        for one in value_import.problems.order_by("line")[:SAMPLE]
    ]


def _stands_there(code: str, cell: str) -> str:
    """What the file holds; of lines that contradict each other only the other is known."""
    return "" if code == "contradiction" else cell


def unknown_names(value_import: ValueImport, code: str) -> list[tuple[str, int]]:
    """Return unknown locations or criteria of a file, and how many lines name each."""
    found = (
        value_import.problems.filter(code=code)
        .values("cell")
        .annotate(lines=Count("pk"))
        .order_by("-lines", "cell")
        .values_list("cell", "lines")
    )
    return list(found[:MOST_UNKNOWN])


def problems_table(value_import: ValueImport, *, language: str) -> Iterator[bytes]:
    """Write every rejected line as a table: line, field, reason, what stands there."""
    with override(language):
        header = [_("Line"), _("Field"), _("Reason"), _("What stands there")]
        names = {name: str(label) for name, label in value_files.FIELDS.items()}
    problems = value_import.problems.order_by("line").values_list(
        "line", "field", "code", "cell"
    )

    def rows():
        for line, field, code, cell in problems.iterator(chunk_size=2000):
            with override(language):
                reason = value_files.line_sentence(code, cell)
            yield line, names.get(field, ""), reason, _stands_there(code, cell)

    return csv_lines(header, rows())


def effects_table(value_import: ValueImport, *, language: str) -> Iterator[bytes]:
    """Write everything that becomes eligible, or not so, as a table."""
    with override(language):
        header = [
            _("PartnerID"),
            _("Location"),
            _("Company"),
            _("Program"),
            _("Before"),
            _("After"),
            _("Enrollment"),
        ]
    effects = (
        value_import.effects.select_related(
            "location__partner_account", "terms__program"
        )
        .annotate(
            status=Subquery(
                Enrollment.objects.filter(
                    location=OuterRef("location"), terms=OuterRef("terms")
                ).values("status")
            )
        )
        .order_by("becomes", "pk")
    )

    def rows():
        for one in effects.iterator(chunk_size=2000):
            with override(language):
                status = SHOWN.get(one.was_status or one.status or "")
                yield (
                    one.location.partner_id,
                    one.location.name,
                    one.location.partner_account.name,
                    one.terms.program.name,
                    one.get_was_display(),
                    one.get_becomes_display(),
                    status.label if status else "",
                )

    return csv_lines(header, rows())


def values_table(value_import: ValueImport, *, language: str) -> Iterator[bytes]:
    """Write every value that is new or changes, before and after, as a table."""
    with override(language):
        header = [
            _("Line"),
            _("PartnerID"),
            _("Location"),
            _("Criterion"),
            _("Value before"),
            _("Measured on before"),
            _("Value"),
            _("Measured on"),
            _("Source"),
        ]
    rows = (
        value_import.staged.news()
        .order_by("line")
        .values_list(
            "line",
            "location__partner_id",
            "location__name",
            "criterion__code",
            "old_value",
            "old_measured_on",
            "value",
            "measured_on",
            "source",
        )
    )
    return csv_lines(header, rows.iterator(chunk_size=5000))


TABLES = {
    "problems": problems_table,
    "eligibility": effects_table,
    "values": values_table,
}


@dataclass(frozen=True)
class SampleValue:
    """A value that changes, before and after as its criterion counts."""

    line: StagedValue
    before: str
    after: str


def sample_values(value_import: ValueImport) -> list[SampleValue]:
    """Return some values that change, the ones a person looks at first."""
    staged = value_import.staged.select_related("location", "criterion")
    rows = list(staged.filter(outcome=LineOutcome.CHANGED).order_by("line")[:SAMPLE])
    if len(rows) < SAMPLE:
        new = staged.filter(outcome=LineOutcome.NEW).order_by("line")
        rows += new[: SAMPLE - len(rows)]
    return [
        SampleValue(
            one,
            before=_said(one.old_value, one.criterion),
            after=_said(one.value, one.criterion),
        )
        for one in rows
    ]


def _said(value: Decimal | None, criterion: Criterion | None) -> str:
    """A measured value in words: a number with its unit, else yes or no."""
    if value is None:
        return ""
    if criterion is not None and criterion.kind == criterion.Kind.NUMBER:
        return amount(value, criterion.unit)
    return _("yes") if value else _("no")


def template_lines() -> Iterator[bytes]:
    """Write the file that shows how a file is written."""
    rows = [("6120102", "revenue", "21340.50", "2026-11-01", "monthly report")]
    return csv_lines(value_files.FIELDS, rows)


def open_disputes() -> QuerySet[RequirementDispute]:
    """Return what partners dispute and nobody answered, the longest waiting first."""
    return (
        RequirementDispute.objects.open()
        .select_related(
            "location__partner_account",
            "terms__program",
            "requirement__criterion",
            "asked_by",
        )
        .order_by("asked_at", "pk")
    )


def dispute_rows(disputes) -> list[dict[str, Any]]:
    """Return disputes with what was known then, and what is known now."""
    disputes = list(disputes)
    asked = {(one.location_id, one.terms_id, one.requirement_id) for one in disputes}
    known = {
        (one.location_id, one.terms_id, one.requirement_id): one
        for one in RequirementCheck.objects.filter(
            location__in={location for location, _terms, _requirement in asked},
            terms__in={terms for _location, terms, _requirement in asked},
        )
    }
    rows = []
    for one in disputes:
        criterion = one.requirement.criterion if one.requirement else None
        now = known.get((one.location_id, one.terms_id, one.requirement_id))
        is_number = criterion is not None and criterion.kind == criterion.Kind.NUMBER
        rows.append(
            {
                "dispute": one,
                "name": criterion.name if criterion else _("Active partner agreement"),
                "needed": _said(one.needed, criterion) if is_number else _("yes"),
                "then": _said(one.yours, criterion),
                "yours": _said(now.value, criterion) if now else "",
                "valid_from": now.valid_from if now else None,
                "source": now.source if now else "",
            }
        )
    return rows
