"""Loads the demo: invented companies and people, and all that happened to them.

What the files under demo/ leave out, because the portal cannot do it yet: documents
such as a certificate of tax residence; tax details outside Sweden, Germany, the United
Kingdom and the United States, so locations elsewhere are invited but cannot submit;
bank accounts in Japan, India, Australia and Canada; the confirmation of a credit note;
last year's enrollments continued into this one; a company whose people have all left.
Nordic Growth Booster runs the whole year, so that it is open on every day.
"""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import override

from accounts.models import PartnerAccount, RoleAssignment, User
from accounts.roles import Role
from enrollment.management.demo.files import rows
from enrollment.management.demo.story import tell

# Everybody's, printed for whoever runs the demo; nobody real can get it (see tell()).
PASSWORD = "demo-incentives-2027"
OWNER = "Program owner"
HEADINGS = ("Company", "Name", "E-mail", "Role")


class Command(BaseCommand):
    help = "Load the demo's invented companies and people; in demo mode only."

    def add_arguments(self, parser):
        parser.add_argument(
            "--if-empty",
            action="store_true",
            help="Do nothing when there are companies already.",
        )
        parser.add_argument(
            "--people",
            action="store_true",
            help="Load nothing; print who can sign in, and the password.",
        )

    def handle(self, *args, if_empty=False, people=False, **options):
        if not settings.DEMO:
            raise CommandError(
                "load_demo invents people who share a known password, so it runs in "
                "demo mode only. Set DEMO=true."
            )
        if people:
            with override("en"):
                self.stdout.write(people_table())
            return
        if if_empty and PartnerAccount.objects.exists():
            self.stdout.write("There are companies already: nothing was loaded.")
            return
        try:
            with override("en"):
                is_new = tell(password=PASSWORD)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(
            "The demo is loaded."
            if is_new
            else "The demo was loaded before: nothing was changed."
        )


def people_table() -> str:
    """Return the demo's people who are here, with their roles as they are now."""
    known = {user.email: user for user in User.objects.order_by("pk")}
    names = dict(
        PartnerAccount.objects.order_by("pk").values_list("partner_id", "name")
    )
    lines = [
        (names[row["company"]], row["full_name"], row["email"], _roles(row))
        for row in rows("people")
        if row["email"] in known and row["company"] in names
    ] + [
        (OWNER, row["full_name"], row["email"], _groups(known[row["email"]]))
        for row in rows("operators")
        if row["email"] in known
    ]
    if not lines:
        return "The demo's people are not here: run load_demo first."
    widths = [max(map(len, column)) for column in zip(HEADINGS, *lines, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (HEADINGS, *lines)
    ]
    table.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(
        [*(line.rstrip() for line in table), "", f"Everybody's password: {PASSWORD}"]
    )


def _roles(row: dict[str, str]) -> str:
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
    return ", ".join(roles) or "no role"


def _groups(operator: User) -> str:
    names = sorted(operator.groups.values_list("name", flat=True))
    return ", ".join(names) or "Superuser"
