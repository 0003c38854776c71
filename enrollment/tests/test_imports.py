"""What is measured of locations, as files bring it: each line accepted or reported."""

import datetime
import gc
import json
import re
import threading
import weakref
import zlib
from contextlib import closing
from decimal import Decimal
from itertools import permutations

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, IncentiveProgram, Location
from accounts.tests.factories import LocationFactory, UserFactory
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, wait_for
from enrollment import services, value_files
from enrollment.audience import count_people
from enrollment.differences import Part
from enrollment.history import history_of
from enrollment.models import (
    Agreement,
    Criterion,
    Enrollment,
    ImportBlock,
    ImportCancellation,
    ImportEffect,
    ImportProblem,
    MeasuredValue,
    RequirementCheck,
    StagedValue,
    ValueImport,
)
from enrollment.services import imports
from enrollment.services.invitations import hold_values
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    MeasuredValueFactory,
    RequirementFactory,
    enrolled,
)
from profiles.tests.factories import BankVersionFactory

HEADER = "partner_id,criterion,value,measured_on,source\n"


@shared
def revenue(db):
    return CriterionFactory(code="revenue", kind="number")


@shared
def direct_bill(db):
    return CriterionFactory(code="direct-bill", kind="yes_no", unit="")


def imported(*lines: str, by=None):
    content = HEADER + "".join(f"{line}\n" for line in lines)
    return services.import_measured_values(content.encode(), by=by)


def value_of(location, criterion) -> Decimal:
    return MeasuredValue.objects.get(location=location, criterion=criterion).value


# --- What is stored -----------------------------------------------------------------


def test_a_right_line_is_stored(goteborg, revenue):
    report = imported("6120102,revenue,21340.50,2024-11-01,monthly report")

    row = MeasuredValue.objects.get()
    assert (row.location, row.criterion) == (goteborg, revenue)
    assert row.value == Decimal("21340.50")
    assert row.measured_on == datetime.date(2024, 11, 1)
    assert row.source == "monthly report"
    assert (report.accepted, report.changed, report.errors) == (1, 1, [])


def test_what_stands_in_a_rejected_line_is_kept_as_it_is(goteborg, revenue):
    cell = "1\t\\N\r\n\\.\n2"

    imported(f'6120102,revenue,"{cell}",2024-11-01,')

    assert ImportProblem.objects.get().cell == cell


@pytest.mark.parametrize(
    ("word", "value"), [("yes", 1), ("no", 0), ("1", 1), ("0", 0), ("YES", 1)]
)
def test_yes_and_no_are_stored_as_one_and_zero(goteborg, direct_bill, word, value):
    imported(f"6120102,direct-bill,{word},2024-11-01,")

    assert value_of(goteborg, direct_bill) == value


def test_a_newer_value_replaces_the_known_one(goteborg, revenue):
    MeasuredValueFactory(
        location=goteborg, criterion=revenue, measured_on="2024-10-01", value=1
    )

    report = imported("6120102,revenue,2,2024-11-01,")

    assert value_of(goteborg, revenue) == 2
    assert report.changed == 1


def test_a_value_older_than_the_known_one_is_kept_out(goteborg, revenue):
    MeasuredValueFactory(
        location=goteborg, criterion=revenue, measured_on="2024-11-01", value=1
    )

    report = imported("6120102,revenue,2,2024-10-31,")

    assert value_of(goteborg, revenue) == 1
    assert (report.accepted, report.changed) == (1, 0)


def test_a_correction_of_the_same_day_counts(goteborg, revenue):
    imported("6120102,revenue,1,2024-11-01,")

    imported("6120102,revenue,2,2024-11-01,")

    assert value_of(goteborg, revenue) == 2


@pytest.mark.parametrize(("days", "value"), [(("01", "02"), 2), (("02", "01"), 1)])
def test_of_two_lines_the_later_measured_counts_in_whatever_order(
    goteborg, revenue, days, value
):
    first, second = days

    imported(
        f"6120102,revenue,1,2024-11-{first},", f"6120102,revenue,2,2024-11-{second},"
    )

    assert value_of(goteborg, revenue) == value


def test_lines_that_contradict_each_other_are_all_refused(goteborg, malmo, revenue):
    report = imported(
        "6120102,revenue,1,2024-11-01,",
        "6120103,revenue,7,2024-11-01,",
        "6120102,revenue,2,2024-11-01,",
        "6120102,revenue,much,2024-11-01,",
    )

    assert report.errors == [
        "Line 2: the value differs from that of the same day on line 4.",
        "Line 4: the value differs from that of the same day on line 2.",
        "Line 5: the value must be a number like 21340.50.",
    ]
    assert MeasuredValue.objects.get().location == malmo
    assert (report.accepted, report.changed) == (1, 1)


def test_a_line_that_is_there_twice_is_no_contradiction(goteborg, revenue):
    report = imported(*["6120102,revenue,1,2024-11-01,report"] * 2)

    assert (report.accepted, report.changed, report.errors) == (2, 1, [])


def test_a_file_in_another_order_brings_nothing_new(goteborg, malmo, revenue):
    # Fault 42 of security.md
    lines = ["6120102,revenue,1,2024-11-01,a", "6120102,revenue,2,2024-11-02,b"]
    lines += ["6120103,revenue,3,2024-11-01,a", "6120103,revenue,3,2024-11-01,a"]
    imported(*lines)

    assert imported(*reversed(lines)).changed == 0


def test_the_same_file_again_changes_nothing(goteborg, revenue, mina):
    imported("6120102,revenue,1,2024-11-01,report", by=mina)

    report = imported("6120102,revenue,1,2024-11-01,report", by=mina)

    assert (report.accepted, report.changed) == (1, 0)
    assert AuditEvent.objects.filter(action="values_imported").count() == 1


def test_the_audit_trail_remembers_who_imported_how_much(goteborg, revenue, mina):
    imported("6120102,revenue,1,2024-11-01,", "9999999,revenue,1,2024-11-01,", by=mina)

    event = AuditEvent.objects.get(action="values_imported")
    assert event.actor == mina
    kept = ValueImport.objects.get()
    assert event.after == {
        "accepted": 1,
        "changed": 1,
        "rejected": 1,
        "file_hash": kept.file_hash,
        "difference": kept.difference,
    }
    assert (event.object_type, event.object_id) == (
        "enrollment.valueimport",
        str(kept.pk),
    )
    assert (kept.imported_by, kept.changed) == (mina, 1)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffpartner_id,criterion,value,measured_on\n6120102,revenue,1,2024-11-01\n",
        "Value,Measured_On,Criterion,Partner_ID\n1,2024-11-01,revenue,6120102\n",
        (
            "partner_id,criterion,value,measured_on,source\r\n"
            '6120102,revenue,1,2024-11-01,"report, monthly"\r\n\r\n'
        ),
    ],
    ids=["byte order mark", "columns in another order", "Windows lines and quotes"],
)
def test_files_as_spreadsheets_write_them_are_read(goteborg, revenue, content):
    report = services.import_measured_values(content.encode(), by=None)

    assert report.errors == []
    assert value_of(goteborg, revenue) == 1


# --- What is rejected, line by line ---------------------------------------------------


def test_wrong_lines_are_named_and_right_ones_stored(goteborg, malmo, revenue):
    report = imported(
        "6120102,revenue,1,2024-11-01,",
        "0000000,revenue,1,2024-11-01,",
        "",
        "6120103,revenue,much,2024-11-01,",
    )

    assert report.errors == [
        "Line 3: no location has the PartnerID 0000000.",
        "Line 5: the value must be a number like 21340.50.",
    ]
    assert list(MeasuredValue.objects.values_list("location", flat=True)) == [
        goteborg.pk
    ]
    assert (report.accepted, report.changed) == (1, 1)


