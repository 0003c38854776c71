"""The commands of the program owner: the same services as the pages."""

import datetime
import os
import re
import signal

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.utils import timezone

from accounts.models import OutgoingEmail
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.management.commands import import_eligibility
from enrollment.models import Criterion, Enrollment, MeasuredValue, ValueImport
from enrollment.services import imports
from enrollment.tests.factories import (
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
    fiscal_number,
)
from profiles.tests.factories import BankProfileFactory


@pytest.fixture
def year() -> int:
    return fiscal_number(timezone.localdate())


def printed(capsys) -> str:
    return capsys.readouterr().out.strip()


# --- invite --------------------------------------------------------------------------


def test_invite_says_what_it_did(goteborg, terms, ida, year, capsys):
    call_command("invite", "CSP-DB")

    assert printed(capsys) == (
        f"CSP-DB, fiscal year {year}: 1 location was invited. 1 mail is on its way."
    )
    assert Enrollment.objects.get().is_invited
    assert OutgoingEmail.objects.addressed_to(ida).count() == 1


def test_invite_again_adds_nothing_and_says_so(goteborg, terms, ida, year, capsys):
    # R29
    call_command("invite", "CSP-DB")
    printed(capsys)

    call_command("invite", "csp-db")

    assert printed(capsys) == (
        f"CSP-DB, fiscal year {year}: No location was left to invite."
    )
    assert Enrollment.objects.count() == 1
    assert OutgoingEmail.objects.count() == 1


def test_invite_takes_the_year_by_its_number(goteborg, terms, year):
    call_command("invite", "CSP-DB", "--year", str(year))

    assert Enrollment.objects.count() == 1


def test_invite_to_a_year_that_is_over_says_so(goteborg, terms, program, year, capsys):
    ProgramTermsFactory(program=program, fiscal_year=FiscalYearFactory(number=year - 1))

    call_command("invite", "CSP-DB", year=year - 1)

    assert f"ended on 30 June {year - 1}." in printed(capsys)
    assert not Enrollment.objects.exists()


def test_invite_to_an_open_program_says_that_nobody_is_invited(
    goteborg, program, ida, capsys
):
    # R26
    ProgramTermsFactory(program=program, open_to_all=True)

    call_command("invite", "CSP-DB")

    assert "is open to all" in printed(capsys)
    assert not OutgoingEmail.objects.exists()


def test_invite_refuses_a_program_that_does_not_exist(terms):
    with pytest.raises(CommandError) as refusal:
        call_command("invite", "NO-SUCH")

    assert str(refusal.value) == "There is no program with the code NO-SUCH."
    assert refusal.value.returncode == 1


def test_invite_refuses_a_program_without_terms_this_year(program, year):
    ProgramTermsFactory(program=program, fiscal_year=FiscalYearFactory(number=year - 1))

    with pytest.raises(CommandError, match="CSP-DB has no terms for the fiscal year"):
        call_command("invite", "CSP-DB")


def test_invite_refuses_a_year_without_terms(terms):
    with pytest.raises(CommandError) as refusal:
        call_command("invite", "CSP-DB", year=2031)

    assert str(refusal.value) == "CSP-DB has no terms for the fiscal year of 2031."


# --- invite --anew -------------------------------------------------------------------


@shared
def lapsed(goteborg, terms):
    return EnrollmentFactory(
        location=goteborg, terms=terms, status="expired", end_reason="not_answered"
    )


