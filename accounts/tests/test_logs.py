"""Log lines: one each, readable by machines, without what must not be in logs."""

import json
import logging
import sys
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.logs import JsonFormatter, redact, request_id
from accounts.muting import mute_token

IBAN = "SE3550000000054910000003"


def record(message, *arguments, exc_info=None, **extra):
    made = logging.LogRecord(
        "portal", logging.INFO, "", 1, message, arguments, exc_info
    )
    vars(made).update(extra)
    return made


def line(*arguments, **extra):
    written = JsonFormatter().format(record(*arguments, **extra))
    assert "\n" not in written
    return json.loads(written)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"IBAN {IBAN} refused", IBAN),
        ("SE35 5000 0000 0549 1000 0003", "0549"),
        ("nl39rabo0300065264", "030006"),
        ("MT84 MALT 0110 0001 2345 MTLC AST0 01S", "MALT"),
        ("account 000123456789", "000123456789"),
        ("account 0001\u00a02345\u20116789", "2345"),
        ("12-3456789", "3456"),
        ("org 559999-0669", "559999"),
        ("DE996907439", "996907439"),
        ("company ZZ999999", "999999"),
        ("sort 20-00-00", "20-00-00"),
        ("giro 999-0003", "0003"),
        ("account_number=1234 567", "567"),
        ("{'account_number': '12345'}", "12345"),
        ("token=abc123&next=/", "abc123"),
        ("Authorization: Bearer abc.def-ghi", "abc.def"),
        ("password: hunter2", "hunter2"),
        ("/accounts/password/reset/key/7-cabc-123/", "cabc"),
        (f"Internal Server Error: /i/{'aB3_-' * 8}xyz/", "aB3"),
        (f"Not Found: /accounts/lost/stop/{'aB3_-' * 8}xyz/", "aB3"),
        (f"Not Found: /profiles/stop/{'aB3_-' * 8}xyz/", "aB3"),
        (f"Too Many Requests: /calendar/{'aB3_-' * 8}xyz.ics", "aB3"),
        (f"Not Found: /u/{mute_token(7, 'reminders:12')}/", "reminders"),
        ("mail to ida.berg@nordvik.example", "ida.berg"),
        ("holder: Nordvik Konsult AB", "Konsult"),
        (
            "null value\nDETAIL:  Failing row contains (7, Ida\nBerg, x).",
            "Berg",
        ),
    ],
)
def test_numbers_addresses_and_secrets_do_not_reach_a_log(text, hidden):
    assert hidden in text

    assert hidden not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "enrollment 3f2504e0-4f89-11d3-9a0c-0305e82c3301 submitted",
        "request 0b5e4d2c1a0f4e8d9c7b6a5948372615 done",
        "renewed at 2026-07-01T00:00:00+02:00, 14 of 412",
        "2026-11-21 00:37:00,123 from 192.168.100.200",
        "FY27 rows 1234567 in 60 s, status 404",
    ],
)
def test_ids_moments_and_counts_stay_readable(text):
    assert redact(text) == text


def test_a_line_says_when_where_and_for_which_request():
    token = request_id.set("0b5e4d2c1a0f4e8d9c7b6a5948372615")
    try:
        said = line("invited %s people", 4, campaign=7)
    finally:
        request_id.reset(token)

    assert said["at"].endswith("Z")
    assert said["level"] == "INFO"
    assert said["logger"] == "portal"
    assert said["message"] == "invited 4 people"
    assert said["campaign"] == 7
    assert said["request_id"] == "0b5e4d2c1a0f4e8d9c7b6a5948372615"


def test_without_a_request_there_is_no_request_id():
    assert "request_id" not in line("tick")


def test_a_line_break_cannot_start_a_line_of_its_own():
    said = line('x\n{"level": "ERROR"}\r\u2028')

    assert said["level"] == "INFO"
    assert said["message"].startswith("x\n")


def test_extra_values_are_hidden_by_name_and_by_pattern():
    said = line(
        "saved",
        iban="x",
        profile={"account_number": "1234", "country": "SE", "note": IBAN},
        numbers=[12345678, 7, IBAN],
        email="not even this",
        target=uuid.UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        request=object(),
        thing=object(),
    )

    assert said["iban"] == "[redacted]"
    assert said["email"] == "[redacted]"
    assert said["profile"] == {
        "account_number": "[redacted]",
        "country": "SE",
        "note": "[redacted]",
    }
    assert said["numbers"] == ["[redacted]", 7, "[redacted]"]
    assert said["target"] == "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    assert said["thing"] == "<object>"
    assert "request" not in said


def test_named_arguments_are_hidden_by_name():
    said = line("holder %(holder)s of %(country)s", {"holder": "Ida", "country": "SE"})

    assert said["message"] == "holder [redacted] of SE"


def test_an_exception_is_told_without_the_number_in_it():
    try:
        raise ValueError(f"bad account {IBAN}")
    except ValueError:
        said = line("failed", exc_info=sys.exc_info())

    assert "ValueError" in said["exception"]
    assert IBAN not in said["exception"]


def test_arguments_that_do_not_fit_are_not_shown(capsys):
    said = line("%s and %s", IBAN)

    assert IBAN not in json.dumps(said)
    assert "did not fit" in said["message"]
    assert IBAN not in capsys.readouterr().err


@given(st.from_regex(r"[0-9]([ ./-]?[0-9]){7,16}", fullmatch=True))
@example("00.0.0.00/0.0")
@example("10.20.30.4-55-66")
def test_no_run_of_eight_digits_survives_unless_it_is_a_day_or_a_host(number):
    written = redact(f"value {number} end")

    digits = "".join(filter(str.isdigit, written))
    assert len(digits) < 8 or written == f"value {number} end"
    if not (number[4:5] == "-" or number.count(".") == 3):
        assert digits == ""


@given(st.text())
def test_every_text_makes_one_line_of_json(text):
    assert set(line("%s", text)) == {"at", "level", "logger", "message"}
