"""Rehearses, proposes, approves and runs the year end, and reports of it."""

import getpass
import os
import time

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from accounts.commands import PortalCommand
from accounts.console import prove_operator
from accounts.models import User
from enrollment import services
from enrollment.models import FiscalYear, RenewalPlan
from enrollment.states import Outcome

# Ask again while other workers are at the last ranges.
PAUSE = 1.0


class Command(PortalCommand):
    help = (
        "The fiscal year end: rehearse what it will do, propose and approve the plan, "
        "run it, report. Exit status 0: done; 1: refused, with the reason; 75: paused "
        "by somebody, try again later."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "year", type=int, help="the year that begins, by the year it ends in"
        )
        parser.add_argument(
            "--calendar", help="the fiscal calendar's code, where there are several"
        )
        parser.add_argument(
            "--by",
            metavar="E-MAIL",
            help="the operator who acts; the password is asked for",
        )
        act = parser.add_mutually_exclusive_group(required=True)
        act.add_argument(
            "--rehearse", action="store_true", help="write down what would happen"
        )
        act.add_argument(
            "--propose", action="store_true", help="put the newest rehearsal forward"
        )
        act.add_argument(
            "--approve", metavar="DIGEST", help="approve the plan with this digest"
        )
        act.add_argument(
            "--withdraw", action="store_true", help="take a plan back before it runs"
        )
        act.add_argument(
            "--run", action="store_true", help="run the approved plan, once it is due"
        )
        act.add_argument(
            "--pause", action="store_true", help="stop after the ranges at work"
        )
        act.add_argument(
            "--resume", action="store_true", help="go on with what was paused"
        )
        act.add_argument("--report", action="store_true", help="say where it stands")

    def handle(self, *args, **options):
        self.console = Console(file=self.stdout._out, highlight=False)
        into = self._year(options["year"], options["calendar"])
        try:
            self._act(into, options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error

    def _act(self, into: FiscalYear, options) -> None:
        if options["rehearse"]:
            by = self._operator(options["by"], "prepare") if options["by"] else None
            self._show(services.rehearse_renewals(into, by=by))
        elif options["report"]:
            self._show(self._newest(into))
        elif options["run"] or options["resume"]:
            self._run(into, resume=options["resume"])
        else:
            self._step(into, options)

    def _step(self, into: FiscalYear, options) -> None:
        plan = self._newest(into)
        right = "approve" if options["approve"] else "prepare"
        by = self._operator(options["by"], right)
        if options["propose"]:
            plan = services.propose_renewals(plan, by=by)
        elif options["approve"]:
            plan = services.approve_renewals(plan, digest=options["approve"], by=by)
        elif options["withdraw"]:
            plan = services.withdraw_renewals(plan, by=by)
        else:
            plan = services.pause_renewals(plan, by=by)
        self.stdout.write(f"{plan.get_status_display()}: {plan.digest}")

    # --- Who and which ---

    def _year(self, number: int, calendar: str | None) -> FiscalYear:
        years = FiscalYear.objects.filter(number=number).select_related("calendar")
        if calendar:
            years = years.filter(calendar__code=calendar)
        found = list(years)
        if len(found) == 1:
            return found[0]
        if not found:
            raise CommandError(_("There is no fiscal year %d.") % number)
        codes = ", ".join(sorted(year.calendar.code for year in found))
        raise CommandError(
            _("Several calendars have that year. Choose one with --calendar: %s.")
            % codes
        )

    def _newest(self, into: FiscalYear) -> RenewalPlan:
        plans = RenewalPlan.objects.filter(into=into).select_related("into__calendar")
        plan = plans.in_force().first() or plans.order_by("-number").first()
        if plan is None:
            raise CommandError(
                _("Fiscal year %(year)s was not rehearsed yet. Use --rehearse.")
                % {"year": into}
            )
        return plan

    def _operator(self, email: str | None, right: str) -> User:
        """Whoever acts has to prove it, as on the pages (domain.md §10.7)."""
        if not email:
            raise CommandError(_("Say who you are with --by E-MAIL."))
        return prove_operator(
            email, permission=f"enrollment.{right}_renewals", ask=getpass.getpass
        )

    # --- Run ---

    def _run(self, into: FiscalYear, *, resume: bool) -> None:
        plan = self._newest(into)
        if resume:
            plan = services.resume_renewals(plan, by=None)
        plan = services.start_renewals(plan, by=None, at=timezone.now())
        self._refuse_paused(plan)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(
                _("Year end %s") % plan.into, total=plan.rows_count, rate=""
            )
            began, before = time.monotonic(), services.renewal_progress(plan).done
            while not services.finish_renewals(plan):
                self._refuse_paused(plan)
                if services.renew_next_range(plan) is None:
                    # Others are at the last ranges.
                    time.sleep(PAUSE)
                done = services.renewal_progress(plan).done
                rate = (done - before) / max(time.monotonic() - began, 0.001)
                progress.update(bar, completed=done, rate=_("%d a second") % rate)
            progress.update(bar, completed=plan.rows_count)
        self._show(self._newest(into))

    def _refuse_paused(self, plan: RenewalPlan) -> None:
        plan.refresh_from_db(fields=["status"])
        if plan.is_paused:
            raise CommandError(
                _("The year end is paused. Use --resume to go on."),
                returncode=os.EX_TEMPFAIL,
            )

    # --- Report ---

    def _show(self, plan: RenewalPlan) -> None:
        table = Table(
            title=_("Fiscal year %(year)s, rehearsal %(number)d: %(status)s")
            % {
                "year": plan.into,
                "number": plan.number,
                "status": plan.get_status_display(),
            },
            title_justify="left",
        )
        table.add_column(_("Outcome"))
        table.add_column(_("Enrollments"), justify="right")
        for outcome in Outcome:
            if plan.outcomes.get(outcome):
                table.add_row(str(outcome.label), str(plan.outcomes[outcome]))
        table.add_row(_("All"), str(plan.rows_count), style="bold")
        self.console.print(table)
        self.console.print(_("Digest: %s") % plan.digest, soft_wrap=True)
        if plan.started_at is not None:
            progress = services.renewal_progress(plan)
            self.console.print(
                _(
                    "%(done)d done: %(renewed)d continued, %(ended)d ended, "
                    "%(aside)d set aside."
                )
                % {
                    "done": progress.done,
                    "renewed": progress.renewed,
                    "ended": progress.ended,
                    "aside": progress.set_aside,
                }
            )