def tomorrow(days: int) -> str:
    return (timezone.localdate() + datetime.timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        # R17
        (
            "5012001,revenue,1,2024-11-01,",
            "5012001 is a global PartnerID; give a location's.",
        ),
        (",revenue,1,2024-11-01,", "no location has the PartnerID ."),
        ("6120102,profit,1,2024-11-01,", "there is no criterion profit."),
        (
            "6120102,revenue,,2024-11-01,",
            "the value must be a number like 21340.50.",
        ),
        (
            '6120102,revenue,"21,340",2024-11-01,',
            "the value must be a number like 21340.50.",
        ),
        (
            "6120102,revenue,NaN,2024-11-01,",
            "the value must be a number like 21340.50.",
        ),
        (
            "6120102,revenue,1e9,2024-11-01,",
            "the value must be a number like 21340.50.",
        ),
        # Rounded up, it would meet a requirement of 25 000.
        (
            "6120102,revenue,24999.999,2024-11-01,",
            "the value must be a number like 21340.50.",
        ),
        (
            "6120102,revenue,100000000000000,2024-11-01,",
            "the value must be a number like 21340.50.",
        ),
        ("6120102,direct-bill,2,2024-11-01,", "the value must be yes or no."),
        (
            "6120102,revenue,1,01/11/2024,",
            "the day must be written like 2026-11-20.",
        ),
        ("6120102,revenue,1,20241101,", "the day must be written like 2026-11-20."),
        ("6120102,revenue,1,2024-02-30,", "the day must be written like 2026-11-20."),
        ("6120102,revenue,1", "the day must be written like 2026-11-20."),
        (
            "6120102,revenue,21,340,2024-11-01,",
            "there are more cells than columns; put quotes around commas.",
        ),
        (
            f"6120102,revenue,1,2024-11-01,{'x' * 81}",
            "Shorten this to 80 characters. It has 81.",
        ),
        (
            "6120102,revenue,1,2024-11-01,\u202ereport",
            (
                "Remove the invisible character. Type the text again instead of "
                "pasting it."
            ),
        ),
    ],
)
def test_a_wrong_line_says_what_is_wrong(goteborg, revenue, direct_bill, line, reason):
    report = imported(line)

    assert report.errors == [f"Line 2: {reason}"]
    assert not MeasuredValue.objects.exists()


def test_a_day_in_the_future_is_refused_because_it_would_keep_later_ones_out(
    goteborg, revenue
):
    report = imported(
        f"6120102,revenue,1,{tomorrow(2)},", f"6120102,revenue,2,{tomorrow(1)},"
    )

    assert report.errors == ["Line 2: the day is in the future."]
    # Where it was measured it may be tomorrow already.
    assert value_of(goteborg, revenue) == 2


def test_the_biggest_value_the_database_holds_is_stored(goteborg, revenue):
    imported("6120102,revenue,-99999999999999.99,2024-11-01,")

    assert value_of(goteborg, revenue) == Decimal("-99999999999999.99")


# --- What is rejected as a whole ---------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"",
            "The file is empty.",
        ),
        (
            b"\xef\xbb\xbf \n",
            "The file is empty.",
        ),
        (
            b"a,b\n",
            (
                "The first line must name the columns; missing: partner_id, criterion, "
                "value, measured_on."
            ),
        ),
        (
            b"partner_id,value\n",
            "The first line must name the columns; missing: criterion, measured_on.",
        ),
        (
            HEADER.encode() + "Malmö".encode("latin-1"),
            (
                "The file looks like Windows-1252 (Latin-1), not UTF-8. Save it as CSV "
                "UTF-8 and try again."
            ),
        ),
        (
            HEADER.encode() + b"\0",
            "The file has binary content. It must be CSV text.",
        ),
        (
            HEADER.encode() + b'6120102,"revenue"x,1,2024-11-01,\n',
            "Line 2 cannot be read as CSV: check its quotes.",
        ),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(
    goteborg, revenue, content, sentence
):
    with pytest.raises(ValidationError) as refusal:
        services.import_measured_values(content, by=None)

    assert refusal.value.messages == [sentence]


def test_a_line_that_breaks_the_file_takes_the_lines_before_back(goteborg, revenue):
    with pytest.raises(ValidationError):
        imported("6120102,revenue,1,2024-11-01,", '6120102,"revenue"x,1,2024-11-01,')

    assert not MeasuredValue.objects.exists()


def test_a_file_that_is_too_large_is_refused(goteborg, monkeypatch):
    monkeypatch.setattr(value_files, "MOST_BYTES", 10)

    with pytest.raises(ValidationError, match="larger than 200 MB"):
        imported("6120102,revenue,1,2024-11-01,")


@pytest.mark.parametrize(
    ("accepted", "changed", "sentence"),
    [
        (1, 1, "1 line was accepted. 1 value is new or changed."),
        (2, 0, "2 lines were accepted. 0 values are new or changed."),
    ],
)
def test_a_report_says_what_the_file_brought(accepted, changed, sentence):
    report = services.ImportReport(accepted=accepted, changed=changed)

    assert report.sentence == sentence


# --- Read in batches ----------------------------------------------------------------------


def kept(content: bytes | str, *, by=None, columns=None):
    """A file that came in and whose columns are named."""
    content = content.encode() if isinstance(content, str) else content
    one = services.keep_file([content], name="values.csv", by=by).value_import
    first = services.first_rows(one)
    return services.name_columns(
        one, columns=columns or first.columns, delimiter=first.delimiter, by=by
    )


def read(one):
    """Read a kept file to the end, and compare it."""
    while one.is_reading:
        one = services.read_next_lines(one)
    return one


def compared(*lines: str, by=None):
    return read(kept(HEADER + "".join(f"{line}\n" for line in lines), by=by))


def applied(*lines: str, by=None, at=None):
    one = services.apply_import(compared(*lines, by=by), by=by, at=at)
    return services.carry_out_import(one, at=at)


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a mark"])
@pytest.mark.parametrize("size", [7, 1024], ids=["small blocks", "one block"])
def test_a_file_is_read_alike_in_whatever_pieces(
    goteborg, malmo, revenue, monkeypatch, at_once, mark, size
):
    monkeypatch.setattr(imports, "LINES_AT_ONCE", at_once)
    monkeypatch.setattr(imports, "LINES_TO_COPY", 2)
    monkeypatch.setattr(value_files, "BLOCK_SIZE", size)
    monkeypatch.setattr(value_files, "refuse_unreadable", lambda head: None)
    content = (
        mark
        + (
            "partner_id;criterion;value;measured_on;source\r\n"
            "6120102;revenue;1;2024-11-01;\r\n"
            '6120103;revenue;2;2024-11-01;"a;b"\r\n'
            "6120102;revenue;3;2024-11-02;\r\n"
            "6120102;revenue;å;2024-11-02;"
        ).encode()
    )
    one = services.keep_file([content], by=None).value_import
    columns = value_files.recognized(
        ["partner_id", "criterion", "value", "measured_on", "source"]
    )
    ValueImport.objects.filter(pk=one.pk).update(
        status="reading",
        delimiter=";",
        columns={"fields": columns, "width": 5},
        reading_since=timezone.now(),
    )
    one = read(ValueImport.objects.get(pk=one.pk))

    assert (one.accepted, one.rejected, one.read_line) == (3, 1, 5)
    assert list(one.staged.values_list("line", "outcome")) == [
        (2, "superseded"),
        (3, "new"),
        (4, "new"),
    ]
    assert [(p.line, p.field, p.cell) for p in one.problems.all()] == [
        (5, "value", "å")
    ]


