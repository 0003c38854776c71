"""Loads the demo: invented companies and people, and all that happened to them.

What the files hold, and whom to sign in as for what: demo/README.md. They leave out the
confirmation of a credit note, which has no page yet, and last year's enrollments
continued into this one, which takes a year end and two operators. Canada, Australia,
Japan and India have no bank or tax profile: who enrolls there begins with them. Nordic Growth Booster runs the whole year, so that it is open on every day.
"""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from accounts.commands import PortalCommand
from accounts.models import PartnerAccount, RoleAssignment, User
from accounts.roles import Role
from enrollment.management.demo.files import rows
from enrollment.management.demo.story import tell

# Everybody's, printed for whoever runs the demo; only invented people ever have it.
PASSWORD = "demo-incentives-2027"


class Command(PortalCommand):
    help = "Load the demo's invented companies and people; in demo mode only."

    def add_arguments(self, parser):
        parser.add_argument(
            "--if-empty",
            action="store_true",
            help="do nothing when there are companies already",
        )
        parser.add_argument(
            "--people",
            action="store_true",
            help="load nothing; print who can sign in, and the password",
        )

    def handle(self, *args, if_empty=False, people=False, **options):
        if not settings.DEMO:
            raise CommandError(
                _(
                    "The demo's people share a password that everybody knows. Load it "
                    "in demo mode only: set DEMO=true."
                )
            )
        self.stdout.write(people_table() if people else self._loaded(if_empty))

    def _loaded(self, if_empty: bool) -> str:
        if if_empty and PartnerAccount.objects.exists():
            return _("There are companies already. Nothing was loaded.")
        try:
            is_new = tell(password=PASSWORD)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        if is_new:
            return _("The demo is loaded.")
        return _("The demo was loaded before. Nothing was changed.")


def people_table() -> str:
    """Return the demo's people who are here, with their roles as they are now."""
    known = {user.email: user for user in User.objects.order_by("pk")}
    companies = dict(
        PartnerAccount.objects.order_by("pk").values_list("partner_id", "name")
    )
    lines = [
        (companies[row["company"]], row["full_name"], row["email"], _roles(row))
        for row in rows("people")
        if row["email"] in known and row["company"] in companies
    ]
    lines += [
        (
            _("Program owner"),
            row["full_name"],
            row["email"],
            _groups(known[row["email"]]),
        )
        for row in rows("operators")
        if row["email"] in known
    ]
    if not lines:
        return _("The demo's people are not here. Run load_demo first.")
    headings = (_("Company"), _("Name"), _("E-mail"), _("Role"))
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    table = [headings, tuple("-" * width for width in widths), *lines]
    return "\n".join(
        [
            *("  ".join(map(str.ljust, line, widths)).rstrip() for line in table),
            "",
            _("Everybody's password: %(password)s") % {"password": PASSWORD},
        ]
    )


def _roles(row: dict[str, str]) -> str:
    """Name a person's roles in a company, each with the locations it is limited to."""
    places: dict[str, list[str]] = {}
    for role, location in (
        RoleAssignment.objects.live()
        .filter(user__email=row["email"], partner_account__partner_id=row["company"])
        .order_by("pk")
        .values_list("role", "location__name")
    ):
        places.setdefault(role, []).extend(filter(None, [location]))
    roles = [
        str(Role(role).label) + (f" ({', '.join(where)})" if where else "")
        for role, where in places.items()
    ]
    return ", ".join(roles) or _("No role")


def _groups(operator: User) -> str:
    names = sorted(operator.groups.values_list("name", flat=True))
    return ", ".join(names) or _("Superuser")
