"""Reads measured values of locations from a CSV file, compares, and lets them count."""

import getpass
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

from django.core.checks import Tags
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from accounts.commands import PortalCommand
from accounts.console import prove_operator
from accounts.templatetags.portal import percent
from enrollment import services, value_files
from enrollment.differences import difference_rows
from enrollment.models import ValueImport

# What ends a program politely.
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ask again while another worker is at it.
PAUSE = 0.5


class Command(PortalCommand):
    # The others load every page there is: 30 MB that a million lines have no need of.
    requires_system_checks = (Tags.models, Tags.database)
    help = (
        "Read measured values from a CSV file with the columns partner_id, criterion, "
        "value, measured_on and source; show the difference; let it count. Lines that "
        "are wrong are reported, the others count. Run again after it was stopped or "
        "killed, it goes on where it was. Exit status 0: done; 1: refused, or lines "
        "were rejected; 75: held until a second operator lets it through on its page, "
        "or stopped by a signal: run it again."
    )

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path, help="a CSV file in UTF-8")
        parser.add_argument(
            "--by",
            metavar="E-MAIL",
            help="the operator who imports; the password is asked for",
        )
        parser.add_argument(
            "--column",
            metavar="FIELD=NAME",
            action="append",
            default=[],
            help="the name of a field's column in the first line of the file",
        )
        parser.add_argument(
            "--delimiter", help="what stands between columns, where it is not plain"
        )
        parser.add_argument(
            "--effective", metavar="YYYY-MM-DD", type=date.fromisoformat
        )
        act = parser.add_mutually_exclusive_group()
        act.add_argument(
            "--compare", action="store_true", help="show the difference only"
        )
        act.add_argument(
            "--cancel", action="store_true", help="give up what is not applied yet"
        )
        act.add_argument(
            "--undo", action="store_true", help="take back what this file changed"
        )

    def get_check_kwargs(self, options):
        # Whether a key is missing that values are sealed with is asked of the database.
        return super().get_check_kwargs(options) | {"databases": [DEFAULT_DB_ALIAS]}

    def handle(self, *args, file, **options):
        self.console = Console(file=self.stdout._out, highlight=False)
        self.bar_console = Console(file=self.stderr._out, highlight=False)
        self.is_stopped = False
        by = options.pop("by")
        if by is not None:
            by = prove_operator(by, permission=services.IMPORT, ask=getpass.getpass)
        try:
            self._act(file, by=by, **options)
        except OSError as error:
            raise CommandError(
                _("%(file)s cannot be read: %(reason)s.")
                % {"file": file, "reason": error.strerror}
            ) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error

    def _act(self, file: Path, *, by, **options) -> None:
        with file.open("rb") as opened:
            kept = services.keep_file(_pieces(opened), name=file.name, by=by)
        one = kept.value_import
        if options["cancel"]:
            services.cancel_import(one, by=by)
            self.stdout.write(_("Canceled. Nothing of the file counts."))
        elif options["undo"]:
            self._undo(one, by=by)
        elif one.is_applied:
            self.stdout.write(
                _("This file was applied on %(day)s. Nothing in it is new.")
                % {"day": timezone.localtime(one.applied_at).strftime("%Y-%m-%d")}
            )
        else:
            self._import(one, by=by, **options)

    def _import(self, one: ValueImport, *, by, **options) -> None:
        if one.is_uploaded:
            try:
                one = self._name_columns(one, by=by, **options)
            except ValidationError:
                # Whoever tries again says more.
                services.cancel_import(one, by=by)
                raise
        with self._heard():
            one = self._read(one)
            if one.is_refused:
                raise value_files.file_problem(
                    one.problem["code"], **one.problem["params"]
                )
            for sentence in services.problem_sentences(one):
                self.stderr.write(sentence)
            self._show(one)
            if not options["compare"]:
                one = self._apply(one, by=by, day=options["effective"])
        if one.rejected:
            raise CommandError(
                ngettext(
                    "%(count)d line was rejected; the others are stored.",
                    "%(count)d lines were rejected; the others are stored.",
                    one.rejected,
                )
                % {"count": one.rejected}
            )

    def _name_columns(self, one, *, by, column, delimiter, **options) -> ValueImport:
        delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter) or ""
        first = services.first_rows(one, delimiter=delimiter)
        columns = dict(first.columns)
        for said in column:
            name, _equals, header = said.partition("=")
            if name not in value_files.FIELDS or header not in first.header:
                raise CommandError(
                    _("There is no such field or column: %(said)s.") % {"said": said}
                )
            columns[name] = first.header.index(header)
        return services.name_columns(
            one, columns=columns, delimiter=first.delimiter, by=by
        )

    def _read(self, one: ValueImport) -> ValueImport:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[lines]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.bar_console) as progress:
            bar = progress.add_task(_("Reading"), total=one.file_size, lines="")
            while one.is_reading:
                self._refuse_stopped()
                if services.read_next_lines(one) is None:
                    time.sleep(PAUSE)
                one.refresh_from_db()
                lines = ngettext("%(count)d line", "%(count)d lines", one.read_line)
                progress.update(
                    bar, completed=one.read_to, lines=lines % {"count": one.read_line}
                )
        if one.is_canceled:
            raise CommandError(_("Canceled. Nothing of the file counts."))
        return one

    def _apply(self, one: ValueImport, *, by, day: date | None) -> ValueImport:
        if one.is_held:
            raise CommandError(
                _(
                    "Held: it would end more than %(percent)s of what is in force. "
                    "A second operator lets it through on its page."
                )
                % {"percent": percent(services.hold_percent())},
                returncode=os.EX_TEMPFAIL,
            )
        if one.is_ready:
            one = services.apply_import(one, effective_on=day, by=by)
        if one.is_applying and one.effective_on > timezone.localdate():
            self.stdout.write(
                _("It counts from %(day)s. The workers see to it.")
                % {"day": one.effective_on.isoformat()}
            )
            return one
        with self.bar_console.status(_("Applying")):
            while one.is_applying:
                self._refuse_stopped()
                if services.carry_out_import(one) is None:
                    time.sleep(PAUSE)
                one.refresh_from_db()
        if not one.is_applied:
            # Read again, or held, because of what came between.
            self._refuse_stopped()
            return self._apply(self._read(one), by=by, day=day)
        report = services.ImportReport(accepted=one.accepted, changed=one.changed)
        self.stdout.write(report.sentence)
        return one

    def _undo(self, one: ValueImport, *, by) -> None:
        if by is None:
            raise CommandError(_("Say who you are with --by E-MAIL."))
        services.undo_import(one, by=by)
        self.stdout.write(_("Undone. What was known before counts again."))

    def _show(self, one: ValueImport) -> None:
        table = Table(title=_("The difference"), title_justify="left")
        table.add_column(_("What"))
        table.add_column(_("Number"), justify="right")
        for row in difference_rows(one):
            table.add_row(str(row.label), str(row.number))
        self.console.print(table)

    # --- Signals ---

    @contextmanager
    def _heard(self):
        """Stop after the batch at work when asked to; what is done is done."""
        # Only a program's main thread is told of signals.
        is_main = threading.current_thread() is threading.main_thread()
        heard = SIGNALS if is_main else ()
        before = {one: signal.signal(one, self._stop) for one in heard}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _stop(self, number, frame) -> None:
        self.is_stopped = True

    def _refuse_stopped(self) -> None:
        if self.is_stopped:
            raise CommandError(
                _("Stopped. Run it again with the same file, and it goes on."),
                returncode=os.EX_TEMPFAIL,
            )


def _pieces(opened: BinaryIO) -> Iterator[bytes]:
    while piece := opened.read(value_files.PIECE):
        yield piece
