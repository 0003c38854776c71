"""Print or export the head of every chain of the audit trail, to be kept elsewhere."""

import json
from pathlib import Path

from django.core.management.base import CommandError
from django.utils import timezone

from accounts.commands import PortalCommand
from accounts.models import AuditChain


class Command(PortalCommand):
    """A head is how far a chain got and its last hash: what audit_verify compares.

    An export is worth as much as the place it is kept in: one that nobody who can
    write to the database can write to (security.md T16).
    """

    help = "Print the heads of the audit trail's chains, or export them to a new file."
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument(
            "--export",
            type=Path,
            metavar="FILE",
            help="a file that is not there yet; without it the heads are printed",
        )

    def handle(self, *, export, **options):
        heads = AuditChain.objects.order_by("chain").values("chain", "seq", "hash")
        told = json.dumps(
            {"exported_at": timezone.now().isoformat(), "heads": list(heads)}, indent=1
        )
        if export is None:
            self.stdout.write(told)
            return
        try:
            with export.open("x") as file:
                file.write(f"{told}\n")
        except OSError as error:
            raise CommandError(f"{export} could not be written: {error}.") from error
        self.stdout.write(self.style.SUCCESS(f"{len(heads)} heads are in {export}."))
