"""Importing measured values: keep the file, read it, compare, hold, apply, undo.

A file comes in whole and is kept in blocks. It is read in batches, each in a transaction
of its own that also says how far it got, so that a worker that was killed is followed by
the next one. Nothing counts before the difference was shown and let through; then it
counts in one go (experience.md O3; security.md faults 37-42).
"""

import hashlib
import io
import secrets
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import (
    BooleanField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
)
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import AuditAction, IncentiveProgram, Location, User, many
from accounts.services import check_second_person, record_audit_event
from accounts.time_limits import at_length
from enrollment import value_files
from enrollment.eligibility import eligible_locations
from enrollment.models import (
    Agreement,
    Criterion,
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    FiscalYear,
    ImportBlock,
    ImportCancellation,
    ImportedCheck,
    ImportStatus,
    LineOutcome,
    MeasuredValue,
    ProgramTerms,
    Requirement,
    RequirementCheck,
    StagedValue,
    ValueImport,
)
from enrollment.services.standings import move_back, move_by_effects, moved_on
from enrollment.states import OPEN

IMPORT = "enrollment.import_values"
RELEASE = "enrollment.release_values"
# A batch: large enough that its transaction costs little, small enough to stop soon.
LINES_AT_ONCE = 100_000
# So many of them are in memory: Python reads them while PostgreSQL joins those before.
LINES_TO_JOIN = 25_000
# So many of them as text.
LINES_TO_COPY = 4_000
# So many blocks of a file are asked for at once: to ask is to wait for what is joined.
BLOCKS_AT_ONCE = 8
# So many keys: what is known and said of them has room in a statement's memory.
LOCATIONS_AT_ONCE = 1_000_000
TIME_TO_UNDO = timedelta(hours=24)
# So long the lines of a file are kept after the last step, and a file waits for one.
KEPT = timedelta(days=30)
# How far ahead values may be told to count.
FARTHEST_DAY = timedelta(days=92)
# Milliseconds that one statement on a million lines may take.
PATIENCE = 600_000


# --- The file comes in ---------------------------------------------------------------


@dataclass(frozen=True)
class KeptFile:
    """A file that came in, and whether it had come in before."""

    value_import: ValueImport
    is_known: bool


def keep_file(blocks: Iterable[bytes], *, name: str = "", by: User | None) -> KeptFile:
    """Keep a file in blocks, for its columns to be named next.

    A file that is on its way, or was applied without a rejected line, is nothing new:
    that import is returned. Raises ValidationError when it is too large, empty, or its
    beginning is no text in UTF-8.
    """
    with transaction.atomic():
        kept = _stored(blocks, name=name, by=by)
        known = (
            ValueImport.objects.in_force()
            .filter(file_hash=kept.file_hash, rejected=0)
            .exclude(pk=kept.pk)
            .order_by("-pk")
            .first()
        )
        if known is not None:
            transaction.set_rollback(True)
            return KeptFile(known, is_known=True)
        try:
            with transaction.atomic():
                kept.status = ImportStatus.UPLOADED
                kept.save(update_fields=["status"])
        except IntegrityError:
            waiting = ValueImport.objects.in_force().exclude(pk=kept.pk)
            known = waiting.filter(file_hash=kept.file_hash).order_by("-pk").first()
            transaction.set_rollback(True)
            return KeptFile(known, is_known=True)
        record_audit_event(
            kept,
            action=AuditAction.VALUES_UPLOADED,
            by=by,
            partner_account=None,
            after={
                "file_name": kept.file_name,
                "file_size": kept.file_size,
                "file_hash": kept.file_hash,
            },
        )
    return KeptFile(kept, is_known=False)


def _stored(blocks: Iterable[bytes], *, name: str, by: User | None) -> ValueImport:
    kept = ValueImport.objects.create(
        file_hash=secrets.token_hex(32),
        file_name=_plain_name(name),
        status=ImportStatus.CANCELED,
        accepted=0,
        changed=0,
        rejected=0,
        imported_by=by,
    )
    digest, size, number = hashlib.sha256(), 0, 0
    # Packed as it comes in: no block is in memory as a whole.
    block = zlib.compressobj(1)
    packed = b""
    for piece in _evenly(blocks):
        if not size:
            value_files.refuse_unreadable(piece)
        size += len(piece)
        if size > value_files.MOST_BYTES:
            raise value_files.file_problem("large")
        digest.update(piece)
        packed += block.compress(piece)
        if size % value_files.BLOCK_SIZE == 0:
            _keep_block(kept, number, packed + block.flush())
            number, packed, block = number + 1, b"", zlib.compressobj(1)
    if size % value_files.BLOCK_SIZE:
        _keep_block(kept, number, packed + block.flush())
    if not size:
        raise value_files.file_problem("empty")
    kept.file_hash = digest.hexdigest()
    kept.file_size = size
    kept.save(update_fields=["file_hash", "file_size"])
    return kept


def _keep_block(value_import: ValueImport, number: int, packed: bytes) -> None:
    ImportBlock.objects.create(value_import=value_import, number=number, packed=packed)


def _plain_name(name: str) -> str:
    """A file's own name, without what cannot be seen; it is shown, never opened."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return "".join(one for one in name if one.isprintable())[:200]


def _evenly(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut what comes in, in whatever parts, into pieces of one size, whole ones a block."""
    size = min(value_files.SAMPLE, value_files.BLOCK_SIZE)
    rest = b""
    for block in blocks:
        for start in range(0, len(block), size):
            rest += block[start : start + size]
            if len(rest) >= size:
                yield rest[:size]
                rest = rest[size:]
    if rest:
        yield rest


def _blocks(value_import: ValueImport, *, offset: int = 0) -> Iterator[bytes]:
    """Return a kept file from a byte on, a piece in memory at a time.

    Raises zlib.error where a block is not what was kept, or not all of it.
    """
    number, skip = divmod(offset, value_files.BLOCK_SIZE)
    while some := _packed_blocks(value_import, number):
        for packed in some:
            block = zlib.decompressobj()
            while piece := block.decompress(packed, value_files.PIECE):
                packed = block.unconsumed_tail
                if skip < len(piece):
                    yield piece[skip:]
                skip = max(skip - len(piece), 0)
            if not block.eof:
                raise zlib.error(
                    f"block {number} of import {value_import.pk} ends too soon"
                )
            number += 1


def _packed_blocks(value_import: ValueImport, number: int) -> list[bytes]:
    blocks = ImportBlock.objects.filter(value_import=value_import, number__gte=number)
    return list(
        blocks.order_by("number").values_list("packed", flat=True)[:BLOCKS_AT_ONCE]
    )


def first_rows(
    value_import: ValueImport, *, delimiter: str = ""
) -> value_files.FirstRows:
    """Read the beginning of a kept file, for a page to show.

    Raises ValidationError where it cannot be read.
    """
    head = b""
    for piece in _blocks(value_import):
        head += piece
        # One byte more tells that the sample is not all of the file.
        if len(head) > value_files.SAMPLE:
            break
    return value_files.first_rows(head, delimiter=delimiter)


