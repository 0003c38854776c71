"""What every command of the portal keeps: the trail says which command it was."""

from django.core.management.base import BaseCommand

from accounts.origin import Door, Origin, coming_from
from accounts.services import write_refusals


class PortalCommand(BaseCommand):
    """A command whose events say its name; its refusals are written at its end."""

    def execute(self, *args, **options):
        name = type(self).__module__.rpartition(".")[2]
        here = Origin(door=Door.COMMAND, name=name)
        try:
            with coming_from(here):
                return super().execute(*args, **options)
        finally:
            write_refusals(here)