def test_what_copying_takes_for_a_sign_is_kept_as_it_stands(goteborg, revenue):
    one = compared(
        r"6120102,revenue,1,2024-11-01,C:\new\.",
        r"\N,revenue,1,2024-11-01,",
        r"61\t20102,revenue,1,2024-11-01,\x",
    )

    assert one.staged.get().source == r"C:\new\."
    assert [problem.cell for problem in one.problems.all()] == [r"\N", r"61\t20102"]


def test_a_long_row_is_shown_though_a_piece_ends_amid_a_letter(db):
    line = "6120102,revenue,1,2024-11-01,"
    before = HEADER + line
    source = "x" * (value_files.PIECE - 1 - len(before)) + "å"
    one = services.keep_file([f"{before}{source}\n".encode()], by=None).value_import

    assert services.first_rows(one).rows == [[*line.split(",")[:4], "x" * 80]]


def test_of_a_file_larger_than_the_sample_no_row_is_shown_cut_off(db, monkeypatch):
    monkeypatch.setattr(value_files, "SAMPLE", value_files.PIECE)
    monkeypatch.setattr(value_files, "BLOCK_SIZE", 2 * value_files.PIECE)
    long = "x" * (value_files.PIECE // 2)
    content = f"{HEADER}1,a,1,2024-11-01,{long}\n2,a,1,2024-11-01,{long}\n"
    one = services.keep_file([content.encode()], by=None).value_import

    assert [row[0] for row in services.first_rows(one).rows] == ["1"]


def test_a_block_that_is_not_all_there_is_not_read_as_a_whole_one(goteborg, revenue):
    one = kept(HEADER + "6120102,revenue,1,2024-11-01,\n" * 9)
    block = ImportBlock.objects.get()
    block.packed = block.packed[:-9]
    block.save()

    with pytest.raises(zlib.error, match="ends too soon"):
        read(one)

    assert not one.staged.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEADER.encode("utf-16"), "looks like UTF-16"),
        (HEADER.encode("utf-16-le"), "looks like UTF-16"),
        (HEADER.encode("utf-32"), "looks like UTF-32"),
        (HEADER.encode() + "Malmö;Åre".encode("mac-roman"), "looks like Mac Roman"),
        (HEADER.encode() + "Malmö;Åre".encode("cp850"), "looks like Mac Roman"),
        (HEADER.encode() + "東京 大阪".encode("shift_jis"), "looks like Shift JIS"),
        (HEADER.encode() + b"6120102,\x81\xe5\xe4\xf6\xe5", "is not UTF-8"),
        (HEADER.encode() + b'6120102,"revenue,1\n' * 9, "quote"),
        (HEADER.encode() + b'\n6120102,rev,"1\n', "on line 3 is never closed"),
        (HEADER.encode() + b"6120102," + b"x" * 200_000, "more than 128 kB"),
    ],
)
def test_a_file_that_is_no_csv_in_utf_8_says_what_it_is(db, content, said):
    # Faults 38-40 of security.md
    with pytest.raises(ValidationError, match=said):
        services.import_measured_values(content, by=None)

    assert not ValueImport.objects.exclude(status="refused").exists()


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("PartnerID;Criterion;Value;Measured on;Source", ";"),
        ("partner id\tcriterion\tamount\tas of", "\t"),
        ("Location|Metric|Value|Date", "|"),
        ("Plats;Kriterium;Värde;Uppmätt den", ";"),
        ('"partner_id","criterion","value","measured_on"', ","),
        ('"partner_id";"criterion";"value";"measured_on"', ";"),
        ('"partner_id"\t"criterion"\t"value"\t"measured_on"', "\t"),
        ('"partner_id"|"criterion"|"value"|"measured_on"', "|"),
    ],
)
def test_columns_are_recognized_however_they_are_written(header, delimiter):
    first = value_files.first_rows(f"{header}\nx{delimiter}y\n".encode())

    assert first.delimiter == delimiter
    assert [first.columns[name] for name in value_files.NEEDED] == [0, 1, 2, 3]


def test_columns_are_named_by_hand_where_their_names_say_nothing(goteborg, revenue):
    one = kept(
        "A,B,C,D\n2024-11-01,7,revenue,6120102\n",
        columns={"partner_id": 3, "criterion": 2, "value": 1, "measured_on": 0},
    )

    assert read(one).changed == 1


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"partner_id": 0}, "missing: criterion, value, measured_on"),
        (dict.fromkeys(value_files.NEEDED, 0), "Two fields have the same column"),
        (
            {name: n + 1 for n, name in enumerate(value_files.NEEDED)},
            "The file has no such column",
        ),
    ],
)
def test_columns_that_cannot_be_are_refused(db, columns, said):
    with pytest.raises(ValidationError, match=said):
        kept("A,B,C,D\n", columns=columns)


def test_the_same_file_is_nothing_new(goteborg, revenue):
    first = applied("6120102,revenue,1,2024-11-01,")
    applied("6120102,revenue,2,2024-11-01,")

    again = services.keep_file(
        [(HEADER + "6120102,revenue,1,2024-11-01,\n").encode()], by=None
    )

    assert (again.is_known, again.value_import) == (True, first)
    assert value_of(goteborg, revenue) == 2


def test_a_file_with_rejected_lines_may_come_again(goteborg, revenue):
    # Its locations may be there now.
    lines = ("6120102,revenue,1,2024-11-01,", "6129999,revenue,1,2024-11-01,")
    applied(*lines)
    LocationFactory(partner_id="6129999", partner_account=goteborg.partner_account)

    assert applied(*lines).changed == 1


def test_lines_that_repeat_others_are_counted(goteborg, revenue):
    one = compared(*["6120102,revenue,1,2024-11-01,"] * 2)

    assert one.difference["repeated"] == 1


def test_a_line_whose_location_comes_while_it_is_joined_is_told_of(goteborg, revenue):
    late = LocationFactory()

    def joining(execute, sql, params, many, context):
        found = execute(sql, params, many, context)
        if sql == imports.STAGE:
            with context["connection"].connection.cursor() as beside:
                beside.execute(
                    "UPDATE accounts_location SET partner_id = '6120199' WHERE id = %s",
                    [late.pk],
                )
        return found

    lines = [f"{one},revenue,200,2024-11-02," for one in ("6120102", "6120199")]
    with connection.execute_wrapper(joining):
        one = compared(*lines)

    assert (one.accepted, one.rejected) == (1, 1)
    assert list(one.staged.values_list("line", flat=True)) == [2]
    assert list(one.problems.values_list("line", "code")) == [(3, "location")]


def test_of_a_cell_at_fault_no_more_is_in_memory_than_is_told():
    long = "å" * value_files.LONGEST_CELL
    columns = {name: place for place, name in enumerate(value_files.FIELDS)}
    judge = value_files.Judge(
        columns,
        width=len(columns),
        criteria={"revenue": value_files.KnownCriterion(1, is_yes_no=False)},
        today=timezone.localdate(),
    )
    right = ["6120102", "revenue", "1", "2024-11-02", "crm"]
    text = "".join(
        f"{','.join([*right[:place], long[place:], *right[place + 1 :]])}\n"
        for place in columns.values()
    )
    with closing(value_files.Rows([text.encode()], delimiter=",")) as rows:
        part = judge.part(rows, most=10)

    assert [code for _line, code, _cell in part.wrong] == [
        "location",
        "criterion",
        "number",
        "day",
        "source",
    ]
    assert {len(cell) for _line, _code, cell in part.wrong} == {200}
    kept = [*judge._days, *judge._sources]
    assert max(map(len, kept)) <= value_files.LONGEST_TOLD


def test_a_batch_leaves_nothing_of_the_file_in_memory():
    block = b"one,two\n" * 1000
    gc.disable()
    try:
        with closing(value_files.Rows([block], delimiter=",")) as rows:
            assert next(iter(rows)) == ["one", "two"]
        left = weakref.ref(rows)
        del rows
        assert left() is None
    finally:
        gc.enable()


