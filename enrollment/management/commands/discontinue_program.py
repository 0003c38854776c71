"""Withdraws a program: its open enrollments end as Discontinued."""

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.commands import PortalCommand
from accounts.models import IncentiveProgram
from enrollment import services


class Command(PortalCommand):
    help = "Withdraw a program for good: its open enrollments end as Discontinued."

    def add_arguments(self, parser):
        parser.add_argument("program", help="the program's code, like LEGACY-OS")

    def handle(self, *args, program, **options):
        withdrawn = IncentiveProgram.objects.filter(code=program.upper()).first()
        if withdrawn is None:
            raise CommandError(
                _("There is no program with the code %(code)s.") % {"code": program}
            )
        ended = services.discontinue_program(withdrawn, by=None)
        self.stdout.write(
            ngettext(
                "%(program)s is discontinued; %(count)d enrollment ended.",
                "%(program)s is discontinued; %(count)d enrollments ended.",
                ended,
            )
            % {"program": withdrawn.name, "count": ended}
        )