def test_invite_anew_says_until_when(lapsed, ida, year, capsys):
    call_command("invite", "csp-db", "--location", "6120102", "--anew")

    assert printed(capsys) == f"Göteborg is invited to CSP-DB, until 30 June {year}."
    assert Enrollment.objects.get().is_invited
    assert OutgoingEmail.objects.addressed_to(ida).count() == 1


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--anew"], "Give --location and --anew together, or neither."),
        (["--location=6120102"], "Give --location and --anew together, or neither."),
        (
            ["--location=6120103", "--anew"],
            "Malmö has no enrollment in CSP-DB to invite anew.",
        ),
        (["--location=1234567", "--anew"], "No location has the PartnerID 1234567."),
        (["--location=5012001", "--anew"], "5012001 is a global PartnerID"),
    ],
)
def test_invite_anew_refuses_with_one_sentence(lapsed, malmo, options, refusal):
    with pytest.raises(CommandError, match=refusal):
        call_command("invite", "CSP-DB", *options)

    lapsed.refresh_from_db()
    assert not lapsed.is_invited


def test_invite_anew_refuses_what_did_not_lapse(invited, capsys):
    invited.status = "declined"
    invited.save()

    with pytest.raises(CommandError, match="not answered in time"):
        call_command("invite", "CSP-DB", "--location=6120102", "--anew")


# --- import_eligibility ----------------------------------------------------------------


@pytest.fixture
def values(tmp_path):
    CriterionFactory(code="revenue")

    def write(*lines: str):
        file = tmp_path / "values.csv"
        rows = ("partner_id,criterion,value,measured_on,source", *lines)
        file.write_text("\n".join(rows), encoding="utf-8")
        return str(file)

    return write


def test_import_says_what_the_file_brought(goteborg, values, capsys):
    call_command("import_eligibility", values("6120102,revenue,1,2024-11-01,report"))

    said = printed(capsys)
    assert said.endswith("1 line was accepted. 1 value is new or changed.")
    assert re.search(r"Values that are new\W+1\b", said)
    assert MeasuredValue.objects.get().location == goteborg


def test_import_names_wrong_lines_and_fails(goteborg, values, capsys):
    file = values(
        "6120102,revenue,1,2024-11-01,report", "6120102,revenue,much,2024-11-01,report"
    )

    with pytest.raises(CommandError) as refusal:
        call_command("import_eligibility", file)

    captured = capsys.readouterr()
    assert "Line 3: the value must be a number like 21340.50." in captured.err
    assert "1 line was accepted." in captured.out
    assert str(refusal.value) == "1 line was rejected; the others are stored."
    assert refusal.value.returncode == 1
    assert MeasuredValue.objects.count() == 1


def test_import_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("import_eligibility", str(tmp_path / "none.csv"))


def test_import_refuses_a_file_without_columns(tmp_path, db):
    file = tmp_path / "empty.csv"
    file.write_bytes(b"")

    with pytest.raises(CommandError, match="The file is empty"):
        call_command("import_eligibility", str(file))


def test_import_takes_the_columns_it_is_told_and_then_the_file_again(
    goteborg, values, tmp_path, capsys
):
    file = tmp_path / "other.csv"
    file.write_text("A;B;C;D\n6120102;revenue;1;2024-11-01\n", encoding="utf-8")
    with pytest.raises(CommandError, match="The first line must name the columns"):
        call_command("import_eligibility", str(file))

    names = ("partner_id=A", "criterion=B", "value=C", "measured_on=D")
    columns = [word for name in names for word in ("--column", name)]
    call_command("import_eligibility", str(file), *columns)
    call_command("import_eligibility", str(file))

    assert "Nothing in it is new." in printed(capsys)
    assert MeasuredValue.objects.get().value == 1


@pytest.mark.parametrize("step", ["read_next_lines", "carry_out_import"])
def test_import_ends_where_somebody_cancels_it_on_its_page(
    goteborg, values, monkeypatch, step
):
    real = getattr(services, step)

    def canceled_before(one):
        services.cancel_import(one, by=None)
        return real(one)

    monkeypatch.setattr(services, step, canceled_before)

    with pytest.raises(CommandError, match="Canceled. Nothing of the file counts."):
        call_command("import_eligibility", values("6120102,revenue,1,2024-11-01,"))
    assert not MeasuredValue.objects.exists()