# --- The difference, and what follows ----------------------------------------------------


@shared
def asking(goteborg, malmo, terms, revenue):
    """The cast's program asks for 25 000 of revenue; both locations have it."""
    RequirementFactory(terms=terms, criterion=revenue)
    for location in (goteborg, malmo):
        MeasuredValueFactory(
            location=location, criterion=revenue, measured_on=DAY, value=30000
        )
    return terms


DAY = datetime.date(2024, 10, 1)
LESS = "6120102,revenue,100,2024-11-01,"
MORE_AT_MALMO = "6120103,revenue,31000,2024-11-01,"
LESS_AT_MALMO = "6120103,revenue,100,2024-11-01,"


def effects_of(one) -> list[tuple]:
    return sorted(
        one.effects.values_list("location__partner_id", "was", "becomes", "was_status")
    )


@pytest.mark.parametrize("most", [imports.MOST_CHANGED, 0], ids=["few", "many"])
def test_what_is_in_force_is_who_is_eligible_and_what_would_end(
    asking, goteborg, revenue, monkeypatch, most
):
    monkeypatch.setattr(imports, "MOST_CHANGED", most)
    type(asking).objects.filter(pk=asking.pk).update(countries=["SE"])
    company = goteborg.partner_account
    without_agreement = LocationFactory().partner_account
    for account, value, facts in (
        (company, 100, {}),
        (company, None, {}),
        (company, 30000, {"closed_at": timezone.now()}),
        (company, 30000, {"country": "FI"}),
        (without_agreement, 30000, {}),
    ):
        location = LocationFactory(partner_account=account, **facts)
        if value is not None:
            MeasuredValueFactory(
                location=location, criterion=revenue, measured_on=DAY, value=value
            )

    one = compared(LESS)

    # Göteborg and Malmö.
    assert (one.difference["ends"], one.difference["in_force"]) == (1, 2)


def test_the_difference_is_shown_before_anything_counts(asking, goteborg, revenue):
    one = compared(LESS, "6120103,revenue,31000,2024-11-01,")

    assert effects_of(one) == [("6120102", "met", "unmet", "")]
    assert (one.difference["changed"], one.difference["ends"]) == (2, 1)
    assert value_of(goteborg, revenue) == 30000


def test_nobody_is_no_longer_eligible_who_was_not_known_to_be(
    asking, goteborg, malmo, nordvik, client_of, mina
):
    known, enrolled = goteborg, malmo
    unknown = LocationFactory(partner_account=nordvik, partner_id="6120199")
    MeasuredValue.objects.filter(location=enrolled).delete()
    EnrollmentFactory(location=enrolled, terms=asking, complete=True)
    one = compared(
        *(
            f"{location.partner_id},revenue,100,2024-11-01,"
            for location in (known, enrolled, unknown)
        )
    )

    assert {row.location for row in one.effects.losing()} == {known, enrolled}
    assert [row.location for row in one.effects.found_out()] == [unknown]
    assert (one.difference["ends"], one.difference["found_out"]) == (2, 1)
    # What is held against an import is what really ends (R63).
    assert one.difference["in_force"] == 2
    page = client_of(mina).get(one.get_absolute_url())
    assert list(page.context["parts"])[1:3] == [
        Part("ends", "No longer eligible", 2),
        Part("found_out", "Not eligible, and not known before", 1),
    ]
    assert 'id="found-out"' in page.content.decode()


def test_the_difference_is_what_then_is_so(asking, goteborg, malmo, revenue):
    """The view of the file and the view of what is known say the same."""
    today = timezone.localdate()
    criterion = CriterionFactory(code="days", max_age_days=30)
    RequirementFactory(terms=asking, criterion=criterion, at_least=5)
    fresh, old = today.isoformat(), (today - datetime.timedelta(days=40)).isoformat()
    one = compared(
        f"6120102,days,5,{fresh},",
        f"6120103,days,5,{old},",
        "6120103,revenue,1,2024-11-01,",
    )
    said = {row[0]: row[2] for row in effects_of(one)}
    ValueImport.objects.filter(pk=one.pk).update(status="ready")
    services.carry_out_import(services.apply_import(one, by=None))

    for location, standing in ((goteborg, "met"), (malmo, "unmet")):
        states = set(
            RequirementCheck.objects.filter(location=location, terms=asking)
            .as_of(today)
            .values_list("state", flat=True)
        )
        found = next(s for s in ("unmet", "unknown", "met") if s in states)
        assert said[location.partner_id] == found == standing


@pytest.mark.parametrize("status", ["invited", "action_required", "enrolled"])
def test_losing_eligibility_moves_to_not_eligible_and_regaining_back(
    asking, goteborg, revenue, settings, status
):
    settings.IMPORT_HOLD_PERCENT = 100
    enrollment = enrolled(goteborg, asking, status=status)

    applied(LESS)
    enrollment.refresh_from_db()
    lost = enrollment.events.latest("pk")
    assert (enrollment.status, lost.code) == ("ineligible", "eligibility_lost")
    assert (lost.from_status, lost.note) == (status, "revenue=100.00/25000.00")
    said = history_of(enrollment, sees_progress=True)["steps"][0]
    assert said.why == "Revenue in twelve months: 100 of 25,000 USD"

    applied("6120102,revenue,25000,2024-11-02,")
    enrollment.refresh_from_db()
    back = enrollment.events.latest("pk")
    assert (enrollment.status, back.code) == (status, "eligibility_regained")


@pytest.mark.parametrize(
    ("status", "asked", "value", "becomes"),
    [
        # Each was so before, though nothing moved the enrollment then.
        ("invited", 40000, 29000, "ineligible"),
        ("ineligible", 15000, 29000, "invited"),
        ("invited", 15000, 29000, "invited"),
        ("declined", 40000, 50000, "declined"),
    ],
)
def test_an_enrollment_is_where_what_is_known_puts_it_though_nothing_turned(
    asking, goteborg, settings, status, asked, value, becomes
):
    settings.IMPORT_HOLD_PERCENT = 100
    enrollment = EnrollmentFactory(location=goteborg, terms=asking, status=status)
    asking.requirements.update(at_least=asked)

    one = applied(f"6120102,revenue,{value},2024-11-01,")

    enrollment.refresh_from_db()
    assert enrollment.status == becomes
    moved = int(becomes != status)
    counts = ("enrollments_ending", "enrollments_back")
    assert sum(one.difference[count] for count in counts) == moved


def test_what_comes_back_follows_what_became_of_its_profiles(
    asking, goteborg, settings
):
    settings.IMPORT_HOLD_PERCENT = 100
    enrollment = enrolled(goteborg, asking, expires=datetime.date(2024, 1, 1))
    applied(LESS)

    applied("6120102,revenue,25000,2024-11-02,")

    enrollment.refresh_from_db()
    assert enrollment.status == "action_required"


def test_a_value_too_old_is_not_known_and_ends_nothing(asking, goteborg, revenue):
    enrollment = enrolled(goteborg, asking)
    Criterion.objects.filter(pk=revenue.pk).update(max_age_days=30)

    one = applied(LESS)

    enrollment.refresh_from_db()
    assert (enrollment.status, effects_of(one)) == ("enrolled", [])


