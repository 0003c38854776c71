"""What is measured of locations, as files bring it: each line accepted or reported."""

import datetime
import threading
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.tests.threads import at_once, wait_for
from enrollment import services
from enrollment.models import MeasuredValue, ValueImport
from enrollment.services import measurements
from enrollment.tests.factories import CriterionFactory, MeasuredValueFactory

HEADER = "partner_id,criterion,value,measured_on,source\n"


@pytest.fixture
def revenue(db):
    return CriterionFactory(code="revenue", kind="number")


@pytest.fixture
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
            (
                "The first line must name the columns; missing: partner_id, criterion, "
                "value, measured_on."
            ),
        ),
        (
            b"partner_id;criterion;value;measured_on\n",
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
            "The file is not UTF-8. Save it as CSV UTF-8 and try again.",
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
    monkeypatch.setattr(measurements, "MOST_BYTES", 10)

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


# --- Size -------------------------------------------------------------------------------


def test_the_number_of_queries_does_not_follow_the_lines(
    goteborg, malmo, revenue, direct_bill, django_assert_num_queries
):
    imported("6120102,revenue,1,2024-11-01,")

    with django_assert_num_queries(10):
        imported(
            "6120102,revenue,2,2024-11-02,",
            "6120103,revenue,2,2024-11-02,",
            "6120102,direct-bill,yes,2024-11-02,",
            "6120103,direct-bill,no,2024-11-02,",
        )


# --- Two files at once ------------------------------------------------------------------


@pytest.fixture
def newer_meanwhile(goteborg, revenue, monkeypatch):
    """Import an older file that has compared when a newer one comes and is stored."""
    compared, stored = threading.Event(), threading.Event()
    real = measurements._is_news

    def compare(value, *, known):
        answer = real(value, known=known)
        if value.value == 1:
            compared.set()
            wait_for(stored)
        return answer

    monkeypatch.setattr(measurements, "_is_news", compare)

    def newer():
        compared.wait(timeout=10)
        imported("6120102,revenue,2,2024-11-02,")
        stored.set()

    def at_that_moment():
        at_once(lambda: imported("6120102,revenue,1,2024-11-01,"), newer)
        return value_of(goteborg, revenue)

    return at_that_moment


@pytest.mark.django_db(transaction=True)
def test_an_older_file_does_not_replace_a_newer_one_read_at_that_moment(
    newer_meanwhile,
):
    assert newer_meanwhile() == 2


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_the_older_file_would_win(newer_meanwhile, monkeypatch):
    """The control of the test above."""
    monkeypatch.setattr(measurements, "_lock_criteria", lambda keys: None)

    assert newer_meanwhile() == 1
