"""Takes the demo's mail and puts it where the mailbox pages find it."""

import asyncio
import signal

from aiosmtpd.smtp import SMTP
from django.conf import settings
from django.core.management.base import CommandError

from accounts import demo_mail
from accounts.commands import PortalCommand


class _Mailbox:
    async def handle_DATA(self, server, session, envelope) -> str:
        demo_mail.store(envelope.original_content)
        return "250 OK"


class Command(PortalCommand):
    help = "Receives mail at 127.0.0.1 and keeps it for the demo's mailbox pages."
    # It serves no page: looking through all of them takes longer than its start.
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("--port", type=int, required=True)

    def handle(self, *, port: int, **options):
        if not settings.DEMO:
            raise CommandError("Only the demo has a mailbox: DEMO is not true.")
        try:
            asyncio.run(self._serve(port))
        except OSError as error:
            raise CommandError(
                f"Mail cannot be received at port {port}: {error.strerror}."
            ) from None

    async def _serve(self, port: int) -> None:
        """Receive until the process is asked to stop; nobody else can connect."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(_Mailbox(), hostname="demo", enable_SMTPUTF8=True),
            "127.0.0.1",
            port,
        )
        asked_to_stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked_to_stop.set)
        self.stdout.write(f"Receiving mail at 127.0.0.1, port {port}.")
        async with server:
            await asked_to_stop.wait()
            server.close()
