"""Starts a company with its locations and its first Global admin."""

import csv
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import services
from accounts.commands import PortalCommand
from accounts.models import Language

REQUIRED = ("partner_id", "name", "country")
OPTIONAL = ("legal_name", "street", "postcode", "city")


class Command(PortalCommand):
    help = (
        "Start a company with its locations and its first Global admin, who is mailed "
        "where to choose a password. All of it or nothing; run again, what is missing "
        "is added, such as the locations of a longer file."
    )

    def add_arguments(self, parser):
        parser.add_argument("partner_id", help="the global PartnerID, like 5012001")
        parser.add_argument("--name", required=True)
        parser.add_argument("--legal-name", default="", help="the name, if left out")
        parser.add_argument("--country", required=True, help="two letters, like SE")
        parser.add_argument(
            "--domain",
            action="append",
            default=[],
            dest="domains",
            help="of its people's addresses; others are guests. Can be repeated",
        )
        parser.add_argument(
            "--admin", required=True, help="address of the first Global admin"
        )
        parser.add_argument("--admin-name", required=True, help="their full name")
        parser.add_argument("--language", choices=Language.values, default="en")
        parser.add_argument(
            "--locations",
            type=Path,
            help=f"a CSV file in UTF-8 with the columns {', '.join(REQUIRED)} and, if "
            f"known, {', '.join(OPTIONAL)}",
        )

    def handle(self, *args, partner_id, locations, **options):
        try:
            done = services.set_up_company(
                partner_id=partner_id,
                name=options["name"],
                legal_name=options["legal_name"],
                country=options["country"].upper(),
                email_domains=options["domains"],
                admin_email=options["admin"],
                admin_name=options["admin_name"],
                admin_language=options["language"],
                locations=_rows(locations) if locations else [],
                by=None,
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(_told(done))


def _told(done: services.CompanySetUp) -> str:
    sentences = [
        _("%(company)s is added.") % {"company": done.account}
        if done.is_new
        else _("%(company)s was there already.") % {"company": done.account},
        ngettext(
            "%(count)d location was added.",
            "%(count)d locations were added.",
            done.locations,
        )
        % {"count": done.locations},
    ]
    if done.new_admin:
        sentences.append(
            _("%(name)s is its Global admin and is told by mail.")
            % {"name": done.new_admin.full_name}
        )
    return " ".join(sentences)


def _rows(file: Path) -> list[dict[str, str]]:
    """Read the locations; raises CommandError naming the line that is wrong."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            return [_row(reader.line_num, cells) for cells in _whole(reader)]
    except OSError as error:
        raise CommandError(
            _("%(file)s cannot be read: %(reason)s.")
            % {"file": file, "reason": error.strerror}
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(
            _("%(file)s is not a CSV file in UTF-8.") % {"file": file}
        ) from error


def _whole(reader: csv.DictReader) -> csv.DictReader:
    names = reader.fieldnames or []
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise CommandError(
            _("The first line must name the columns; missing: %(names)s.")
            % {"names": ", ".join(missing)}
        )
    return reader


def _row(number: int, cells: dict[str, str]) -> dict[str, str]:
    row = {
        name: (cells.get(name) or "").strip()
        for name in (*REQUIRED, *OPTIONAL)
        if cells.get(name)
    }
    if None in cells or any(not row.get(name) for name in REQUIRED):
        raise CommandError(
            _("Line %(line)d must give partner_id, name and country, one cell each.")
            % {"line": number}
        )
    return row | {"country": row["country"].upper()}
