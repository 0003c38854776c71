"""Known numbers that must get nowhere, and the watch over all that a test lets out.

What is logged, mailed, written to the database, given to Redis, kept in a session or
answered is looked through in every test (conftest.py); a test in which a known number
stands there fails. So does one that lets out the words inside a known document.
"""

import base64
import io
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote_to_bytes

import pytest
import redis
from celery import Celery
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.core.mail import EmailMessage as DjangoMessage
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.http import HttpResponse
from django.test import Client
from psycopg2.extras import Json
from redis.connection import AbstractConnection

# What people and programs write between the groups of a number, byte by byte: also the
# bytes of a space that does not break, plain and narrow.
BETWEEN = b" \t\r\n-./+\xc2\xa0\xe2\x80\xaf"
ESCAPED = (b"&nbsp;", b"\\u00a0", b"\\u202f", b"%20", b"%C2%A0", b"%2F", b"%2D")
LEAST = 7
# A row of digits is quickly found where each of them is a zero.
LONG_ROW = b"0" * 8
AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
# Long rows of digits made by chance: identifiers, digests, moments.
CHANCE = re.compile(
    rb"(?<![0-9A-Za-z])(?:"
    rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    rb"|(?=[0-9]*[a-f])[0-9a-f]{32,}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    rb"|1[0-9]{9}\.[0-9]{3,}"
    rb")(?![0-9A-Za-z])"
)
# Headers of that kind.
BY_CHANCE = ("content-type", "date", "message-id", "received")
# What a log record has before anybody gives it more.
OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({})))


# Pages on which a number stands whole, or what looks like one: an example of what to
# type, and what somebody asked to see.
NUMBERS_BELONG = frozenset(
    (
        "ops:change_reason",
        "ops:reasons",
        "profiles:bank_account",
        "profiles:change_bank",
        "profiles:change_bank_account",
        "profiles:change_tax",
        "profiles:needs",
        "profiles:part",
        "profiles:show_bank_number",
        "profiles:tax_status",
    )
)

# A table that holds such examples, for reviewers to give.
OF_EXAMPLES = "profiles_returnreason"


def core_of(number: str) -> str:
    """Return the part of a number that tells it from others, written together.

    An IBAN without country and check digits, a VAT number without its letters. Nothing
    where it is too short or too plain (1234567) to be told from other digits.
    """
    whole = re.sub("[^0-9A-Za-z]", "", number)
    core = re.sub("^[A-Z]{2}[0-9]{2}(?=.{11})|^[A-Z]+(?=[0-9]{8})", "", whole)
    plain = core.strip("0")
    is_plain = plain in "123456789" and len(plain) < 9
    return "" if is_plain or len(core) < LEAST else core