@transaction.atomic
def name_columns(
    value_import: ValueImport,
    *,
    columns: dict[str, int],
    delimiter: str,
    by: User | None,
) -> ValueImport:
    """Say which column is which, and let the workers read the file.

    Raises ValidationError when a needed field has no column, two fields share one, the
    file has no such column, or it is being read already.
    """
    value_import = _held_alone(value_import)
    if not value_import.is_uploaded:
        raise _not_now(value_import)
    value_files.refuse_missing(columns)
    if len(set(columns.values())) < len(columns):
        raise ValidationError(
            _("Two fields have the same column. Choose another for one of them."),
            code="column_twice",
        )
    first = first_rows(value_import, delimiter=delimiter)
    if not all(0 <= index < len(first.header) for index in columns.values()):
        raise ValidationError(_("The file has no such column."), code="no_column")
    value_import.columns = {"fields": columns, "width": len(first.header)}
    value_import.delimiter = delimiter
    value_import.status = ImportStatus.READING
    _read_anew(value_import)
    return value_import


# --- Reading --------------------------------------------------------------------------


def imports_to_read() -> list[ValueImport]:
    """Return the imports whose lines are not all read and compared, the oldest first."""
    return list(ValueImport.objects.reading().to_start().order_by("pk"))


@transaction.atomic
def start_import(value_import: ValueImport) -> bool:
    """Count a start before a worker reads or writes; what comes of it sets that back.

    So that a file that fails each time, or ends its worker, is left after about three:
    of two workers that come at the same moment each counts one. False when it is left,
    another worker is at it, or it is somewhere else.
    """
    value_import = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .to_start()
        .filter(pk=value_import.pk, status=value_import.status)
        .first()
    )
    if value_import is None:
        return False
    value_import.starts += 1
    value_import.save(update_fields=["starts"])
    return True


def take_start_back(value_import: ValueImport) -> None:
    """Count a start less: what it waited for is not the file's fault."""
    started = ValueImport.objects.filter(pk=value_import.pk, starts__gt=0)
    started.update(starts=F("starts") - 1)


@transaction.atomic
def retry_import(value_import: ValueImport, *, by: User | None) -> ValueImport:
    """Let workers go on with a file that failed three times.

    Raises ValidationError when it did not.
    """
    value_import = _held_alone(value_import)
    if not value_import.is_set_aside:
        raise _not_now(value_import)
    value_import.starts = 0
    value_import.save(update_fields=["starts"])
    return value_import


@transaction.atomic
def read_next_lines(
    value_import: ValueImport, *, at: datetime | None = None
) -> ValueImport | None:
    """Read the next batch of lines; after the last one, compare.

    None when another worker is at it, or nothing is left to read. A file that turns out
    not to be CSV in UTF-8 is refused as a whole, and nothing of it is kept.
    """
    value_import = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .reading()
        .filter(pk=value_import.pk)
        .first()
    )
    if value_import is None:
        return None
    value_import.starts = 0
    if _cancel_if_given_up(value_import):
        return value_import
    if value_import.read_to >= value_import.file_size:
        _compare(value_import, at=at or timezone.now())
        return value_import
    try:
        with transaction.atomic():
            _read_batch(value_import)
    except ValidationError as error:
        _refuse(value_import, error)
    return value_import


def _read_batch(value_import: ValueImport) -> None:
    offset = value_import.read_to
    rows = value_files.Rows(
        _blocks(value_import, offset=offset),
        delimiter=value_import.delimiter,
        offset=offset,
        line=value_import.read_line,
    )
    judge = value_files.Judge(
        value_import.columns["fields"],
        width=value_import.columns["width"],
        criteria={
            one.code: value_files.KnownCriterion(
                one.pk, is_yes_no=one.kind == Criterion.Kind.YES_NO
            )
            for one in Criterion.objects.all()
        },
        today=timezone.localdate(),
    )
    accepted = count = 0
    is_over = False
    joined: Future[int] | None = None
    with (
        connection.cursor() as cursor,
        closing(rows),
        ThreadPoolExecutor(max_workers=1) as beside,
    ):
        cursor.execute(f"{IN_MEMORY}; {LOOK_UP}")
        cursor.execute(LINES)
        if not offset:
            # The first line names the columns.
            next(iter(rows), None)
        while count < LINES_AT_ONCE and not is_over:
            try:
                parts = _next_parts(judge, rows, most=LINES_AT_ONCE - count)
            finally:
                # Where both fail, what failed first: it ended the transaction.
                accepted += joined.result() if joined else 0
            _copy_parts(value_import, parts, cursor)
            count += sum(part.count for part in parts)
            is_over = parts[-1].is_last
            right = sum(part.count - len(part.wrong) for part in parts)
            joined = beside.submit(_join_lines, value_import, right, cursor)
        value_import.read_line = rows.line
        value_import.read_to = value_import.file_size if is_over else rows.offset
        accepted += joined.result()
        cursor.execute("DROP TABLE import_lines")
    value_import.accepted += accepted
    value_import.rejected += count - accepted
    value_import.save(
        update_fields=["accepted", "rejected", "read_line", "read_to", "starts"]
    )


def _next_parts(
    judge: value_files.Judge, rows: value_files.Rows, *, most: int
) -> list[value_files.Part]:
    """Read the lines that are joined next, at least one part."""
    parts: list[value_files.Part] = []
    left = min(LINES_TO_JOIN, most)
    while left and not (parts and parts[-1].is_last):
        parts.append(judge.part(rows, most=min(LINES_TO_COPY, left)))
        left -= parts[-1].count
    return parts


def _copy_parts(
    value_import: ValueImport, parts: Iterable[value_files.Part], cursor
) -> None:
    """Copy lines in, in place of those before, and remember what is wrong."""
    cursor.execute("TRUNCATE import_lines")
    for part in parts:
        cursor.copy_expert(COPY, io.BytesIO(part.right))
        _remember_problems(value_import, part.wrong)


def _join_lines(value_import: ValueImport, count: int, cursor) -> int:
    """Join so many lines with locations and what is known; return how many are right.

    In a thread beside the one that reads on, on its connection: nothing else is copied
    in meanwhile.
    """
    cursor.execute(STAGE, {"import": value_import.pk})
    if cursor.rowcount < count:
        cursor.execute(UNKNOWN, {"import": value_import.pk})
        count -= cursor.rowcount
    return count


def _remember_problems(value_import: ValueImport, wrong: Iterable[tuple]) -> None:
    rows = "".join(
        f"{value_import.pk}\t{line}\t{code}\t{value_files.LINE_PROBLEMS[code].field}\t"
        f"{cell.translate(ESCAPED)}\n"
        for line, code, cell in wrong
    )
    if rows:
        with connection.cursor() as cursor:
            cursor.copy_expert(COPY_PROBLEMS, io.StringIO(rows))


def _refuse(value_import: ValueImport, error: ValidationError) -> None:
    _forget_lines(value_import)
    value_import.blocks.all().delete()
    value_import.status = ImportStatus.REFUSED
    value_import.problem = {"code": error.code, "params": error.params or {}}
    value_import.accepted = value_import.rejected = 0
    value_import.save(
        update_fields=["status", "problem", "accepted", "rejected", "starts"]
    )