def test_an_import_that_would_end_too_much_waits_for_a_second_operator(
    asking, goteborg, revenue, mina
):
    aino = UserFactory(operator=True)
    aino.groups.add(Group.objects.get(name="Approver"))
    enrollment = enrolled(goteborg, asking)
    one = compared(LESS, by=mina)
    assert one.is_held
    assert (one.difference["ends"], one.difference["in_force"]) == (1, 2)
    with pytest.raises(ValidationError, match="Another operator has to let it"):
        services.apply_import(one, by=mina)
    with pytest.raises(ValidationError, match="Somebody else has to let it through"):
        services.release_import(one, reason="It is right.", by=mina)
    with pytest.raises(ValidationError, match="Say why"):
        services.release_import(one, reason=" ", by=aino)

    one = services.release_import(one, reason="They lost a contract.", by=aino)
    services.carry_out_import(services.apply_import(one, by=mina))

    enrollment.refresh_from_db()
    assert enrollment.status == "ineligible"
    released = AuditEvent.objects.get(action="values_released")
    assert (released.actor, released.reason) == (aino, "They lost a contract.")


@pytest.mark.parametrize(("percent", "status"), [(49, "held"), (50, "ready")])
def test_the_share_that_may_end_is_set(asking, settings, percent, status):
    settings.IMPORT_HOLD_PERCENT = percent

    assert compared(LESS).status == status


def test_values_count_from_their_effective_day(asking, goteborg, revenue, settings):
    settings.IMPORT_HOLD_PERCENT = 100
    now = timezone.now()
    later = now + datetime.timedelta(days=3)
    one = services.apply_import(
        compared(LESS), effective_on=timezone.localdate(later), by=None
    )
    assert services.imports_to_apply(at=now) == []
    assert services.imports_to_apply(at=later) == [one]

    services.carry_out_import(one, at=later)

    assert value_of(goteborg, revenue) == 100


@pytest.mark.parametrize("days", [-1, 93])
def test_an_effective_day_is_neither_past_nor_far(asking, days):
    day = timezone.localdate() + datetime.timedelta(days=days)

    with pytest.raises(ValidationError, match="within the next three months"):
        services.apply_import(
            compared("6120102,revenue,31000,2024-11-01,"), effective_on=day, by=None
        )


def test_a_file_compared_with_what_is_no_longer_known_is_read_again(
    asking, goteborg, revenue
):
    older = compared("6120102,revenue,31000,2024-11-01,")
    applied("6120102,revenue,32000,2024-11-02,")

    older = services.carry_out_import(services.apply_import(older, by=None))
    assert older.is_reading
    assert read(older).difference["older"] == 1
    assert value_of(goteborg, revenue) == 32000


@pytest.mark.parametrize(("day", "value"), [("2024-11-03", 1), ("2024-11-01", 2)])
def test_a_small_file_counts_at_once_though_another_came_between(
    goteborg, revenue, monkeypatch, day, value
):
    real = imports.carry_out_import

    def late(one, *, at):
        monkeypatch.setattr(imports, "carry_out_import", real)
        applied("6120102,revenue,2,2024-11-02,")
        return real(one, at=at)

    monkeypatch.setattr(imports, "carry_out_import", late)
    report = imported(f"6120102,revenue,1,{day},")

    assert (report.accepted, report.changed) == (1, value == 1)
    assert value_of(goteborg, revenue) == value
    assert not ValueImport.objects.reading().exists()


LATER = datetime.timedelta(days=5)


def let_count_later(*lines: str, by=None):
    day = timezone.localdate(timezone.now() + LATER)
    return services.apply_import(compared(*lines), effective_on=day, by=by)


def test_a_file_counts_on_its_day_though_another_came_between(
    asking, goteborg, revenue, mina
):
    one = let_count_later("6120102,revenue,31000,2024-11-01,", by=mina)
    day = one.effective_on
    # Another location altogether.
    applied("6120103,revenue,32000,2024-11-02,")
    later = timezone.now() + LATER

    one = read(services.carry_out_import(one, at=later))
    assert (one.status, one.effective_on, one.apply_by) == ("applying", day, mina)
    services.carry_out_import(one, at=later)

    assert value_of(goteborg, revenue) == 31000


def test_what_a_second_operator_let_through_counts_though_another_came_between(
    asking, goteborg, revenue, mina
):
    aino = UserFactory(operator=True)
    aino.groups.add(Group.objects.get(name="Approver"))
    held = compared(LESS, by=mina)
    services.release_import(held, reason="They lost a contract.", by=aino)
    one = services.apply_import(held, by=mina)
    applied("6120103,revenue,32000,2024-11-02,")

    one = read(services.carry_out_import(one))
    assert (one.difference["ends"], one.released_by) == (1, aino)
    services.carry_out_import(one)

    assert value_of(goteborg, revenue) == 100


def test_a_file_that_ends_more_after_another_came_between_is_held(
    asking, goteborg, revenue, mina
):
    one = let_count_later("6120102,revenue,31000,2024-11-01,")
    applied("6120102,revenue,50000,2024-10-15,")
    asking.requirements.update(at_least=40000)

    one = read(services.carry_out_import(one, at=timezone.now() + LATER))

    assert (one.status, one.difference["ends"]) == ("held", 1)
    assert value_of(goteborg, revenue) == 50000


def test_what_would_end_more_than_was_seen_waits_again(asking, goteborg, malmo, ida):
    one = compared("6120102,revenue,31000,2024-11-01,")
    one = services.apply_import(one, by=None)
    # Meanwhile the program asks for more.
    asking.requirements.update(at_least=40000)
    MeasuredValue.objects.filter(location=goteborg).update(value=50000)
    one.staged.update(old_value=50000)

    assert services.carry_out_import(one).is_held


@pytest.mark.django_db(transaction=True)
def test_what_changed_at_a_location_since_a_file_was_compared_is_asked_of_it_alone(
    asking, malmo, settings, monkeypatch
):
    settings.IMPORT_HOLD_PERCENT = 100
    one = services.apply_import(compared(LESS, LESS_AT_MALMO), by=None)
    EnrollmentFactory(location=malmo, terms=asking, complete=True)
    weigh, asked = imports._weigh, []

    def watched(one, *, on, locations):
        asked.append(locations)
        counts = weigh(one, on=on, locations=locations)
        again = effects_of(one)
        for most, keys in ((10_000, 1), (0, 100_000), (0, 1)):
            monkeypatch.setattr(imports, "MOST_CHANGED", most)
            monkeypatch.setattr(imports, "LOCATIONS_AT_ONCE", keys)
            assert weigh(one, on=on) == counts
            assert effects_of(one) == again, "asked of all it is the same"
        return counts

    monkeypatch.setattr(imports, "_weigh", watched)
    one = services.carry_out_import(one)

    assert asked == [{malmo.pk}]
    assert one.difference["ends"] == 2
    assert one.difference["enrollments_ending"] == 1
    assert one.difference["enrollments_lost"] == 1


@pytest.mark.django_db(transaction=True)
def test_what_was_weighed_counts_until_anything_changes_that_it_follows_from(
    asking, goteborg, malmo
):
    one, today = compared(LESS), timezone.localdate()
    assert imports._changed_since(one, on=today) == set()
    EnrollmentFactory(location=goteborg, terms=asking)
    assert imports._changed_since(one, on=today) == {goteborg.pk}
    Location.objects.filter(pk=malmo.pk).update(closed_at=timezone.now())
    assert imports._changed_since(one, on=today) == {goteborg.pk, malmo.pk}
    assert imports._changed_since(one, on=today + datetime.timedelta(days=1)) is None
    for change in (
        lambda: asking.requirements.update(at_least=40000),
        lambda: Criterion.objects.update(max_age_days=7),
        lambda: MeasuredValue.objects.filter(location=malmo).update(value=7),
        lambda: MeasuredValue.objects.filter(location=malmo).delete(),
        lambda: Agreement.objects.update(terminated_on=today),
        lambda: AgreementFactory(partner_account=LocationFactory().partner_account),
        lambda: type(asking).objects.update(countries=["NO"]),
        lambda: IncentiveProgram.objects.update(discontinued_at=timezone.now()),
    ):
        one.weighed = imports._known_now(on=today)
        assert imports._changed_since(one, on=today) == set()
        change()
        assert imports._changed_since(one, on=today) is None
    # Brought back from a copy on another server, where numbers began anew.
    one.weighed = imports._known_now(on=today) | {"server": "another"}
    assert imports._changed_since(one, on=today) is None


