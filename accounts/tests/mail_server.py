"""A real mail server for tests, which can be broken on purpose while it runs."""

import asyncio
import contextlib
import email
import email.policy
import socket
import threading
import time
from collections import Counter
from email.message import EmailMessage
from typing import Self

from aiosmtpd.smtp import SMTP

from accounts.tests.canaries import WATCH

# What the server can do wrong; `mode` is one of these words.
ACCEPTS = "accepts"
IS_CLOSING = "is closing"  # 421 to every recipient
SAYS_LATER = "says later"  # 450 to every recipient
SAYS_NEVER = "says never"  # 550 to every recipient
WANTS_NO_SENDER = "wants no sender"  # 530 to every sender
WANTS_NO_TEXT = "wants no text"  # 451 to every text, before it comes
HANGS_UP_FIRST = "hangs up first"  # before it was told of any mail
HANGS_UP_AMID = "hangs up amid"  # while the text comes in: nothing arrived
HANGS_UP_AFTER = "hangs up after"  # the text has arrived, the answer has not been sent
IS_SLOW = "is slow"  # answers a text only after `seconds`


class MailServer:
    """Keeps what it accepted in `messages`; every mode can change at any moment."""

    def __init__(self):
        self.mode = ACCEPTS
        self.unknown: set[str] = set()
        self.seconds = 0.0
        self.messages: list[EmailMessage] = []
        self.connections = 0
        self.port = _free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_):
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._listen())

    def refuse(self) -> None:
        """Stop listening and hang up: connections are refused from now on."""
        self._run(self._hang_up())

    def reset(self) -> None:
        """Be as new, for the next test."""
        self.refuse()
        self.mode, self.unknown, self.seconds = ACCEPTS, set(), 0.0
        self.messages, self.connections = [], 0
        self.open()

    @property
    def message_ids(self) -> Counter:
        """How often each Message-ID arrived."""
        return Counter(message["Message-ID"] for message in self.messages)

    def wait_for(self, number: int, *, seconds: float = 15) -> list[EmailMessage]:
        """Return the messages as soon as there are so many."""
        end = time.monotonic() + seconds
        while len(self.messages) < number and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.messages) >= number, self.messages
        return self.messages

    # --- What aiosmtpd asks -------------------------------------------------------

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.mode == WANTS_NO_SENDER:
            return "530 Sign in first"
        if self.mode == HANGS_UP_FIRST:
            server.transport.abort()
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.mode == IS_CLOSING:
            return "421 The service closes"
        if self.mode == SAYS_LATER:
            return "450 Come again"
        if self.mode == SAYS_NEVER or address in self.unknown:
            return "550 Nobody here has this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(
            envelope.content, policy=email.policy.default
        )
        WATCH.look_at_mail(message)
        self.messages.append(message)
        if self.mode == HANGS_UP_AFTER:
            server.transport.abort()
        if self.mode == IS_SLOW:
            await asyncio.sleep(self.seconds)
        return "250 OK"

    # --- Inside ---------------------------------------------------------------------

    def _run(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(
            lambda: _Dialogue(self), "127.0.0.1", self.port
        )

    async def _hang_up(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for transport in [*self._transports]:
            transport.abort()
        # The dialogues notice that their line is dead before the loop may end.
        while self._transports:
            await asyncio.sleep(0.01)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 5)
        self._server = None

    def came(self, transport) -> None:
        self.connections += 1
        self._transports.add(transport)

    def left(self, transport) -> None:
        self._transports.discard(transport)


class _Dialogue(SMTP):
    def __init__(self, server: MailServer):
        super().__init__(server, hostname="mail.example", enable_SMTPUTF8=True)
        self._mail_server = server

    def connection_made(self, transport):
        super().connection_made(transport)
        self._mail_server.came(transport)

    def connection_lost(self, error):
        self._mail_server.left(self.transport)
        super().connection_lost(error)

    async def smtp_DATA(self, arg):
        if self._mail_server.mode == HANGS_UP_AMID:
            await self.push("354 Go on")
            await self._reader.readline()
            self.transport.abort()
            return
        if self._mail_server.mode == WANTS_NO_TEXT:
            await self.push("451 No text today")
            return
        await super().smtp_DATA(arg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