def _forget_lines(value_import: ValueImport) -> None:
    with at_length(), connection.cursor() as cursor:
        value_import.effects.all().delete()
        value_import.problems.all().delete()
        cursor.execute(
            "DELETE FROM enrollment_stagedvalue WHERE value_import_id = %s",
            [value_import.pk],
        )


def _read_anew(value_import: ValueImport) -> None:
    """Begin again with the first line: what is known is not what it was.

    Of a file that was let count it is remembered what was seen to end.
    """
    seen = value_import.difference.get("ends")
    _forget_lines(value_import)
    value_import.status = ImportStatus.READING
    value_import.reading_since = timezone.now()
    value_import.writings_known = writings()
    value_import.read_to = value_import.read_line = 0
    value_import.accepted = value_import.rejected = value_import.changed = 0
    value_import.difference = {} if seen is None else {"seen": seen}
    value_import.compared_at = None
    value_import.save()


# --- Comparing ------------------------------------------------------------------------


def _compare(value_import: ValueImport, *, at: datetime) -> None:
    """Settle lines about the same, count what would change, and hold what is too much.

    Lines are held against what was known while they were read: if another import came
    between, they are read again. What was let count before that goes on to its day,
    unless it would end more than was seen.
    """
    _wait_for_writing()
    if _is_overtaken(value_import):
        _read_anew(value_import)
        return
    seen = value_import.difference.get("seen")
    facts = {"import": value_import.pk}
    with connection.cursor() as cursor:
        cursor.execute(AT_LENGTH, [PATIENCE])
        cursor.execute(LOOK_AT_LINES)
        cursor.execute(SAME_KEY, facts)
        if cursor.rowcount:
            cursor.execute(CONTRADICTING, facts)
            contradicting = cursor.fetchall()
            cursor.execute(SETTLED, facts)
        else:
            contradicting = []
        cursor.execute("DROP TABLE import_same_key")
    outcomes = _outcomes(value_import)
    _remember_problems(
        value_import, ((line, "contradiction", cell) for line, cell in contradicting)
    )
    value_import.accepted -= len(contradicting)
    value_import.rejected += len(contradicting)
    value_import.changed = outcomes.get("new", 0) + outcomes.get("changed", 0)
    day = max(value_import.effective_on or _today(at), _today(at))
    if _cancel_if_given_up(value_import):
        return
    value_import.weighed = _known_now(on=day)
    value_import.difference = outcomes | _weigh(value_import, on=day)
    value_import.compared_at = at
    if _cancel_if_given_up(value_import):
        return
    if not value_import.changed:
        value_import.status = ImportStatus.APPLIED
        value_import.applied_at = at
        value_import.last_event = _newest_event()
        value_import.blocks.all().delete()
    elif is_too_much(value_import) and (
        seen is None or value_import.difference["ends"] > seen
    ):
        _hold(value_import)
    elif seen is None:
        value_import.status = ImportStatus.READY
    else:
        value_import.status = ImportStatus.APPLYING
    value_import.save()


def _outcomes(value_import: ValueImport) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, {"import": value_import.pk})
        return dict(cursor.fetchall())


def _hold(value_import: ValueImport) -> None:
    """Let it wait for a second operator, whoever let it through before."""
    value_import.status = ImportStatus.HELD
    value_import.released_by = value_import.released_at = None
    value_import.release_reason = ""


def _weigh(
    value_import: ValueImport, *, on: date, locations: Iterable[int] | None = None
) -> dict[str, int]:
    """Write down whom applying makes eligible on a day, or not so; return the counts.

    And whose enrollment is not where what is known puts it: it moves with the others.
    Of some locations only, or of all. What an import ends is held against what is in
    force (is_too_much).
    """
    chosen = Q() if locations is None else Q(location__among=many(locations))
    value_import.effects.filter(chosen).delete()
    news = value_import.staged.news().order_by()
    is_of_all = locations is None and value_import.changed > MOST_CHANGED
    if is_of_all:
        parts = _ranges()
    elif locations is not None:
        parts = [chosen]
    else:
        said = news.values_list("location_id", flat=True)
        parts = [Q(location__among=many(set(said)))]
    asking = (
        ProgramTerms.objects.current(on)
        .offered()
        .filter(Exists(_requirements_of(news)))
        .order_by()
    )
    terms = dict(asking.values_list("pk", "countries"))
    eligible: Counter[int] = Counter()
    for part in parts:
        eligible.update(_weigh_part(value_import, part, on=on, terms=terms))
    with connection.cursor() as cursor:
        cursor.execute(LOOK_AT_EFFECTS)
    counts = _effect_counts(value_import)
    counts["in_force"] = _in_force(
        value_import, on=on, eligible=eligible if is_of_all else None
    )
    return counts


def _ranges() -> list[Q]:
    """Return conditions for all locations, so many keys each."""
    ends = Location.objects.aggregate(first=Min("pk"), last=Max("pk"))
    return [
        Q(location__gte=key, location__lt=key + LOCATIONS_AT_ONCE)
        for key in range(ends["first"], ends["last"] + 1, LOCATIONS_AT_ONCE)
    ]


def _weigh_part(
    value_import: ValueImport, part: Q, *, on: date, terms: Mapping[int, list[str]]
) -> dict[int, int]:
    """Weigh some locations; return how many of them are eligible, by terms.

    By terms with their countries, that are few: joined, PostgreSQL would expect a few
    rows, and sort a million.
    """
    asked_for = many(terms)
    known = RequirementCheck.objects.filter(part, terms__among=asked_for)
    elsewhere = Q(location__closed_at__isnull=False)
    for key, countries in terms.items():
        if countries:
            elsewhere |= Q(terms=key) & ~Q(location__country__in=countries)
    is_here = ExpressionWrapper(~elsewhere, output_field=BooleanField())
    said = ImportedCheck.objects.filter(
        part, value_import=value_import, terms__among=asked_for
    )
    # In the order in which the statement mentions them.
    asked = {
        "now": known.measured(on)
        .annotate(is_here=is_here)
        .values_list("location_id", "terms_id", "requirement_id", "state", "is_here"),
        "then": said.as_of(on).values_list("location_id", "requirement_id", "state"),
        "lacking": known.filter(requirement=None)
        .unmet(on)
        .values_list("location_id", "terms_id"),
    }
    compiled = {
        name: checks.order_by().query.sql_with_params()
        for name, checks in asked.items()
    }
    params = [value for _sql, values in compiled.values() for value in values]
    statement = EFFECTS.format(
        rank=RANK,
        was=STATE.format(rank="was"),
        becomes=STATE.format(rank="becomes"),
        **{name: sql for name, (sql, _) in compiled.items()},
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*params, value_import.pk, list(map(str, OPEN))])
        return dict(cursor.fetchall())


def _requirements_of(news: QuerySet[StagedValue]) -> QuerySet[Requirement]:
    """What the terms of the query around it ask for that a file says something about."""
    return Requirement.objects.filter(
        terms=OuterRef("pk"), criterion__in=news.values("criterion")
    )


# What a difference follows from, beside the file: of the first, what changed since is
# told by location; once anything changed of the others, all is asked anew.
_BY_LOCATION = (Enrollment, Location)
_BY_ALL = (
    Agreement,
    Criterion,
    FiscalCalendar,
    FiscalYear,
    IncentiveProgram,
    MeasuredValue,
    ProgramTerms,
    Requirement,
)
# More than these are not asked about one by one.
MOST_CHANGED = 10_000


