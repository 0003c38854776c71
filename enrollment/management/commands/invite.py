"""Invites every eligible location of a program that has no enrollment yet."""

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.formats import date_format
from django.utils.timezone import localdate
from django.utils.translation import gettext as _

from accounts.commands import PortalCommand
from accounts.models import IncentiveProgram, Location
from enrollment import services
from enrollment.models import Enrollment, ProgramTerms


class Command(PortalCommand):
    help = "Invite every eligible location of a program that has no enrollment yet."

    def add_arguments(self, parser):
        parser.add_argument("program", help="the program's code, like CSP-DB")
        parser.add_argument(
            "--year",
            type=int,
            help="the fiscal year, by the year it ends in; the running one if left out",
        )

        parser.add_argument(
            "--location",
            metavar="PARTNERID",
            help="with --anew: the location whose invitation was not answered in time",
        )
        parser.add_argument(
            "--anew",
            action="store_true",
            help="invite one location again whose invitation has expired",
        )

    def handle(self, *args, program, year, location, anew, **options):
        if anew != bool(location):
            raise CommandError(_("Give --location and --anew together, or neither."))
        if anew:
            self._invite_anew(self._terms(program.upper(), year), location)
            return
        for terms in self._terms(program.upper(), year):
            try:
                run = services.invite_locations(terms, by=None)
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
            self.stdout.write(
                _("%(program)s, fiscal year %(year)s: %(outcome)s")
                % {
                    "program": terms.program.code,
                    "year": terms.fiscal_year,
                    "outcome": run.sentence,
                }
            )

    def _invite_anew(self, terms: list[ProgramTerms], partner_id: str) -> None:
        try:
            location = Location.objects.get_by_partner_id(partner_id)
            enrollment = Enrollment.objects.filter(
                terms__in=terms, location=location
            ).first()
            if enrollment is None:
                raise ValidationError(
                    _("%(location)s has no enrollment in %(program)s to invite anew."),
                    params={
                        "location": location.name,
                        "program": terms[0].program.code,
                    },
                )
            enrollment = services.invite_anew(enrollment, by=None)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(
            _("%(location)s is invited to %(program)s, until %(day)s.")
            % {
                "location": location.name,
                "program": terms[0].program.code,
                "day": date_format(enrollment.enroll_by, "j F Y"),
            }
        )

    def _terms(self, code: str, year: int | None) -> list[ProgramTerms]:
        if not IncentiveProgram.objects.filter(code=code).exists():
            raise CommandError(
                _("There is no program with the code %(code)s.") % {"code": code}
            )
        terms = (
            ProgramTerms.objects.filter(program__code=code)
            .select_related("program", "fiscal_year__calendar")
            .order_by("fiscal_year__starts_on", "pk")
        )
        if year is None:
            chosen = [row for row in terms if row.fiscal_year.contains(row.today())]
            when = date_format(localdate(), "j F Y")
        else:
            chosen = list(terms.filter(fiscal_year__number=year))
            when = str(year)
        if not chosen:
            raise CommandError(
                _("%(program)s has no terms for the fiscal year of %(when)s.")
                % {"program": code, "when": when}
            )
        return chosen
