"""Logs: one JSON line an event, in UTC, with bank and tax numbers and addresses removed."""

import json
import logging
import re
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from django.db.models import Model

request_id: ContextVar[str] = ContextVar("request_id", default="")

REDACTED = "[redacted]"
LEAST_SECRET_DIGITS = 8
MAX_DEPTH = 4

# A key whose name holds one of these words never shows its value.
SECRET_WORDS = (
    "account_?(?:number|no)|iban|bic|swift|routing(?:_number)?|sort_?code|clearing"
    "|bankgiro|plusgiro|org_?(?:number|nr)|vat|tax_?(?:number|id)|company_number"
    "|utr|ein|ssn|password|passwd|secret|token|cookie|session_?(?:id|key)|csrf"
    "|authorization|api_?key|signature|recovery|otp|e[_-]?mail"
)
SECRET_SENTENCES = "holder|beneficiary|legal_name|street|address|phone"
SECRET_KEY = re.compile(
    rf"(?:\b|_)(?:{SECRET_WORDS}|{SECRET_SENTENCES})s?(?:\b|_)|password|token|secret",
    re.IGNORECASE,
)

# Read from left to right; what matches a `keep` is written as it stands, because an
# incident cannot be followed without ids, moments and where a request came from.
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
KEEP = rf"""
    (?P<keep>
        (?<![\w-]) [0-9a-f]{{8}} (?:-[0-9a-f]{{4}}){{3}} - [0-9a-f]{{12}} (?![\w-])
      | (?<!\w) (?=\d{{0,64}}[a-f])
        (?:[0-9a-f]{{32}} | [0-9a-f]{{40}} | [0-9a-f]{{64}}) (?!\w)
      | (?<![\d.]) (?:{OCTET}\.){{3}} {OCTET} (?![\d.] | [ /-]\d)
      | (?<![\w.-])
        (?:19|20)\d\d - (?:0[1-9]|1[0-2]) - (?:0[1-9]|[12]\d|3[01])
        (?: [T ] [0-2]\d:[0-5]\d (?: :[0-5]\d (?:[.,]\d{{1,6}})? )?
            (?: Z | [+-]\d\d:?\d\d )? )?
        (?! [\w-] | [ ./]\d )
    )
"""
GAP = r"[ \t\u00a0\u2007\u2009\u202f./\-\u2010-\u2015\u2212]{0,2}"
SECRET = rf"""
    (?P<postgres>
        \b DETAIL: (?s:.*?)
        (?= \n\nThe\ above\ exception | \n\nDuring\ handling | \Z )
    )
  | (?P<name>
        \b [\w-]{{0,24}} (?:{SECRET_WORDS}) s? \b ["']? \s* (?:=>|[=:]) \s*
    )
    (?: "[^"\n]*" | '[^'\n]*' | \d[\d ./-]*
      | (?: (?:bearer|basic) \s+ )? [^\s"'&,;)}}\]]+ )
  | (?P<sentence_name>
        \b [\w-]{{0,24}} (?:{SECRET_SENTENCES}) s? \b ["']? \s* (?:=>|[=:]) \s*
    )
    (?: "[^"\n]*" | '[^'\n]*' | [^"'&,;)}}\]\n]+ )
  | \b (?:bearer|basic) \s+ [A-Za-z0-9._~+/=-]{{8,}}
  | (?: (?<=/key/) | (?<=/u/) ) [^/\s]+
  | (?: (?<=/i/) | (?<=/stop/) | (?<=/calendar/) | (?<=/part/link/) ) [\w-]{{43}}
  | [^\s@"'<>(),;:=]{{1,64}} @ [^\s@"'<>(),;:=]{{1,255}}
  | (?-i: \b [A-Z]{{2}} \d\d (?: [\s-]? [A-Z0-9]{{4}} ){{2,7}}
          (?: [\s-]? [A-Z0-9]{{1,4}} )? \b )
  | (?-i: \b [A-Z]{{1,4}} [\s-]? )? \d (?: {GAP} \d ){{{LEAST_SECRET_DIGITS - 1},}}
    (?-i: [A-Z]{{1,2}} \b )?
  | (?<![\w-]) \d\d-\d\d-\d\d (?![\w-])
  | (?<![\w-]) \d{{3}}-\d{{4}} (?![\w-])
  | (?-i: \b [A-Z]{{2}} \s? \d{{6,7}} [A-Z]? \b | \b [A-Z]{{5}} \d{{4}} [A-Z] \b )
"""
PATTERN = re.compile(f"{KEEP} | {SECRET}", re.IGNORECASE | re.VERBOSE)

STANDARD_ATTRIBUTES = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
    "request",
}


def redact(text: str) -> str:
    """Replace numbers, addresses and secrets in a text; keep ids and moments."""
    return PATTERN.sub(_replacement, text)


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON line; nothing in it can start another line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(_message(record)),
        }
        if identity := request_id.get():
            line["request_id"] = redact(identity)
        for name, value in vars(record).items():
            if name not in STANDARD_ATTRIBUTES:
                line[name] = _safe(name, value)
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        elif record.exc_text:
            line["exception"] = redact(record.exc_text)
        if record.stack_info:
            line["stack"] = redact(self.formatStack(record.stack_info))
        return json.dumps(line)


def _message(record: logging.LogRecord) -> str:
    """Say the message; arguments that do not fit must not reach standard error raw."""
    arguments = record.args
    if isinstance(arguments, Mapping):
        record_args = {key: _named(key, value) for key, value in arguments.items()}
    else:
        record_args = arguments
    try:
        return str(record.msg) % record_args if record_args else str(record.msg)
    except Exception:  # noqa: BLE001 - an argument's own __str__ raises anything
        return f"{record.msg} (its arguments did not fit)"


def _named(name: object, value: object) -> object:
    return REDACTED if SECRET_KEY.search(str(name)) else value


def _safe(name: str, value: object, depth: int = 0) -> object:
    """Give a value of a record that json can write and everybody may read."""
    if SECRET_KEY.search(name):
        return REDACTED
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10 ** (LEAST_SECRET_DIGITS - 1) else REDACTED
    if isinstance(value, str | UUID | date | Decimal):
        return redact(str(value))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {
            redact(str(key)): _safe(str(key), item, depth + 1)
            for key, item in value.items()
        }
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_safe("", item, depth + 1) for item in value]
    return f"<{type(value).__name__}>"


def _replacement(match: re.Match[str]) -> str:
    if match["keep"]:
        return match["keep"]
    return (match["name"] or match["sentence_name"] or "") + REDACTED


def log_failure(logger: logging.Logger, one: Model, error: Exception) -> None:
    """Log that something failed with one record, by its kind and place alone.

    The error's words may hold what was typed, so that they are in no log.
    """
    steps = traceback.extract_tb(error.__traceback__)
    place = " ".join(f"{Path(step.filename).name}:{step.lineno}" for step in steps)
    kind = type(error).__name__
    logger.error("%s %s failed: %s at %s", one._meta.label, one.pk, kind, place)