def _known_now(*, on: date) -> dict[str, object]:
    """Return what tells later whether a difference may have become another.

    `since` is the oldest transaction that writes in this database: what it and later
    ones write is not seen yet. The numbers of transactions are of one server; `server`
    is another one's, too, once it was started anew or the database brought back.
    """
    with connection.cursor() as cursor:
        # First what will be next, then who is at work: whoever is neither has ended.
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text")
        cursor.execute(OLDEST_AT_WORK, cursor.fetchone())
        (since,) = cursor.fetchone()
    return {
        "on": on.isoformat(),
        "server": _server(),
        "since": since,
        "rows": _rows_known(),
    }


def _server() -> str:
    with connection.cursor() as cursor:
        cursor.execute(SERVER)
        return cursor.fetchone()[0]


def _rows_known() -> dict[str, int]:
    return {model._meta.db_table: model.objects.count() for model in _BY_ALL}


def _changed_since(value_import: ValueImport, *, on: date) -> set[int] | None:
    """Return the locations whose difference may be another than it was weighed as.

    None where that may be any. PostgreSQL says of each row which transaction wrote it,
    whatever part of the portal did; a row that is gone is missed in the number of them.
    """
    weighed = value_import.weighed
    if weighed.get("on") != on.isoformat() or weighed["server"] != _server():
        return None
    if weighed["rows"] != _rows_known():
        return None
    since = weighed["since"]
    with connection.cursor() as cursor:
        for model in _BY_ALL:
            cursor.execute(WRITTEN_SINCE.format(table=model._meta.db_table), [since])
            if cursor.fetchone()[0]:
                return None
        cursor.execute(LOCATIONS_WRITTEN_SINCE, [since, since, MOST_CHANGED + 1])
        changed = {key for (key,) in cursor.fetchall()}
    return changed if len(changed) <= MOST_CHANGED else None


def _is_open() -> Exists:
    enrollments = Enrollment.objects.filter(
        location=OuterRef("location"), terms=OuterRef("terms")
    )
    return Exists(enrollments.filter(status__in=OPEN))


def _standing_counts(value_import: ValueImport) -> dict[str, int]:
    effects = value_import.effects.order_by()
    becomes = dict(effects.values_list("becomes").annotate(Count("pk")))
    ends = effects.losing().count()
    return {
        "gained": becomes.get("met", 0),
        "found_out": becomes.get("unmet", 0) - ends,
        "unknown": becomes.get("unknown", 0),
        "ends": ends,
    }


def _effect_counts(value_import: ValueImport) -> dict[str, int]:
    effects = value_import.effects
    out = Exists(
        Enrollment.objects.ineligible().filter(
            location=OuterRef("location"), terms=OuterRef("terms")
        )
    )
    return _standing_counts(value_import) | {
        "enrollments_ending": effects.filter(_is_open(), becomes="unmet").count(),
        "enrollments_back": effects.filter(out, becomes="met").count(),
    }


def _in_force(
    value_import: ValueImport, *, on: date, eligible: Mapping[int, int] | None
) -> int:
    """Count what is in force in the years where something would end, on a day.

    Whom all locations were weighed for is counted already, by terms.
    """
    losing = value_import.effects.filter(becomes="unmet").order_by()
    years = ProgramTerms.objects.filter(pk__in=losing.values("terms").distinct())
    in_force = sum(
        eligible_locations(terms, on=on).count()
        if eligible is None
        else eligible.get(terms.pk, 0)
        for terms in years.order_by("pk")
    )
    return in_force + value_import.effects.losing().exclude(was="met").count()


def hold_percent() -> int:
    """Return the share, in percent, of which an import may end no more."""
    return settings.IMPORT_HOLD_PERCENT


def is_too_much(value_import: ValueImport) -> bool:
    """Whether applying would end more than the set share of what is in force."""
    ends = value_import.difference.get("ends", 0)
    most = value_import.difference.get("in_force", 0) * hold_percent()
    return ends * 100 > most


# --- Letting through, applying --------------------------------------------------------


@transaction.atomic
def release_import(value_import: ValueImport, *, reason: str, by: User) -> ValueImport:
    """Let a held import through: a second operator, with a reason.

    Raises ValidationError without a reason, when it is not held, and when `by` brought
    the file or does not count as the second person (check_second_person).
    """
    value_import = _held_alone(value_import)
    reason = reason.strip()
    if not reason:
        raise ValidationError(
            {"reason": _("Say why this import is right as it is.")}, code="required"
        )
    if not value_import.is_held:
        raise _not_now(value_import)
    own = ValidationError(
        _("You brought this file. Somebody else has to let it through."),
        code="four_eyes",
    )
    check_second_person(
        by, rights=[RELEASE], first=[(value_import.imported_by_id, own)]
    )
    value_import.status = ImportStatus.READY
    value_import.released_by = by
    value_import.released_at = timezone.now()
    value_import.release_reason = reason[:400]
    value_import.save()
    record_audit_event(
        value_import,
        action=AuditAction.VALUES_RELEASED,
        by=by,
        partner_account=None,
        after=_told(value_import),
        reason=value_import.release_reason,
    )
    return value_import


@transaction.atomic
def apply_import(
    value_import: ValueImport,
    *,
    effective_on: date | None = None,
    by: User | None,
    at: datetime | None = None,
) -> ValueImport:
    """Let the values of a compared file count, today or on a day to come.

    A worker carries it out; asking twice changes nothing. Raises ValidationError while
    it is held or not compared, and for a day that is past or too far ahead.
    """
    value_import = _held_alone(value_import)
    today = _today(at or timezone.now())
    day = effective_on or today
    if value_import.is_applying and value_import.effective_on == day:
        return value_import
    if value_import.is_held:
        raise ValidationError(
            _("This import is held. Another operator has to let it through first."),
            code="held",
        )
    if not value_import.is_ready and not value_import.is_applying:
        raise _not_now(value_import)
    if not today <= day <= today + FARTHEST_DAY:
        raise ValidationError(
            {"effective_on": _("Choose today or a day within the next three months.")},
            code="day",
        )
    value_import.status = ImportStatus.APPLYING
    value_import.effective_on = day
    value_import.apply_by = by
    value_import.save(update_fields=["status", "effective_on", "apply_by"])
    return value_import


def imports_to_apply(*, at: datetime) -> list[ValueImport]:
    """Return the imports whose day has come, the oldest first."""
    return list(
        ValueImport.objects.applying()
        .to_start()
        .filter(effective_on__lte=_today(at))
        .order_by("pk")
    )


