"""Reads one mail to the sender's address: that a mail came back, or "unsubscribe"."""

import sys

from django.utils.translation import gettext as _

from accounts import services
from accounts.bounces import LARGEST
from accounts.commands import PortalCommand


class Command(PortalCommand):
    help = "Read one mail from standard input: a bounce, or an unsubscribe."

    def handle(self, *args, **options):
        changed = services.receive_mail(sys.stdin.buffer.read(LARGEST + 1))
        self.stdout.write(
            _("Done.") if changed else _("Nothing in this mail is about ours.")
        )
