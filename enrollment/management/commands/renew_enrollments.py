"""Rehearses, proposes, approves and runs the year end, and reports of it."""

import getpass
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from django.utils.translation import get_language, ngettext, pgettext
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
from enrollment import services, year_end
from enrollment.models import FiscalYear, RenewalPlan, RenewalPlanStatus

# What ends a program politely.
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ask again while other workers are at the last ranges.
PAUSE = 1.0
# At work, or ended by somebody else meanwhile as it should.
GOES_ON = {
    RenewalPlanStatus.ASKED,
    RenewalPlanStatus.REHEARSING,
    RenewalPlanStatus.REHEARSED,
    RenewalPlanStatus.PROPOSED,
    RenewalPlanStatus.APPROVED,
    RenewalPlanStatus.RUNNING,
    RenewalPlanStatus.FINISHED,
}


class Command(PortalCommand):
    help = (
        "The fiscal year end: rehearse what it will do, propose and approve the plan, "
        "run it, report. Exit status 0: done; 1: refused, with the reason; 75: not yet, "
        "paused, or stopped by a signal after the batch at work: try again later."
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
        act.add_argument(
            "--undo", metavar="REASON", help="ask another operator to undo what ran"
        )
        act.add_argument(
            "--approve-undo",
            action="store_true",
            help="let the workers undo what somebody else asked to undo",
        )
        act.add_argument("--report", action="store_true", help="say where it stands")
        parser.add_argument(
            "--csv", metavar="FILE", type=Path, help="with --report: write every row"
        )

    def handle(self, *args, **options):
        self.console = Console(file=self.stdout._out, highlight=False)
        self.is_stopped = False
        into = self._year(options["year"], options["calendar"])
        try:
            self._act(into, options)
        except ValidationError as error:
            is_early = getattr(error, "code", "") == "early"
            raise CommandError(
                " ".join(error.messages), returncode=os.EX_TEMPFAIL if is_early else 1
            ) from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(
                _(
                    "The database was away or too busy. What is done is done; the rest "
                    "goes on when this is called again."
                ),
                returncode=os.EX_TEMPFAIL,
            ) from error

    def _act(self, into: FiscalYear, options) -> None:
        if options["rehearse"]:
            self._rehearse(into, by=self._operator(options["by"], "prepare"))
        elif options["report"]:
            plan = self._newest(into)
            self._show(plan)
            if options["csv"]:
                self._write(plan, options["csv"])
        elif options["run"] or options["resume"]:
            resumed_by = None
            if options["resume"]:
                resumed_by = self._operator(options["by"], "prepare")
            self._run(into, resumed_by=resumed_by)
        else:
            self._step(into, options)

    def _step(self, into: FiscalYear, options) -> None:
        plan = self._newest(into)
        is_approval = options["approve"] or options["approve_undo"]
        right = "approve" if is_approval else "prepare"
        by = self._operator(options["by"], right)
        if options["propose"]:
            plan = services.propose_renewals(plan, by=by)
        elif options["approve"]:
            plan = services.approve_renewals(plan, digest=options["approve"], by=by)
        elif options["withdraw"]:
            plan = services.withdraw_renewals(plan, by=by)
        elif options["undo"]:
            plan = services.ask_to_undo(plan, reason=options["undo"], by=by)
        elif options["approve_undo"]:
            plan = services.approve_undoing(plan, by=by)
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

    # --- Rehearse and run ---

    def _rehearse(self, into: FiscalYear, *, by: User) -> None:
        plan = services.ask_for_rehearsal(into, by=by)
        self._work(
            plan,
            _("Rehearsal %s") % plan.into,
            step=services.rehearse_next_range,
            finish=services.finish_rehearsal,
            progress_of=services.rehearsal_progress,
        )
        self._show(RenewalPlan.objects.select_related("into__calendar").get(pk=plan.pk))

    def _run(self, into: FiscalYear, *, resumed_by: User | None) -> None:
        plan = self._newest(into)
        if resumed_by is not None:
            plan = services.resume_renewals(plan, by=resumed_by)
        plan = services.start_renewals(plan, by=None, at=timezone.now())
        self._work(
            plan,
            _("Year end %s") % plan.into,
            step=services.renew_next_range,
            finish=services.finish_renewals,
            progress_of=services.renewal_progress,
        )
        self._show(self._newest(into))

    def _work(
        self,
        plan: RenewalPlan,
        name: str,
        *,
        step: Callable,
        finish: Callable,
        progress_of: Callable,
    ) -> None:
        """Take one range after the other, beside other workers, until all are done.

        A signal stops it after the range at work; who comes next goes on.
        """
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        # Only a program's main thread is told of signals.
        is_main = threading.current_thread() is threading.main_thread()
        heard = SIGNALS if is_main else ()
        before = {one: signal.signal(one, self._stop) for one in heard}
        try:
            with Progress(*columns, console=self.console) as progress:
                bar = progress.add_task(name, total=None, rate="")
                began, first = time.monotonic(), progress_of(plan).done
                while not finish(plan):
                    self._refuse_stopped(plan)
                    if step(plan) is None:
                        # Others are at the last ranges.
                        time.sleep(PAUSE)
                    plan.refresh_from_db(fields=["rows_count"])
                    done = progress_of(plan).done
                    rate = (done - first) / max(time.monotonic() - began, 0.001)
                    progress.update(
                        bar,
                        total=plan.rows_count,
                        completed=done,
                        rate=_("%d a second") % rate,
                    )
                progress.update(bar, total=plan.rows_count, completed=plan.rows_count)
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _stop(self, number, frame) -> None:
        self.is_stopped = True

    def _refuse_stopped(self, plan: RenewalPlan) -> None:
        plan.refresh_from_db(fields=["status"])
        if plan.is_paused:
            raise CommandError(
                _("The year end is paused. Use --resume to go on."),
                returncode=os.EX_TEMPFAIL,
            )
        if plan.status not in GOES_ON:
            raise CommandError(
                _("There is nothing to go on with. This plan is: %(status)s.")
                % {"status": plan.get_status_display()}
            )
        if self.is_stopped:
            raise CommandError(
                _("Stopped after the batch. What is done is done; the rest goes on."),
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
        for row in year_end.outcome_counts(plan):
            if row.number:
                table.add_row(row.label, str(row.number))
            for reason in row.reasons:
                table.add_row(f"  {reason.words}", f"({reason.number})", style="dim")
        table.add_row(_("All"), str(plan.rows_count), style="bold")
        self.console.print(table)
        for line in self._lines(plan):
            self.console.print(line, soft_wrap=True)

    def _lines(self, plan: RenewalPlan) -> list[str]:
        lines = [
            f"{label}: {self._moment(at)}{f', {by.full_name}' if by else ''}"
            for label, at, by in (
                (_("Asked for"), plan.rehearsed_at, plan.rehearsed_by),
                (_("Proposed"), plan.proposed_at, plan.proposed_by),
                (
                    pgettext("renewal plan", "Approved"),
                    plan.approved_at,
                    plan.approved_by,
                ),
                (_("Started"), plan.started_at, None),
                (_("Finished"), plan.finished_at, None),
            )
            if at is not None
        ]
        lines.append(_("Digest: %s") % plan.digest)
        if plan.started_at is not None:
            progress = services.renewal_progress(plan)
            lines.append(
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
        if undecided := year_end.asides(plan).undecided().count():
            lines.append(
                ngettext(
                    "%(count)d set aside waits for a decision, on the page.",
                    "%(count)d set aside wait for a decision, on the page.",
                    undecided,
                )
                % {"count": undecided}
            )
        return lines

    def _moment(self, at: datetime) -> str:
        return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S %Z")

    def _write(self, plan: RenewalPlan, path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(year_end.plan_table(plan, language=get_language()))
        self.stdout.write(_("Written: %s") % path)