@transaction.atomic
def carry_out_import(
    value_import: ValueImport, *, at: datetime | None = None
) -> ValueImport | None:
    """Write a file's values and move the enrollments that follow, in one go.

    None when another worker is at it. What may have become another is weighed anew: if
    another import changed what is known, this one is read again, and counts when that is
    done; if it would end more than was seen, it waits for somebody to look.
    """
    at = at or timezone.now()
    value_import = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .applying()
        .filter(pk=value_import.pk)
        .first()
    )
    if value_import is None:
        return None
    value_import.starts = 0
    if _cancel_if_given_up(value_import):
        return value_import
    _lock_criteria()
    if _is_overtaken(value_import):
        _read_anew(value_import)
        return value_import
    with connection.cursor() as cursor:
        cursor.execute(AT_LENGTH, [PATIENCE])
    day = _today(at)
    seen = value_import.difference.get("ends", 0)
    changed = _changed_since(value_import, on=day)
    if changed is None or changed:
        value_import.difference |= _weigh(value_import, on=day, locations=changed)
    if value_import.difference["ends"] > seen and is_too_much(value_import):
        _hold(value_import)
        value_import.compared_at = at
        value_import.save()
        return value_import
    value_import.changed = _write(value_import)
    moved = move_by_effects(value_import, on=day, by=value_import.apply_by, at=at)
    value_import.difference |= moved
    value_import.status = ImportStatus.APPLIED
    value_import.applied_at = at
    value_import.last_event = _newest_event()
    value_import.save()
    value_import.blocks.all().delete()
    record_audit_event(
        value_import,
        action=AuditAction.VALUES_IMPORTED,
        by=value_import.apply_by,
        partner_account=None,
        after=_told(value_import),
        reason=value_import.release_reason,
    )
    return value_import


def _write(value_import: ValueImport) -> int:
    """Write what is new and what changed; return how many values that are.

    As two statements: to ask of each whether it is known takes longer. Where somebody
    added or removed values by hand meanwhile, it is asked.
    """
    facts = {"import": value_import.pk}
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(ADD, facts)
                written = cursor.rowcount
                cursor.execute(CHANGE, facts)
                written += cursor.rowcount
                if written == value_import.changed:
                    return written
                transaction.set_rollback(True)
        except IntegrityError:
            pass
        cursor.execute(WRITE, facts)
        return cursor.rowcount


def _lock_criteria(*, waits: bool = True) -> bool:
    """Let two imports wait for each other before they ask what is known.

    Otherwise the older file could be stored after the newer one. Who does not wait is
    told whether nobody else is at it.
    """
    criteria = Criterion.objects.select_for_update(
        of=("self",), no_key=True, skip_locked=not waits
    )
    held = list(criteria.order_by("pk").values_list("pk", flat=True))
    return waits or len(held) == Criterion.objects.count()


def _wait_for_writing() -> None:
    """Wait for an import that is writing, so that what it writes is seen."""
    with transaction.atomic():
        _lock_criteria()
        transaction.set_rollback(True)


def writings() -> int:
    """Count how often values were written or taken back, as far as it can be seen.

    Not when: an import is dated to its beginning, and its values are seen at its end.
    """
    counted = ValueImport.objects.aggregate(
        written=Count("applied_at", filter=Q(changed__gt=0)), back=Count("undone_at")
    )
    return counted["written"] + counted["back"]


def _is_overtaken(value_import: ValueImport) -> bool:
    """Whether values were written, or taken back, since this file began to be read."""
    return value_import.writings_known != writings()


@transaction.atomic
def cancel_import(value_import: ValueImport, *, by: User | None) -> ValueImport:
    """Give a file up before its values count; nothing of it is kept but its name.

    Nobody waits for a worker that is reading or comparing it: that one cancels it at its
    next step. Canceling twice changes nothing. Raises ValidationError while it is being
    applied, and once it is.
    """
    free = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(pk=value_import.pk)
        .first()
    )
    if free is not None:
        return _cancel(free, by=by)
    value_import = ValueImport.objects.get(pk=value_import.pk)
    if value_import.is_reading:
        ImportCancellation.objects.get_or_create(
            value_import=value_import, defaults={"asked_by": by}
        )
        return value_import
    if value_import.is_applying:
        raise ValidationError(
            _(
                "It is being applied just now, all in one go. When that is done it can "
                "be undone here."
            ),
            code="applying",
        )
    return _cancel(_held_alone(value_import), by=by)


def imports_to_cancel() -> list[ValueImport]:
    """Return what was given up while a worker was at it that did not see it."""
    return list(ValueImport.objects.being_canceled().order_by("pk"))


@transaction.atomic
def finish_canceling(value_import: ValueImport) -> None:
    """Cancel what was given up, unless a worker is at it: that one does."""
    value_import = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(pk=value_import.pk)
        .first()
    )
    if value_import is not None:
        _cancel_if_given_up(value_import)


def _cancel_if_given_up(value_import: ValueImport) -> bool:
    """Cancel a file that somebody gave up while it was held, if it still can be."""
    asked = ImportCancellation.objects.filter(value_import=value_import).first()
    if asked is None:
        return False
    if not value_import.can_be_canceled:
        asked.delete()
        return False
    _cancel(value_import, by=asked.asked_by)
    return True


def _cancel(value_import: ValueImport, *, by: User | None) -> ValueImport:
    if value_import.status == ImportStatus.CANCELED:
        return value_import
    if not value_import.can_be_canceled:
        raise _not_now(value_import)
    ImportCancellation.objects.filter(value_import=value_import).delete()
    _forget_lines(value_import)
    value_import.blocks.all().delete()
    value_import.status = ImportStatus.CANCELED
    value_import.save(update_fields=["status"])
    record_audit_event(
        value_import,
        action=AuditAction.VALUES_CANCELED,
        by=by,
        partner_account=None,
        after={"file_hash": value_import.file_hash},
    )
    return value_import


# --- Undoing ----------------------------------------------------------------------------


def why_not_undoing(value_import: ValueImport, *, at: datetime) -> str:
    """Say why an applied import cannot be undone at a moment; "" if it can."""
    if not value_import.is_applied or not value_import.changed:
        return _("Only an import that changed something can be undone.")
    if at > value_import.applied_at + TIME_TO_UNDO:
        return _("It was applied more than 24 hours ago.")
    if _invited_since(value_import):
        return _("Invitations went out because of it.")
    return ""


@transaction.atomic
def undo_import(
    value_import: ValueImport, *, by: User, at: datetime | None = None
) -> ValueImport:
    """Take the values of an import back, and the enrollments it moved.

    What a later import in force says stays, whether it changed a value or knew it; undoing
    that one, too, brings back what was before both, in whatever order. Enrollments that
    moved on since, or may not be where they were, stay (move_back).
    Undoing twice changes nothing. Raises ValidationError after 24 hours, when an
    invitation went out because of it, and while values are being written or taken back,
    or locations invited.
    """
    at = at or timezone.now()
    busy = ValidationError(
        _(
            "Values are being written or locations invited just now. Try again in a "
            "moment."
        ),
        code="busy",
    )
    value_import = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(pk=value_import.pk)
        .first()
    )
    if value_import is None:
        raise busy
    if value_import.is_undone:
        return value_import
    if not _lock_criteria(waits=False):
        raise busy
    reason = why_not_undoing(value_import, at=at)
    if reason:
        raise ValidationError(reason, code="too_late")
    with connection.cursor() as cursor:
        cursor.execute(AT_LENGTH, [PATIENCE])
        cursor.execute(PAST, {"import": value_import.pk})
        cursor.execute("ANALYZE import_past (location_id, criterion_id)")
        changed = [
            one for one in _applied_after(value_import) if _says_itself(one, cursor)
        ]
        cursor.execute(TAKE_BACK)
        back = cursor.fetchone()[0]
    moved = move_back(value_import, on=_today(at), by=by, at=at)
    if changed:
        _hand_over(value_import, to=changed, on=_today(at))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE import_past")
    undone = {"values_back": back, "values_kept": value_import.changed - back} | moved
    value_import.difference |= {"undone": undone}
    value_import.status = ImportStatus.UNDONE
    value_import.undone_at = at
    value_import.undone_by = by
    value_import.save()
    record_audit_event(
        value_import,
        action=AuditAction.VALUES_UNDONE,
        by=by,
        partner_account=None,
        after={"file_hash": value_import.file_hash} | undone,
    )
    return value_import