def in_base64(content: bytes) -> Iterator[bytes]:
    """Write bytes as base64 has them, wherever they begin in what was encoded."""
    for before in range(3):
        written = base64.b64encode(b"\0" * before + content)
        # The first and the last sign also hold bits of what stands beside them.
        first = -(-before * 8 // 6)
        yield written[first : (before + len(content)) * 8 // 6]


@dataclass
class Watch:
    """Knows numbers and words, and remembers where it saw one."""

    # Those with a long row of digits: looked for where any such row stands.
    words: dict[bytes, str] = field(default_factory=dict)
    odd_words: dict[bytes, str] = field(default_factory=dict)
    # As programs write them.
    encoded: dict[bytes, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def know(self, written: Iterable[str], *, encoded: bool = True) -> None:
        """Look out for numbers from now on, each as people write it; encoded too."""
        for one in written:
            core = core_of(one)
            if not core:
                continue
            is_row = LONG_ROW in core.encode().translate(AS_ZEROS)
            (self.words if is_row else self.odd_words)[core.encode()] = one
            for form in {core, one, one.replace(" ", "")} if encoded else ():
                self._know_encoded(form.encode(), one)

    def know_file(self, name: str, content: bytes) -> None:
        """Look out for a piece of a file, as it is and encoded."""
        middle = len(content) // 2
        piece = content[middle : middle + 24]
        self.encoded[_together(piece)] = name
        self._know_encoded(piece, name)

    def _know_encoded(self, content: bytes, name: str) -> None:
        for form in (content.hex().encode(), *in_base64(content)):
            self.encoded[_together(form)] = name

    def found_in(self, text: str | bytes, *, thoroughly: bool = True) -> set[str]:
        """Return what stands in a text, whatever stands between its groups.

        Thoroughly: also in base64 and hex, and escaped for an address or a page.
        """
        content = text.encode(errors="replace") if isinstance(text, str) else text
        if thoroughly:
            for one in ESCAPED:
                content = content.replace(one, b"")
            if b"%" in content:
                content = unquote_to_bytes(content)
        together = _together(content)
        found = _those_in(together, self.odd_words)
        if LONG_ROW in together.translate(AS_ZEROS):
            found |= _those_in(together, self.words)
        if found:
            # Any seven digits stand in one of some million digests.
            found = _those_in(_together(CHANCE.sub(b"|", content)), found)
        if thoroughly:
            found |= _those_in(together, self.encoded)
        return {*found.values()}

    def look(self, place: str, text: str | bytes, *, thoroughly: bool = True) -> None:
        """Remember what of it stands in a text that gets out somewhere."""
        for name in self.found_in(text, thoroughly=thoroughly):
            self.seen.append(f"{name} in {place}")

    def take(self) -> list[str]:
        """Return what was seen, and begin anew."""
        seen, self.seen[:] = list(self.seen), []
        return seen

    def complain(self) -> None:
        """Fail the test in which something was seen."""
        seen = self.take()
        assert not seen, f"got out: {sorted(set(seen))}"

    @contextmanager
    def letting_out(self) -> Iterator[list[str]]:
        """Let a test leak on purpose: what is seen inside is the test's to look at."""
        before, self.seen = self.seen, []
        try:
            yield self.seen
        finally:
            self.seen = before

    # --- Where to look ----------------------------------------------------------

    def look_at_record(self, record: logging.LogRecord) -> None:
        """Look at a line of the log before it is redacted, with all that goes with it."""
        said = [str(record.msg), repr(record.args)]
        said += [
            f"{name}={value!r}"
            for name, value in vars(record).items()
            if name not in OF_EVERY_RECORD
        ]
        # The lines of the source beside it say the same of every failure.
        error, others = record.exc_info and record.exc_info[1], set()
        while error is not None and id(error) not in others:
            others.add(id(error))
            said.append(f"{error} {error.args!r}")
            error = error.__cause__ or error.__context__
        self.look("logs", "\n".join([*said, record.stack_info or ""]))

    def look_at_mail(self, message: EmailMessage) -> None:
        """Look at a mail as it arrived: its headers and each of its texts."""
        said = [
            f"{name}: {value}".encode()
            for name, value in message.items()
            if name.lower() not in BY_CHANCE
        ]
        said += [
            part.get_payload(decode=True) or b""
            for part in message.walk()
            if not part.is_multipart()
        ]
        self.look("mails", b"\n".join(said))

    def look_at_values(self, place: str, values: Iterable) -> None:
        """Look at what is written to a row: its texts, files and columns of JSON."""
        said = []
        for value in values:
            if isinstance(value, str):
                said.append(value)
            elif isinstance(value, (bytes, memoryview)):
                said.append(bytes(value).decode("latin-1"))
            elif isinstance(value, (list, tuple)):
                said.append(repr(value))
            elif isinstance(value, Json):
                said.append(repr(value.adapted))
        self.look(place, "|".join(said), thoroughly=False)

    def look_at_page(self, response: HttpResponse) -> None:
        """Look at a page or a file that the test client was answered."""
        request, match = response.wsgi_request, response.wsgi_request.resolver_match
        # What was typed is shown again with its errors.
        is_shown = request.method == "GET" and response.status_code == 200
        if not is_shown or match is None or match.view_name in NUMBERS_BELONG:
            return
        place = f"the answer of {match.view_name}"
        if response.streaming:
            response.streaming_content = self._looked_at(
                place, response.streaming_content
            )
        else:
            self.look(place, response.content, thoroughly=False)

    def _looked_at(self, place: str, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            self.look(place, part, thoroughly=False)
            yield part


def watch_everything(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    """Show a watch everything that leaves this process, until the patch is undone."""
    execute, execute_many = CursorWrapper.execute, CursorWrapper.executemany
    encode, send_mail = SessionBase.encode, DjangoMessage.send
    send_task, send_command = Celery.send_task, AbstractConnection.send_packed_command
    request, log = Client.request, logging.Logger.handle

    def logging_it(logger, record):
        # No handler: whoever sets logging up anew takes those away.
        watch.look_at_record(record)
        log(logger, record)

    def executing(cursor, sql, params=None):
        if params and _is_writing(sql):
            watch.look_at_values("the database", params)
        return execute(cursor, sql, params)

    def executing_many(cursor, sql, rows):
        rows = list(rows)
        for params in rows if _is_writing(sql) else ():
            watch.look_at_values("the database", params)
        return execute_many(cursor, sql, rows)

    def encoding(session, kept):
        # What is stored is packed and signed.
        watch.look("a session", repr(kept), thoroughly=False)
        return encode(session, kept)

    def sending_mail(message, *arguments, **options):
        others = [one[0] for one in getattr(message, "alternatives", ())]
        watch.look("mails", "\n".join([message.subject, message.body, *others]))
        return send_mail(message, *arguments, **options)

    def sending_task(app, name, args=None, kwargs=None, **options):
        watch.look("the arguments of tasks", repr((args, kwargs)))
        return send_task(app, name, args, kwargs, **options)

    def sending_command(line, command, **options):
        parts = [command] if isinstance(command, bytes | str) else command
        watch.look("Redis", b"".join(bytes(one) for one in parts))
        return send_command(line, command, **options)

    def requesting(client, **asked):
        response = request(client, **asked)
        watch.look_at_page(response)
        return response

    for owner, name, watched in (
        (CursorWrapper, "execute", executing),
        (CursorWrapper, "executemany", executing_many),
        (SessionBase, "encode", encoding),
        (DjangoMessage, "send", sending_mail),
        (Celery, "send_task", sending_task),
        (AbstractConnection, "send_packed_command", sending_command),
        (Client, "request", requesting),
        (logging.Logger, "handle", logging_it),
    ):
        patch.setattr(owner, name, watched)


def _is_writing(sql) -> bool:
    return (
        isinstance(sql, str)
        and sql[:6] in ("INSERT", "UPDATE")
        and OF_EXAMPLES not in sql[:60]
    )


def _those_in(content: bytes, names: dict[bytes, str]) -> dict[bytes, str]:
    return {form: name for form, name in names.items() if form in content}


def _together(content: bytes) -> bytes:
    return content.translate(None, BETWEEN)


WATCH = Watch()


# --- What is kept -------------------------------------------------------------------


def everything_in_tables() -> bytes:
    """Return every row of every table as pg_dump writes them, sessions unpacked.

    By this connection: it also knows what is not committed.
    """
    written = []
    with connection.cursor() as cursor:
        names = {*connection.introspection.table_names(cursor)} - {OF_EXAMPLES}
        for name in sorted(names):
            cursor.copy_expert(f'COPY "{name}" TO STDOUT', rows := io.BytesIO())
            written.append(rows.getvalue())
    written += [repr(one.get_decoded()).encode() for one in Session.objects.all()]
    return b"\n".join(written)


def everything_in_redis(address: str, keys: str = "*") -> bytes:
    """Return every key and value of a database of Redis, or those of some keys."""
    ways = {
        b"string": lambda key: [store.get(key)],
        b"list": lambda key: store.lrange(key, 0, -1),
        b"set": lambda key: store.smembers(key),
        b"hash": lambda key: [*store.hgetall(key).items()],
        b"zset": lambda key: store.zrange(key, 0, -1),
    }
    with redis.Redis.from_url(address) as store:
        return b"\n".join(
            key + b" " + str(ways.get(store.type(key), store.dump)(key)).encode()
            for key in store.scan_iter(match=keys, count=1000)
        )