def test_a_difference_follows_from_nothing_that_is_not_watched(asking):
    asked = []

    def look(execute, sql, params, many, context):
        if "ANALYZE" not in sql:
            asked.append((sql, params))
        return execute(sql, params, many, context)

    one = compared(LESS)
    with connection.execute_wrapper(look):
        imports._weigh(one, on=timezone.localdate())
    read = set()
    with connection.cursor() as cursor:
        for sql, params in asked:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            plan = json.dumps(cursor.fetchone()[0])
            read |= set(re.findall(r'"Relation Name": "(\w+)"', plan))

    watched = {*imports._BY_LOCATION, *imports._BY_ALL}
    own = {"enrollment_stagedvalue", "enrollment_importeffect"}
    assert "enrollment_requirement" in read
    assert read - own <= {model._meta.db_table for model in watched}


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "gone"])
def test_what_was_added_or_removed_by_hand_meanwhile_is_as_the_file_says(
    asking, goteborg, malmo, revenue, mina, is_known
):
    people = CriterionFactory(code="people")
    one = compared(MORE_AT_MALMO, "6120102,people,20,2024-11-01,")
    if is_known:
        MeasuredValueFactory(location=goteborg, criterion=people, value=10)
    else:
        MeasuredValue.objects.filter(location=malmo).delete()

    one = services.carry_out_import(services.apply_import(one, by=mina))

    assert (one.status, one.changed) == ("applied", 2)
    assert (value_of(malmo, revenue), value_of(goteborg, people)) == (31000, 20)


# --- Undone, canceled ------------------------------------------------------------------


def test_an_import_is_undone_as_if_it_had_not_been(
    asking, goteborg, malmo, revenue, settings, mina
):
    settings.IMPORT_HOLD_PERCENT = 100
    enrollment = enrolled(goteborg, asking)
    before = list(MeasuredValue.objects.order_by("pk").values())
    CriterionFactory(code="new")
    one = applied(LESS, "6120103,new,1,2024-11-01,")

    one = services.undo_import(one, by=mina)

    enrollment.refresh_from_db()
    assert (one.status, enrollment.status) == ("undone", "enrolled")
    assert enrollment.events.latest("pk").code == "eligibility_undone"
    assert list(MeasuredValue.objects.order_by("pk").values()) == before
    assert one.difference["undone"] == {
        "values_back": 2,
        "values_kept": 0,
        "enrollments_back": 1,
        "enrollments_kept": 0,
    }


def test_what_changed_since_is_kept_when_an_import_is_undone(
    asking, goteborg, revenue, settings, mina
):
    settings.IMPORT_HOLD_PERCENT = 100
    one = applied(LESS)
    applied("6120102,revenue,27000,2024-11-05,")

    services.undo_import(one, by=mina)

    assert value_of(goteborg, revenue) == 27000


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_imports_about_the_same_are_undone_in_whatever_order(
    goteborg, malmo, revenue, mina, order
):
    # One value is known, the other new with the first file; the last file says again
    # what the first said.
    applied("6120102,revenue,100,2024-11-01,first")
    before = list(MeasuredValue.objects.order_by("pk").values())
    lines = [f"61201{place},revenue,{{}},2024-11-02," for place in ("02", "03")]
    files = [
        applied(*(line.format(200) for line in lines)),
        applied(*(line.format(300) for line in lines)),
        applied(*(line.format(200) for line in reversed(lines))),
    ]

    for number in order[:-1]:
        services.undo_import(files[number], by=mina)
    left = 300 if order[-1] == 1 else 200
    assert value_of(goteborg, revenue) == value_of(malmo, revenue) == left
    services.undo_import(files[order[-1]], by=mina)

    assert list(MeasuredValue.objects.order_by("pk").values()) == before


def test_what_a_later_import_knew_stays_until_that_is_undone_too(
    goteborg, malmo, revenue, mina
):
    imported("6120102,revenue,100,2024-11-01,first")
    before = list(MeasuredValue.objects.order_by("pk").values())
    lines = [f"61201{place},revenue,200,2024-11-02," for place in ("02", "03")]
    one = applied(*lines)
    again = compared(*reversed(lines))
    assert (again.status, again.changed) == ("applied", 0)
    assert services.why_not_undoing(again, at=timezone.now())

    one = services.undo_import(one, by=mina)

    assert value_of(goteborg, revenue) == value_of(malmo, revenue) == 200
    assert one.difference["undone"]["values_kept"] == 2
    # It says so itself now: what it changed is what was known before the first.
    again.refresh_from_db()
    assert again.changed == 2
    assert (again.difference["new"], again.difference["changed"]) == (1, 1)
    assert again.difference["same"] == 0

    services.undo_import(again, by=mina)

    assert list(MeasuredValue.objects.order_by("pk").values()) == before


def test_what_a_later_import_knew_goes_with_the_first_once_that_was_undone_before(
    goteborg, malmo, revenue, mina
):
    one = applied("6120102,revenue,200,2024-11-02,")
    other = applied("6120102,revenue,200,2024-11-02,", "6120103,revenue,1,2024-11-02,")

    services.undo_import(other, by=mina)
    assert value_of(goteborg, revenue) == 200
    services.undo_import(one, by=mina)

    assert not MeasuredValue.objects.exists()


def test_a_later_imports_older_value_counts_when_the_newer_one_is_undone(
    goteborg, malmo, revenue, mina
):
    one = applied("6120102,revenue,300,2024-11-03,")
    older = applied("6120102,revenue,200,2024-11-02,", "6120103,revenue,1,2024-11-02,")
    assert value_of(goteborg, revenue) == 300

    services.undo_import(one, by=mina)
    assert value_of(goteborg, revenue) == 200
    services.undo_import(older, by=mina)

    assert not MeasuredValue.objects.exists()


def test_what_somebody_changed_by_hand_is_no_imports_to_take_back(
    goteborg, malmo, revenue, mina
):
    one = applied("6120102,revenue,300,2024-11-01,")
    MeasuredValue.objects.update(value=250)
    same = applied("6120102,revenue,250,2024-11-01,", "6120103,revenue,1,2024-11-02,")

    services.undo_import(one, by=mina)
    assert value_of(goteborg, revenue) == 250
    services.undo_import(same, by=mina)

    assert value_of(goteborg, revenue) == 250


@pytest.mark.parametrize(
    ("later", "is_first_undone_first"),
    [
        ((LESS, MORE_AT_MALMO), True),
        ((LESS, MORE_AT_MALMO), False),
        (("6120102,revenue,90,2024-11-02,",), True),
        (("6120102,revenue,90,2024-11-02,",), False),
    ],
)
def test_an_enrollment_comes_back_with_the_last_import_that_keeps_it_out(
    asking, goteborg, malmo, settings, mina, later, is_first_undone_first
):
    settings.IMPORT_HOLD_PERCENT = 100
    enrollment = enrolled(goteborg, asking)
    files = [applied(LESS), applied(*later)]
    assert effects_of(files[1]) == []
    if not is_first_undone_first:
        files.reverse()

    undone = services.undo_import(files[0], by=mina)
    enrollment.refresh_from_db()
    assert enrollment.status == "ineligible"
    assert undone.difference["undone"]["enrollments_back"] == 0
    last = ValueImport.objects.get(pk=files[1].pk)
    assert effects_of(last) == [("6120102", "met", "unmet", "enrolled")]
    assert last.difference["ends"] == 1
    last = services.undo_import(last, by=mina)

    enrollment.refresh_from_db()
    assert enrollment.status == "enrolled"
    assert last.difference["undone"]["enrollments_back"] == 1