def _applied_after(value_import: ValueImport) -> list[ValueImport]:
    """Return what was applied after an import, and not undone, in order."""
    return list(ValueImport.objects.applied_after(value_import))


def _says_itself(later: ValueImport, cursor) -> bool:
    """Let a later import's lines say what they change now; whether any is another."""
    cursor.execute(SAID_SINCE, {"import": later.pk})
    return cursor.fetchone()[0] > 0


def _hand_over(value_import: ValueImport, *, to: list[ValueImport], on: date) -> None:
    """Leave to later imports what stays as this one made it: it is theirs to undo."""
    checks = RequirementCheck.objects.filter(
        location=OuterRef("location"), terms=OuterRef("terms")
    )
    is_met, is_unmet = ~Exists(checks.failing(on)), Exists(checks.unmet(on))
    stays = value_import.effects.filter(
        Q(becomes="met") & is_met
        | Q(becomes="unmet") & is_unmet
        | Q(becomes="unknown") & ~is_met & ~is_unmet,
        ~moved_on(value_import),
    )
    columns = ("pk", "location", "terms", "was", "becomes", "enrollment", "was_status")
    chosen, values = stays.order_by().values_list(*columns).query.sql_with_params()
    keys = [one.pk for one in to]
    with connection.cursor() as cursor:
        cursor.execute(HAND_OVER.format(chosen=chosen), [*values, keys, keys])
    for one in to:
        outcomes = _outcomes(one)
        changed = outcomes.get("new", 0) + outcomes.get("changed", 0)
        # What changed something once can be undone.
        one.changed = max(one.changed, changed)
        one.difference |= dict.fromkeys(LineOutcome.values, 0) | outcomes
        one.difference |= _standing_counts(one)
        one.save(update_fields=["changed", "difference"])


def _invited_since(value_import: ValueImport) -> bool:
    """Whether somebody was invited who may owe it to the import.

    By the order of writing: a campaign dates all its invitations to its beginning.
    """
    invited = EnrollmentEvent.objects.filter(
        enrollment__location=OuterRef("location"),
        enrollment__terms=OuterRef("terms"),
        code__in=(EnrollmentEvent.Code.INVITED, EnrollmentEvent.Code.INVITED_ANEW),
        pk__gt=value_import.last_event or 0,
    )
    return value_import.effects.filter(Exists(invited), becomes="met").exists()


def given_up_at(value_import: ValueImport) -> datetime | None:
    """Say when a file is canceled that waits for people and nobody goes on with."""
    if not value_import.waits_for_people:
        return None
    return value_import.last_step_at + KEPT


def forget_old_imports(*, at: datetime) -> int:
    """Forget the lines of files that were left 30 days ago; their counts stay.

    What still waited for somebody is canceled with that: a file without its lines would
    be applied, and change nothing. Returns how many were forgotten.
    """
    left = ValueImport.objects.left_since(at - KEPT).order_by("pk")
    return sum(_forget_left(one, since=at - KEPT) for one in left)


@transaction.atomic
def _forget_left(value_import: ValueImport, *, since: datetime) -> bool:
    """Forget a file's lines, unless somebody is at it or was meanwhile."""
    left = (
        ValueImport.objects.select_for_update(of=("self",), skip_locked=True)
        .left_since(since)
        .filter(pk=value_import.pk)
        .first()
    )
    if left is None:
        return False
    if left.can_be_canceled:
        cancel_import(left, by=None)
    else:
        _forget_lines(left)
        left.blocks.all().delete()
    return True


# --- All at once ---------------------------------------------------------------------


@dataclass
class ImportReport:
    """What one file brought; every line is accepted or among the errors."""

    accepted: int = 0
    changed: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """The counts in words."""
        accepted = ngettext(
            "%(count)d line was accepted.",
            "%(count)d lines were accepted.",
            self.accepted,
        ) % {"count": self.accepted}
        changed = ngettext(
            "%(count)d value is new or changed.",
            "%(count)d values are new or changed.",
            self.changed,
        ) % {"count": self.changed}
        return f"{accepted} {changed}"


@transaction.atomic
def import_measured_values(
    content: bytes, *, by: User | None, at: datetime | None = None
) -> ImportReport:
    """Read a small file of measured values and let what is right count at once.

    Columns by their names: partner_id, criterion, value, measured_on (YYYY-MM-DD),
    source. Lines that are wrong are reported with their number and reason and change
    nothing. Of two values the one measured later counts, whatever the order of the
    lines; lines that contradict each other about one day are all reported. A value
    older than the one known is kept out; one of the same day corrects it. If another
    import comes between, it is read again: once, for then it holds the criteria. Raises
    ValidationError when the file as a whole cannot be read, and when it would end more
    than the set share.
    """
    kept = keep_file([content], by=by)
    if kept.is_known:
        return ImportReport(accepted=kept.value_import.accepted)
    first = first_rows(kept.value_import)
    value_import = name_columns(
        kept.value_import, columns=first.columns, delimiter=first.delimiter, by=by
    )
    while not value_import.is_applied:
        if value_import.is_refused:
            raise value_files.file_problem(
                value_import.problem["code"], **value_import.problem["params"]
            )
        if value_import.is_reading:
            value_import = read_next_lines(value_import, at=at)
        elif value_import.is_applying:
            value_import = carry_out_import(value_import, at=at)
        else:
            value_import = apply_import(value_import, by=by, at=at)
    return ImportReport(
        accepted=value_import.accepted,
        changed=value_import.changed,
        errors=list(problem_sentences(value_import)),
    )


def problem_sentences(value_import: ValueImport) -> Iterator[str]:
    """Say of each rejected line, in order, why it was rejected."""
    problems = value_import.problems.order_by("line").values_list(
        "line", "code", "cell"
    )
    for line, code, cell in problems.iterator(chunk_size=2000):
        yield _("Line %(line)d: %(reason)s") % {
            "line": line,
            "reason": value_files.line_sentence(code, cell),
        }


# --- Small things --------------------------------------------------------------------


def _newest_event() -> int | None:
    return EnrollmentEvent.objects.aggregate(last=Max("pk"))["last"]


def _today(at: datetime) -> date:
    return timezone.localdate(at)


def _held_alone(value_import: ValueImport) -> ValueImport:
    return ValueImport.objects.select_for_update(of=("self",)).get(pk=value_import.pk)


def _not_now(value_import: ValueImport) -> ValidationError:
    return ValidationError(
        _("This import is now: %(status)s. Look at it again."),
        code="status",
        params={"status": value_import.get_status_display()},
    )


