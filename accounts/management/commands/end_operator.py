"""Ends the access of a person of the program owner, or their part in some groups."""

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from accounts import services
from accounts.commands import PortalCommand
from accounts.operators import OPERATOR_GROUPS


class Command(PortalCommand):
    help = (
        "End an operator's access: they are signed out and cannot sign in again. With "
        "--group only their part in these groups ends. What they did stays theirs."
    )

    def add_arguments(self, parser):
        parser.add_argument("email", help="the operator's address")
        parser.add_argument(
            "--group",
            action="append",
            default=[],
            dest="groups",
            help=f"{', '.join(OPERATOR_GROUPS)}; may be given more than once",
        )

    def handle(self, *args, email, groups, **options):
        try:
            operator = services.end_operator(email=email, groups=groups)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        sentence = _("%(name)s (%(email)s) is an operator: %(groups)s.")
        if not operator.is_active:
            sentence = _("The access of %(name)s (%(email)s) has ended.")
        held = sorted(operator.groups.values_list("name", flat=True))
        self.stdout.write(
            sentence
            % {
                "name": operator.full_name,
                "email": operator.email,
                "groups": ", ".join([_("Superuser")] * operator.is_superuser + held)
                or _("no group"),
            }
        )