def test_import_loads_no_page(goteborg, values, settings, capsys):
    settings.ROOT_URLCONF = "there.is.no.such.module"
    command = import_eligibility.Command()
    parser = command.create_parser("manage.py", "import_eligibility")
    said = parser.parse_args([values("6120102,revenue,1,2024-11-01,")])

    command.execute(**vars(said))

    assert MeasuredValue.objects.get().value == 1


def test_import_does_not_begin_without_a_key_in_use(goteborg, values, settings):
    BankProfileFactory()
    settings.FIELD_ENCRYPTION_KEYS = "k9:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
    file = values("6120102,revenue,1,2024-11-01,")

    with pytest.raises(SystemCheckError, match="Put the key back"):
        call_command("import_eligibility", file, skip_checks=False)

    assert not ValueImport.objects.exists()


def test_import_stops_where_it_would_end_too_much(
    goteborg, terms, values, monkeypatch, capsys
):
    criterion = Criterion.objects.get()
    RequirementFactory(terms=terms, criterion=criterion)
    MeasuredValueFactory(
        location=goteborg, criterion=criterion, measured_on=datetime.date(2024, 1, 1)
    )
    file = values("6120102,revenue,1,2024-11-01,report")

    with pytest.raises(
        CommandError, match="Held: it would end more than 5% of"
    ) as held:
        call_command("import_eligibility", file)

    assert held.value.returncode == os.EX_TEMPFAIL
    assert MeasuredValue.objects.get().value == 30000
    call_command("import_eligibility", file, "--cancel")
    assert ValueImport.objects.get().status == "canceled"


def test_import_stops_at_a_signal_and_goes_on_when_run_again(
    goteborg, values, monkeypatch, capsys
):
    monkeypatch.setattr(imports, "LINES_AT_ONCE", 1)
    file = values(*[f"6120102,revenue,{day},2024-11-0{day}," for day in range(1, 5)])
    real = services.read_next_lines

    def read(one):
        monkeypatch.setattr(services, "read_next_lines", real)
        one = real(one)
        signal.raise_signal(signal.SIGTERM)
        return one

    monkeypatch.setattr(services, "read_next_lines", read)
    with pytest.raises(CommandError, match="Stopped") as stopped:
        call_command("import_eligibility", file)
    assert stopped.value.returncode == os.EX_TEMPFAIL
    assert ValueImport.objects.get().accepted == 1

    call_command("import_eligibility", file)

    assert (MeasuredValue.objects.get().value, ValueImport.objects.count()) == (4, 1)


# --- discontinue_program -----------------------------------------------------------------


def test_discontinue_ends_open_enrollments_and_says_how_many(
    goteborg, malmo, terms, capsys
):
    # R67
    enrolled = EnrollmentFactory(location=goteborg, terms=terms, complete=True)
    lapsed = EnrollmentFactory(location=malmo, terms=terms)
    services.lapse_invitations(
        at=datetime.datetime.combine(
            terms.fiscal_year.ends_on + datetime.timedelta(days=2),
            datetime.time(),
            tzinfo=datetime.UTC,
        )
    )

    call_command("discontinue_program", "CSP-DB")

    assert printed(capsys) == (
        "Cloud Solution Provider – Direct Bill is discontinued; 1 enrollment ended."
    )
    enrolled.refresh_from_db()
    lapsed.refresh_from_db()
    assert (enrolled.status, lapsed.status) == ("discontinued", "expired")


def test_discontinue_again_ends_nothing_more(goteborg, terms, program, capsys):
    call_command("discontinue_program", "CSP-DB")
    program.refresh_from_db()
    first = program.discontinued_at

    call_command("discontinue_program", "CSP-DB")

    program.refresh_from_db()
    assert program.discontinued_at == first
    assert "0 enrollments ended." in printed(capsys)


def test_discontinue_refuses_a_program_that_does_not_exist(db):
    with pytest.raises(CommandError, match="no program with the code NO-SUCH"):
        call_command("discontinue_program", "NO-SUCH")
