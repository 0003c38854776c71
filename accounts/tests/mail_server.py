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

from accounts.tests import weather
from accounts.tests.canaries import WATCH
from accounts.tests.weather import Weather

# What the server can do wrong; `mode` is one of these words.
ACCEPTS = "accepts"
IS_CLOSING = "is closing"  # 421 to every recipient
SAYS_LATER = "says later"  # 450 to every recipient
SAYS_NEVER = "says never"  # 550 to every recipient
WANTS_NO_GREETING = "wants no greeting"  # 550 to whoever says hello
WANTS_NO_SENDER = "wants no sender"  # 530 to every sender
WANTS_NO_TEXT = "wants no text"  # 451 to every text, before it comes
HANGS_UP_FIRST = "hangs up first"  # before it was told of any mail
HANGS_UP_AMID = "hangs up amid"  # while the text comes in: nothing arrived
HANGS_UP_AFTER = "hangs up after"  # the text has arrived, the answer has not been sent
IS_SLOW = "is slow"  # answers a text only after `seconds`
TAKES_LEAVE = "takes leave"  # 421 to a text for nobody, and hangs up
TAKES_NO_CHUNK = "takes no chunk"  # 500 to a text that comes with its length

OFFERS = ("PIPELINING", "CHUNKING")


class MailServer:
    """Keeps what it accepted in `messages`; every mode can change at any moment."""

    def __init__(self):
        self.mode = ACCEPTS
        # What goes wrong by chance, beside the mode.
        self.weather: Weather | None = None
        self.unknown: set[str] = set()
        # What came with the last sender.
        self.said_of_text: list[str] = []
        self.seconds = 0.0
        # Several commands at once (RFC 2920), several texts with them (RFC 3030).
        self.offers = OFFERS
        self.messages: list[EmailMessage] = []
        self._ids: Counter = Counter()
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
        self.messages, self.connections, self.weather = [], 0, None
        self._ids = Counter()
        self.offers = OFFERS
        self.open()

    @property
    def message_ids(self) -> Counter:
        """How often each Message-ID arrived; aiosmtpd asks for it at each connection."""
        return Counter(self._ids)

    def wait_for(self, number: int, *, seconds: float = 15) -> list[EmailMessage]:
        """Return the messages as soon as there are so many."""
        end = time.monotonic() + seconds
        while len(self.messages) < number and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.messages) >= number, self.messages
        return self.messages

    # --- What aiosmtpd asks -------------------------------------------------------

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return [*responses[:1], *(f"250-{one}" for one in self.offers), *responses[1:]]

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.mode == WANTS_NO_SENDER:
            return "530 Sign in first"
        if self.mode == HANGS_UP_FIRST:
            server.transport.abort()
        envelope.mail_from, self.said_of_text = address, options
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
        fault = self.fault_at("text", envelope.rcpt_tos[0])
        if fault[:1] in ("4", "5"):
            return fault
        message = email.message_from_bytes(
            envelope.content, policy=email.policy.default
        )
        WATCH.look_at_mail(message)
        self.messages.append(message)
        self._ids[message["Message-ID"]] += 1
        if self.mode == HANGS_UP_AFTER:
            server.transport.abort()
        if self.mode == IS_SLOW:
            await asyncio.sleep(self.seconds)
        await server.suffer(fault)
        return "250 OK"

    def fault_at(self, stage: str, address: str = "") -> str:
        return self.weather.at(stage, address) if self.weather else ""

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
        self._greeting = ""

    def connection_made(self, transport):
        super().connection_made(transport)
        self._mail_server.came(transport)

    def connection_lost(self, error):
        self._mail_server.left(self.transport)
        super().connection_lost(error)

    async def suffer(self, fault: str) -> bool:
        """Do what goes wrong; True where nothing is left to be said."""
        if fault == weather.IS_LATE:
            await asyncio.sleep(self._mail_server.weather.delay)
            return False
        if fault in (weather.GOES_SILENT, weather.GOES_SILENT_AFTER):
            await asyncio.sleep(self._mail_server.weather.silence)
            self.transport.abort()
        elif fault in (weather.HANGS_UP, weather.HANGS_UP_AFTER):
            self.transport.abort()
        elif fault:
            await self.push(fault)
        if fault == weather.CLOSES:
            self.transport.close()
        return bool(fault)

    async def _handle_client(self):
        if not await self.suffer(self._mail_server.fault_at("connect")):
            await super()._handle_client()

    async def smtp_EHLO(self, arg):
        self._greeting = self._mail_server.fault_at("EHLO")
        if self._mail_server.mode == WANTS_NO_GREETING:
            self._greeting = "550 Not you"
        if not await self.suffer(self._greeting):
            await super().smtp_EHLO(arg)

    async def smtp_HELO(self, arg):
        # Who was refused is asked again in the old way, and refused.
        if not await self.suffer(self._greeting):
            await super().smtp_HELO(arg)

    async def smtp_MAIL(self, arg):
        if not await self.suffer(self._mail_server.fault_at("MAIL")):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg):
        address = arg.partition("<")[2].partition(">")[0]
        if not await self.suffer(self._mail_server.fault_at("RCPT", address)):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg):
        if not self.envelope.rcpt_tos:
            # Said with what was refused.
            await super().smtp_DATA(arg)
            return
        (address,) = self.envelope.rcpt_tos
        if await self.suffer(self._mail_server.fault_at("DATA", address)):
            return
        if fault := self._mail_server.fault_at("amid", address):
            await self.push("354 Go on")
            await self._reader.readline()
            await self.suffer(fault)
            return
        if self._mail_server.mode == HANGS_UP_AMID:
            await self.push("354 Go on")
            await self._reader.readline()
            self.transport.abort()
            return
        if self._mail_server.mode == WANTS_NO_TEXT:
            await self.push("451 No text today")
            return
        await super().smtp_DATA(arg)

    async def smtp_BDAT(self, arg):
        size, _space, last = arg.partition(" ")
        assert last == "LAST", "the portal sends a text whole"
        to = self.envelope.rcpt_tos[0] if self.envelope.rcpt_tos else ""
        fault = to and self._mail_server.fault_at("amid", to)
        if fault or self._mail_server.mode == HANGS_UP_AMID:
            await self._reader.readexactly(int(size) // 2)
            await self.suffer(fault or weather.HANGS_UP)
            return
        # Whoever is refused has said it all the same.
        text = await self._reader.readexactly(int(size))
        if self._mail_server.mode == TAKES_NO_CHUNK:
            await self.push("500 What?")
        elif not to and self._mail_server.mode == TAKES_LEAVE:
            await self.push(weather.CLOSES)
            self.transport.close()
        elif not to:
            await self.push("503 To whom?")
        elif self._mail_server.mode == WANTS_NO_TEXT:
            await self.push("451 No text today")
        elif not await self.suffer(self._mail_server.fault_at("DATA", to)):
            self.envelope.content = text
            answer = await self._call_handler_hook("DATA")
            self._set_post_data_state()
            await self.push(answer)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