def test_what_a_later_import_made_eligible_again_is_not_handed_over(
    lost, asking, malmo, mina
):
    one, enrollment = lost
    back = applied("6120102,revenue,30000,2024-11-02,")

    services.undo_import(one, by=mina)
    back.refresh_from_db()

    # It was eligible before the first, and is with the second: nothing is to put back.
    assert undone((back, enrollment), mina) == "enrolled"


def test_an_invitation_owed_to_what_a_later_import_knew_keeps_that_from_being_undone(
    asking, goteborg, malmo, settings, mina
):
    settings.IMPORT_HOLD_PERCENT = 100
    applied(LESS)
    more = "6120102,revenue,30000,2024-11-02,"
    one, other = applied(more), applied(more, MORE_AT_MALMO)
    services.undo_import(one, by=mina)

    services.invite_locations(asking, by=mina)

    with pytest.raises(ValidationError, match="Invitations went out"):
        services.undo_import(ValueImport.objects.get(pk=other.pk), by=mina)


@pytest.fixture
def lost(asking, goteborg, settings):
    """An import that made an enrollment in force Not eligible, and the enrollment."""
    settings.IMPORT_HOLD_PERCENT = 100
    enrollment = enrolled(goteborg, asking)
    return applied(LESS), enrollment


def undone(lost, by) -> str:
    one, enrollment = lost
    services.undo_import(one, by=by)
    enrollment.refresh_from_db()
    return enrollment.status


def test_what_an_undoing_brings_back_follows_its_profiles(lost, mina):
    # R38, R44: a new version came in meanwhile.
    bank = lost[1].payout_assignments.get().bank_profile
    number = bank.versions.get().number + 1
    BankVersionFactory(profile=bank, number=number, status="pending")

    assert undone(lost, mina) == "validating"


def test_an_undoing_brings_nothing_back_at_a_closed_location(lost, malmo, mina):
    services.close_location(lost[1].location, reason="It moved.", by=mina)

    assert undone(lost, mina) == "inactive"


def test_an_undoing_brings_nothing_back_in_a_discontinued_program(lost, mina):
    # R67, before the clock came to end what is left.
    IncentiveProgram.objects.update(discontinued_at=timezone.now())

    assert undone(lost, mina) == "ineligible"
    assert lost[1].events.latest("pk").code == "eligibility_lost"


def test_an_undoing_brings_nothing_back_against_a_requirement_as_it_is_now(
    lost, asking, mina
):
    asking.requirements.update(at_least=40000)

    assert undone(lost, mina) == "ineligible"


def test_undoing_what_brought_back_asks_the_requirements_as_they_are_now(
    lost, asking, mina
):
    back = applied("6120102,revenue,30000,2024-11-02,")
    assert undone((back, lost[1]), mina) == "ineligible"

    back = applied("6120102,revenue,30001,2024-11-02,")
    asking.requirements.update(at_least=50)
    assert undone((back, lost[1]), mina) == "enrolled"


def test_an_import_is_not_undone_after_a_day_or_after_an_invitation(
    asking, goteborg, malmo, revenue, settings, mina
):
    settings.IMPORT_HOLD_PERCENT = 100
    applied(LESS)
    one = applied("6120102,revenue,30000,2024-11-02,")
    late = one.applied_at + datetime.timedelta(hours=24, seconds=1)
    with pytest.raises(ValidationError, match="more than 24 hours ago"):
        services.undo_import(one, by=mina, at=late)

    services.invite_locations(asking, by=mina)

    with pytest.raises(ValidationError, match="Invitations went out"):
        services.undo_import(one, by=mina)


def test_an_import_is_not_undone_after_a_campaign_that_began_before_it_invited(
    asking, goteborg, malmo, settings, mina, ida
):
    settings.IMPORT_HOLD_PERCENT = 100
    applied(LESS)
    campaign = services.plan_campaign(asking, by=mina)
    seen = count_people(campaign, on=asking.today())
    campaign = services.confirm_campaign(campaign, people=seen, by=mina)
    begins = campaign.starts_at + datetime.timedelta(seconds=1)
    services.run_next_range(campaign, at=begins)
    one = applied(
        "6120102,revenue,30000,2024-11-02,", at=begins + datetime.timedelta(seconds=1)
    )
    assert services.why_not_undoing(one, at=begins) == ""

    while services.run_next_range(campaign, at=begins + datetime.timedelta(minutes=1)):
        pass

    assert Enrollment.objects.get(location=goteborg).invited_at < one.applied_at
    with pytest.raises(ValidationError, match="Invitations went out"):
        services.undo_import(one, by=mina)


def test_a_canceled_file_leaves_nothing_but_its_name(asking, goteborg, revenue, mina):
    one = services.cancel_import(compared(LESS), by=mina)

    assert services.read_next_lines(one) is None
    assert services.carry_out_import(one) is None
    assert [
        model.objects.count()
        for model in (ImportBlock, ImportEffect, ImportProblem, StagedValue)
    ] == [0, 0, 0, 0]
    assert not services.keep_file([b"a,b\n"], by=None).is_known


def test_nobody_cancels_what_is_applied(asking, settings, mina):
    settings.IMPORT_HOLD_PERCENT = 100

    with pytest.raises(ValidationError, match="now: Applied"):
        services.cancel_import(applied(LESS), by=mina)


@pytest.mark.parametrize(
    "lines", [(LESS, "bad"), ("6120102,revenue,30001,2024-11-01,",)]
)
def test_old_files_are_forgotten_but_for_their_counts(asking, settings, lines):
    settings.IMPORT_HOLD_PERCENT = 100
    one = applied(*lines)
    later = timezone.now() + datetime.timedelta(days=31)

    assert services.forget_old_imports(at=later) == 1
    assert services.forget_old_imports(at=later) == 0
    one.refresh_from_db()
    assert (one.accepted, one.rejected) == (1, len(lines) - 1)
    assert (one.status, one.staged.count()) == ("applied", 0)


def days_from_now(days: int) -> datetime.datetime:
    return timezone.now() + datetime.timedelta(days=days)


def test_a_file_nobody_went_on_with_is_canceled_and_may_come_again(
    asking, goteborg, revenue, mina
):
    one = compared("6120102,revenue,31000,2024-11-01,")
    assert services.given_up_at(one) == one.compared_at + datetime.timedelta(days=30)
    services.forget_old_imports(at=days_from_now(29))
    one.refresh_from_db()
    assert (one.status, one.staged.count()) == ("ready", 1)

    services.forget_old_imports(at=days_from_now(31))

    one.refresh_from_db()
    assert (one.status, one.staged.count()) == ("canceled", 0)
    assert AuditEvent.objects.filter(action="values_canceled").count() == 1
    with pytest.raises(ValidationError, match="now: Canceled"):
        services.apply_import(one, by=mina)
    assert services.given_up_at(one) is None
    assert applied("6120102,revenue,31000,2024-11-01,").changed == 1


def test_a_file_that_came_long_ago_keeps_its_lines_while_somebody_goes_on_with_it(
    asking, goteborg, revenue, settings, mina
):
    settings.IMPORT_HOLD_PERCENT = 100
    scheduled, undone = compared("6120103,revenue,31000,2024-11-01,"), applied(LESS)
    day = timezone.localdate(days_from_now(60))
    services.apply_import(scheduled, effective_on=day, by=None)
    ValueImport.objects.update(imported_at=days_from_now(-60))

    assert services.forget_old_imports(at=days_from_now(1)) == 0
    # What was applied today can be undone, whenever it came in.
    services.undo_import(undone, by=mina)
    assert value_of(goteborg, revenue) == 30000
    assert services.forget_old_imports(at=days_from_now(59)) == 1
    scheduled.refresh_from_db()
    assert (scheduled.status, scheduled.staged.count()) == ("applying", 1)


