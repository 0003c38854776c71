"""Reads measured values of locations from a CSV file."""

from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.commands import PortalCommand
from enrollment import services


class Command(PortalCommand):
    help = (
        "Read measured values from a CSV file with the columns partner_id, criterion, "
        "value, measured_on and source. Lines that are right are stored; lines that "
        "are wrong are reported and make the command fail."
    )

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path, help="a CSV file in UTF-8")

    def handle(self, *args, file, **options):
        try:
            report = services.import_measured_values(file.read_bytes(), by=None)
        except OSError as error:
            raise CommandError(
                _("%(file)s cannot be read: %(reason)s.")
                % {"file": file, "reason": error.strerror}
            ) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        for sentence in report.errors:
            self.stderr.write(sentence)
        self.stdout.write(report.sentence)
        if report.errors:
            rejected = len(report.errors)
            raise CommandError(
                ngettext(
                    "%(count)d line was rejected; the others are stored.",
                    "%(count)d lines were rejected; the others are stored.",
                    rejected,
                )
                % {"count": rejected}
            )