def _told(value_import: ValueImport) -> dict[str, object]:
    return {
        "accepted": value_import.accepted,
        "changed": value_import.changed,
        "rejected": value_import.rejected,
        "file_hash": value_import.file_hash,
        "difference": value_import.difference,
    }


# --- The statements ------------------------------------------------------------------

# For a million rows: none of it is written to disk to be sorted, or joined; and to compile
# what is asked of each takes longer than it saves.
IN_MEMORY = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
AT_LENGTH = f"SET LOCAL statement_timeout = %s; {IN_MEMORY}"

# Of the columns that are asked by: each costs as much again.
LOOK_AT_LINES = """
ANALYZE enrollment_stagedvalue (value_import_id, location_id, criterion_id, outcome)
"""
LOOK_AT_EFFECTS = """
ANALYZE enrollment_importeffect (value_import_id, location_id, terms_id, becomes)
"""

LINES = """
CREATE TEMPORARY TABLE import_lines (
    line integer, partner_id text, criterion_id bigint,
    value numeric(16, 2), measured_on date, source text
) ON COMMIT DROP
"""

# Each line is looked up: to read all locations for each 25 000 of them takes longer.
LOOK_UP = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"

COPY = "COPY import_lines FROM STDIN"
COPY_PROBLEMS = """
COPY enrollment_importproblem (value_import_id, line, code, field, cell) FROM STDIN
"""
# What would end a cell, or a line, of what is copied.
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

# In the order of the file: lines are often in that of their locations, and what is joined
# is in none; written by location, values go into their indexes one beside the other.
STAGE = """
INSERT INTO enrollment_stagedvalue (
    value_import_id, line, location_id, criterion_id, value, measured_on, source,
    old_value, old_measured_on, old_source, outcome
)
SELECT %(import)s, r.line, l.id, r.criterion_id, r.value, r.measured_on, r.source,
       m.value, m.measured_on, COALESCE(m.source, ''),
       CASE
           WHEN m.id IS NULL THEN 'new'
           WHEN m.measured_on > r.measured_on THEN 'older'
           WHEN m.value = r.value AND m.measured_on = r.measured_on
                AND m.source = r.source THEN 'same'
           ELSE 'changed'
       END
FROM import_lines r
JOIN accounts_location l ON l.partner_id = r.partner_id
LEFT JOIN enrollment_measuredvalue m
    ON m.location_id = l.id AND m.criterion_id = r.criterion_id
ORDER BY r.line
"""

# What was not joined, though a location came by now: no line is neither.
UNKNOWN = """
INSERT INTO enrollment_importproblem (value_import_id, line, code, field, cell)
SELECT %(import)s, r.line, CASE WHEN a.id IS NULL THEN 'location' ELSE 'global' END,
       'partner_id', r.partner_id
FROM import_lines r
LEFT JOIN enrollment_stagedvalue s
    ON s.value_import_id = %(import)s AND s.line = r.line
   AND s.line >= (SELECT min(line) FROM import_lines)
LEFT JOIN accounts_partneraccount a ON a.partner_id = r.partner_id
WHERE s.line IS NULL
ORDER BY r.line
"""

# Each that has written holds the lock of its own number; age() knows their order.
OLDEST_AT_WORK = """
SELECT number::text
FROM (
    SELECT l.transactionid AS number
    FROM pg_locks l
    LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'transactionid'
      AND l.mode = 'ExclusiveLock'
      AND COALESCE(a.datname, current_database()) = current_database()
    UNION ALL
    SELECT %s::xid
) numbers
ORDER BY age(number) DESC
LIMIT 1
"""

SERVER = """
SELECT concat_ws(' ', oid, pg_postmaster_start_time())
FROM pg_database
WHERE datname = current_database()
"""

WRITTEN_SINCE = """
SELECT EXISTS (SELECT 1 FROM {table} WHERE age(xmin) <= age(%s::xid))
"""

LOCATIONS_WRITTEN_SINCE = """
SELECT location_id FROM enrollment_enrollment WHERE age(xmin) <= age(%s::xid)
UNION
SELECT id FROM accounts_location WHERE age(xmin) <= age(%s::xid)
LIMIT %s
"""

SAME_KEY = """
CREATE TEMPORARY TABLE import_same_key ON COMMIT DROP AS
SELECT location_id, criterion_id
FROM enrollment_stagedvalue
WHERE value_import_id = %(import)s
GROUP BY location_id, criterion_id
HAVING count(*) > 1
"""

# Whichever counted, the same file in another order would bring another value.
CONTRADICTING = """
WITH said AS (
    SELECT s.line, s.location_id, s.criterion_id, s.measured_on, s.value, s.source
    FROM enrollment_stagedvalue s
    JOIN import_same_key USING (location_id, criterion_id)
    WHERE s.value_import_id = %(import)s
), torn AS (
    SELECT location_id, criterion_id, measured_on, array_agg(line ORDER BY line) AS lines
    FROM said
    GROUP BY location_id, criterion_id, measured_on
    HAVING count(DISTINCT (value, source)) > 1
), gone AS (
    DELETE FROM enrollment_stagedvalue s
    USING said, torn
    WHERE s.value_import_id = %(import)s
      AND s.line = said.line
      AND torn.location_id = said.location_id
      AND torn.criterion_id = said.criterion_id
      AND torn.measured_on = said.measured_on
    RETURNING s.line, torn.lines
)
SELECT line, array_to_string((array_remove(lines, line))[:10], ', ')
FROM gone
ORDER BY line
"""

# Of several lines the one measured last counts, the first of those that are the same.
SETTLED = """
WITH ranked AS (
    SELECT s.line, s.measured_on,
           first_value(s.line) OVER one AS first_line,
           first_value(s.measured_on) OVER one AS last_day
    FROM enrollment_stagedvalue s
    JOIN import_same_key USING (location_id, criterion_id)
    WHERE s.value_import_id = %(import)s
    WINDOW one AS (
        PARTITION BY location_id, criterion_id ORDER BY measured_on DESC, line
    )
)
UPDATE enrollment_stagedvalue s
SET outcome = CASE WHEN r.measured_on = r.last_day THEN 'repeated' ELSE 'superseded' END
FROM ranked r
WHERE s.value_import_id = %(import)s AND s.line = r.line AND r.line <> r.first_line
"""

COUNTED = """
SELECT outcome, count(*)
FROM enrollment_stagedvalue
WHERE value_import_id = %(import)s
GROUP BY outcome
"""

