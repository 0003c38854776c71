"""Adds a person of the program owner, who chooses a password by mail."""

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from accounts import services
from accounts.commands import PortalCommand
from accounts.models import Language
from accounts.operators import OPERATOR_GROUPS


class Command(PortalCommand):
    help = (
        "Add an operator: a person of the program owner. A mail says where to choose "
        "a password. For somebody who is an operator already, the groups that are "
        "missing are added."
    )

    def add_arguments(self, parser):
        parser.add_argument("email", help="the operator's own address")
        parser.add_argument("--name", required=True, help="the full name")
        parser.add_argument(
            "--group",
            action="append",
            default=[],
            dest="groups",
            help=f"{', '.join(OPERATOR_GROUPS)}; may be given more than once",
        )
        parser.add_argument(
            "--superuser",
            action="store_true",
            help="may do everything, and add companies and people under Records",
        )
        parser.add_argument("--language", choices=Language.values, default="en")

    def handle(self, *args, email, name, groups, superuser, language, **options):
        if not groups and not superuser:
            raise CommandError(
                _("Give at least one group: %(groups)s.")
                % {"groups": ", ".join(OPERATOR_GROUPS)}
            )
        try:
            operator = services.add_operator(
                email=email,
                full_name=name,
                groups=groups,
                is_superuser=superuser,
                language=language,
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        held = sorted(operator.groups.values_list("name", flat=True))
        self.stdout.write(
            _("%(name)s (%(email)s) is an operator: %(groups)s.")
            % {
                "name": operator.full_name,
                "email": operator.email,
                "groups": ", ".join([_("Superuser")] * operator.is_superuser + held),
            }
        )