# --- Two files at once --------------------------------------------------------------------


@pytest.fixture
def older_after_newer(goteborg, revenue, monkeypatch):
    """Carry an older file out while a newer one, compared before, is being written."""
    older = compared("6120102,revenue,1,2024-11-01,")
    newer = compared("6120102,revenue,2,2024-11-02,")
    older = services.apply_import(older, by=None)
    newer = services.apply_import(newer, by=None)
    is_asked, is_written = threading.Event(), threading.Event()
    real = imports._is_overtaken

    def ask(one):
        answer = real(one)
        if one.pk == older.pk:
            is_asked.set()
            is_written.wait(timeout=2)
        return answer

    monkeypatch.setattr(imports, "_is_overtaken", ask)

    def write_newer():
        is_asked.wait(timeout=10)
        services.carry_out_import(newer)
        is_written.set()

    def at_that_moment():
        at_once(lambda: services.carry_out_import(older), write_newer)
        return value_of(goteborg, revenue), ValueImport.objects.get(pk=newer.pk).status

    return at_that_moment


@pytest.mark.django_db(transaction=True)
def test_a_file_waits_for_another_that_is_being_written(older_after_newer):
    # The newer one finds that what it was compared with has changed, and is read again.
    assert older_after_newer() == (1, "reading")


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_the_older_file_would_win(older_after_newer, monkeypatch):
    """The control of the test above."""
    monkeypatch.setattr(imports, "_lock_criteria", lambda: None)

    assert older_after_newer() == (1, "applied")


@pytest.mark.parametrize(
    ("step", "moves", "outcome", "value"),
    [
        ("carry_out_import", "move_by_effects", "older", 2),
        ("undo_import", "move_back", "changed", 1),
    ],
    ids=["written", "taken back"],
)
@pytest.mark.django_db(transaction=True)
def test_a_file_that_comes_while_values_are_being_written_is_held_against_them(
    goteborg, revenue, mina, monkeypatch, step, moves, outcome, value
):
    MeasuredValueFactory(
        location=goteborg, criterion=revenue, measured_on="2024-10-01", value=3
    )
    other = services.apply_import(compared("6120102,revenue,2,2024-11-02,"), by=mina)
    who = {}
    if step == "undo_import":
        services.carry_out_import(other)
        who = {"by": mina}
    is_written, is_compared, files = threading.Event(), threading.Event(), []
    real = getattr(imports, moves)

    def after_the_values(*args, **kwargs):
        is_written.set()
        wait_for(is_compared)
        return real(*args, **kwargs)

    def compare():
        is_written.wait(timeout=10)
        files.append(compared("6120102,revenue,1,2024-11-01,"))
        is_compared.set()

    with monkeypatch.context() as patch:
        patch.setattr(imports, moves, after_the_values)
        at_once(lambda: getattr(services, step)(other, **who), compare)

    [file] = files
    assert file.difference[outcome] == 1
    if file.is_ready:
        services.carry_out_import(services.apply_import(file, by=None))
    assert value_of(goteborg, revenue) == value


# --- Given up while a worker is at it ------------------------------------------------


@pytest.fixture
def posted_amid(client_of, mina, monkeypatch):
    """Cancel, or undo, a file on its page while somebody is in the midst of a step."""

    def do(one, work, *, amid, door="cancel_import"):
        inside, is_said, said = threading.Event(), threading.Event(), []
        real = getattr(imports, amid)

        def slowly(*args, **kwargs):
            inside.set()
            is_said.wait(timeout=20)
            return real(*args, **kwargs)

        def post():
            inside.wait(timeout=10)
            address = reverse(f"ops:{door}", kwargs={"pk": one.pk})
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
            try:
                response = client_of(mina).post(address, follow=True)
                said.append(response.content.decode())
            finally:
                is_said.set()

        with monkeypatch.context() as patch:
            patch.setattr(imports, amid, slowly)
            at_once(work, post)
        [page] = said
        return page

    return do


@pytest.mark.parametrize("amid", ["_weigh", "_read_batch"])
@pytest.mark.django_db(transaction=True)
def test_a_file_is_given_up_at_once_though_a_worker_is_at_it(
    goteborg, revenue, mina, posted_amid, amid
):
    one = kept(HEADER + "6120102,revenue,1,2024-11-01,\n")

    page = posted_amid(one, lambda: read(one), amid=amid)

    assert "Canceled. Nothing of the file counts." in page
    assert "Being canceled" in page
    assert "Cancel this import" not in page
    one.refresh_from_db()
    assert one.is_canceled
    assert not one.staged.exists()
    event = AuditEvent.objects.get(action="values_canceled")
    assert event.actor == mina


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_being_applied_says_that_it_can_be_undone(
    goteborg, revenue, mina, posted_amid
):
    one = services.apply_import(compared("6120102,revenue,1,2024-11-01,"), by=mina)

    page = posted_amid(
        one, lambda: services.carry_out_import(one), amid="move_by_effects"
    )

    assert "It is being applied just now, all in one go." in page
    one.refresh_from_db()
    assert one.is_applied


@pytest.mark.parametrize("is_same", [True, False], ids=["the same", "another"])
@pytest.mark.django_db(transaction=True)
def test_while_values_are_taken_back_undoing_says_that_it_has_to_wait(
    goteborg, revenue, mina, posted_amid, is_same
):
    one = applied("6120102,revenue,1,2024-11-01,")
    other = one if is_same else applied("6120102,revenue,2,2024-11-02,")

    page = posted_amid(
        one,
        lambda: services.undo_import(other, by=mina),
        amid="move_back",
        door="undo_import",
    )

    assert "Values are being written or locations invited just now." in page
    one.refresh_from_db()
    assert one.is_undone is is_same


@pytest.mark.django_db(transaction=True)
def test_while_locations_are_invited_undoing_says_that_it_has_to_wait(
    goteborg, revenue, mina
):
    one = applied("6120102,revenue,1,2024-11-01,")
    is_held, is_said = threading.Event(), threading.Event()

    def invite():
        with transaction.atomic():
            hold_values()
            is_held.set()
            wait_for(is_said)

    def undo():
        is_held.wait(timeout=10)
        try:
            services.undo_import(one, by=mina)
        finally:
            is_said.set()

    [refusal] = [one for one in at_once(invite, undo) if one is not None]

    assert "or locations invited just now" in str(refusal)
    # The control: when that is done, it is undone.
    assert services.undo_import(one, by=mina).is_undone


@pytest.mark.parametrize("status", ["ready", "applying"])
def test_a_file_given_up_as_a_worker_let_go_of_it_is_canceled_by_the_next(
    goteborg, revenue, mina, status
):
    one = compared("6120102,revenue,1,2024-11-01,")
    if status == "applying":
        services.apply_import(one, by=mina)
    ImportCancellation.objects.create(value_import=one, asked_by=mina)

    services.carry_out_import(one)
    for given_up in services.imports_to_cancel():
        services.finish_canceling(given_up)

    one.refresh_from_db()
    assert one.is_canceled
    assert services.imports_to_cancel() == []


def test_what_counts_already_is_not_given_up(goteborg, revenue, mina):
    one = applied("6120102,revenue,1,2024-11-01,")
    ImportCancellation.objects.create(value_import=one, asked_by=mina)

    services.finish_canceling(one)

    one.refresh_from_db()
    assert one.is_applied
    assert not one.is_being_canceled
    assert services.imports_to_cancel() == []