# What is asked of one place is asked of each: the questions are the QuerySets' own. The
# worst state of a place counts, so states are numbers here: 2 unmet, 1 unknown, 0 met.
# OFFSET 0: a state is a long question, and is looked at more than once.
# In the order of the index that it goes into.
EFFECTS = """
WITH measured AS (
    SELECT n.location_id, n.terms_id, max(n.state) AS was,
           max(COALESCE(t.state, n.state)) AS becomes,
           bool_or(t.state = 2 OR t.state <> n.state) AS is_said,
           count(t.state) > 0 AS is_about
    FROM (
        SELECT location_id, terms_id, requirement_id, {rank} AS state, is_here
        FROM ({now}) known (location_id, terms_id, requirement_id, state, is_here)
        OFFSET 0
    ) n
    LEFT JOIN (
        SELECT location_id, requirement_id, {rank} AS state
        FROM ({then}) said (location_id, requirement_id, state)
        OFFSET 0
    ) t USING (location_id, requirement_id)
    GROUP BY n.location_id, n.terms_id
    HAVING bool_and(n.is_here)
), weighed AS (
    SELECT location_id, terms_id, is_said, is_about, GREATEST(was, lacks) AS was,
           GREATEST(becomes, lacks) AS becomes
    FROM measured
    LEFT JOIN (
        SELECT location_id, terms_id, 2 AS lacks
        FROM ({lacking}) lacking (location_id, terms_id)
    ) a USING (location_id, terms_id)
), kept AS (
    INSERT INTO enrollment_importeffect
        (value_import_id, location_id, terms_id, was, becomes, was_status)
    SELECT %s, location_id, terms_id, {was}, {becomes}, ''
    FROM weighed
    LEFT JOIN enrollment_enrollment e USING (location_id, terms_id)
    WHERE is_about
      AND (was <> becomes
           OR (becomes = 2 AND is_said AND e.status = ANY (%s))
           OR (becomes = 0 AND e.status = 'ineligible'))
    ORDER BY location_id, terms_id
)
SELECT terms_id, count(*) FROM weighed WHERE was = 0 GROUP BY terms_id
"""
RANK = "CASE state WHEN 'unmet' THEN 2 WHEN 'unknown' THEN 1 ELSE 0 END"
STATE = "CASE {rank} WHEN 2 THEN 'unmet' WHEN 1 THEN 'unknown' ELSE 'met' END"

ADD = """
INSERT INTO enrollment_measuredvalue
    (location_id, criterion_id, value, measured_on, source)
SELECT location_id, criterion_id, value, measured_on, source
FROM enrollment_stagedvalue
WHERE value_import_id = %(import)s AND outcome = 'new'
"""

CHANGE = """
UPDATE enrollment_measuredvalue m
SET value = s.value, measured_on = s.measured_on, source = s.source
FROM enrollment_stagedvalue s
WHERE s.value_import_id = %(import)s
  AND s.outcome = 'changed'
  AND m.location_id = s.location_id
  AND m.criterion_id = s.criterion_id
"""

WRITE = """
INSERT INTO enrollment_measuredvalue
    (location_id, criterion_id, value, measured_on, source)
SELECT location_id, criterion_id, value, measured_on, source
FROM enrollment_stagedvalue
WHERE value_import_id = %(import)s AND outcome IN ('new', 'changed')
ON CONFLICT (location_id, criterion_id) DO UPDATE
SET value = excluded.value, measured_on = excluded.measured_on, source = excluded.source
"""

# What an import that is undone said, and what is known without it.
PAST = """
CREATE TEMPORARY TABLE import_past ON COMMIT DROP AS
SELECT location_id, criterion_id,
       value AS was_value, measured_on AS was_measured_on, source AS was_source,
       old_value AS value, old_measured_on AS measured_on, old_source AS source
FROM enrollment_stagedvalue
WHERE value_import_id = %(import)s AND outcome IN ('new', 'changed')
"""

# Of the lines of a later import: what was known before the one that is undone is what was
# known before that one's line, and what the line says is known after it.
SAID_SINCE = """
WITH said AS MATERIALIZED (
    SELECT p.location_id, p.criterion_id, l.line, l.value, l.measured_on, l.source,
           p.value AS old_value, p.measured_on AS old_measured_on,
           p.source AS old_source, l.outcome AS was_outcome,
           (l.old_value, l.old_measured_on, l.old_source)
               = (p.was_value, p.was_measured_on, p.was_source) AS follows,
           CASE
               WHEN p.value IS NULL THEN 'new'
               WHEN p.measured_on > l.measured_on THEN 'older'
               WHEN (p.value, p.measured_on, p.source)
                    = (l.value, l.measured_on, l.source) THEN 'same'
               ELSE 'changed'
           END AS outcome
    FROM import_past p
    JOIN enrollment_stagedvalue l USING (location_id, criterion_id)
    WHERE l.value_import_id = %(import)s
      AND l.outcome IN ('new', 'changed', 'same', 'older')
), lines AS (
    UPDATE enrollment_stagedvalue l
    SET old_value = said.old_value, old_measured_on = said.old_measured_on,
        old_source = said.old_source, outcome = said.outcome
    FROM said
    WHERE l.value_import_id = %(import)s AND l.line = said.line AND said.follows
), known AS (
    UPDATE import_past p
    SET value = said.value, measured_on = said.measured_on, source = said.source
    FROM said
    WHERE p.location_id = said.location_id AND p.criterion_id = said.criterion_id
      AND said.outcome <> 'older'
)
SELECT count(*) FROM said WHERE follows
"""

# What somebody else changed since is left as it is.
TAKE_BACK = """
WITH ours AS MATERIALIZED (
    SELECT m.id, p.value, p.measured_on, p.source
    FROM import_past p
    JOIN enrollment_measuredvalue m USING (location_id, criterion_id)
    WHERE (m.value, m.measured_on, m.source)
          = (p.was_value, p.was_measured_on, p.was_source)
      AND (p.value, p.measured_on, p.source)
          IS DISTINCT FROM (m.value, m.measured_on, m.source)
), gone AS (
    DELETE FROM enrollment_measuredvalue m
    USING ours
    WHERE m.id = ours.id AND ours.value IS NULL
    RETURNING m.id
), back AS (
    UPDATE enrollment_measuredvalue m
    SET value = ours.value, measured_on = ours.measured_on, source = ours.source
    FROM ours
    WHERE m.id = ours.id AND ours.value IS NOT NULL
    RETURNING m.id
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM back)
"""

# To the first later import that says something of a value that the standing owes to the
# one that is undone. Where that has an effect of its own, it begins where ours did.
HAND_OVER = """
WITH stays (id, location_id, terms_id, was, becomes, enrollment_id, was_status)
AS MATERIALIZED (
    {chosen}
), said AS (
    SELECT DISTINCT ON (stays.id) stays.*, l.value_import_id
    FROM stays
    JOIN enrollment_requirement r ON r.terms_id = stays.terms_id
    JOIN import_past p
        ON p.location_id = stays.location_id AND p.criterion_id = r.criterion_id
    JOIN enrollment_stagedvalue l
        ON l.location_id = p.location_id AND l.criterion_id = p.criterion_id
    WHERE l.value_import_id = ANY (%s::bigint[]) AND l.outcome IN ('new', 'changed')
    ORDER BY stays.id, array_position(%s::bigint[], l.value_import_id)
)
INSERT INTO enrollment_importeffect AS f
    (value_import_id, location_id, terms_id, was, becomes, enrollment_id, was_status)
SELECT value_import_id, location_id, terms_id, was, becomes, enrollment_id, was_status
FROM said
ON CONFLICT (value_import_id, location_id, terms_id) DO UPDATE
SET was = excluded.was,
    enrollment_id = COALESCE(f.enrollment_id, excluded.enrollment_id),
    was_status = CASE
        WHEN f.enrollment_id IS NULL THEN excluded.was_status
        ELSE f.was_status
    END
"""
