"""Seals every number and secret with the newest key, while the portal runs."""

import os
import time

from django.core.management.base import CommandError
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
from accounts.field_keys import SealedColumn, sealed_columns
from accounts.sealing import known_key_ids, newest_key_id
from accounts.services import finish_rotation, seal_next_batch

# Rows that others are changing are tried again, this often and after such a pause.
ROUNDS = 20
PAUSE = 0.5
UNREADABLE = 1


class Command(PortalCommand):
    """Go through every sealed column; what is stopped goes on where it was."""

    help = (
        "Seal all bank and tax numbers and secrets with the newest of "
        "FIELD_ENCRYPTION_KEYS. May be stopped and started again at any time. Exit "
        "status 0: the newest key seals everything; 1: some values cannot be opened "
        "with any key, they are named; 75: rows are being changed, try again later."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument(
            "--status", action="store_true", help="only count the values by key"
        )

    def handle(self, *args, **options):
        self.console = Console(file=self.stdout._out, highlight=False)
        columns = list(sealed_columns())
        if not options["status"]:
            self._rotate(columns)
        self._show(columns)

    def _rotate(self, columns: list[SealedColumn]) -> None:
        unreadable, unfinished = {}, []
        bars = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*bars, console=self.console) as progress:
            for column in columns:
                closed = self._seal_all(column, progress)
                if closed:
                    unreadable[column.name] = closed
                elif not self._finish(column, progress):
                    unfinished.append(column.name)
        for name, rows in unreadable.items():
            for row in rows:
                self.stderr.write(f"No key opens the value in {name}, row {row}.")
        if unreadable:
            raise CommandError(
                "Some values cannot be opened with any key. Put the missing key back "
                "into FIELD_ENCRYPTION_KEYS, or restore these rows from a backup.",
                returncode=UNREADABLE,
            )
        if unfinished:
            raise CommandError(
                f"Rows are being changed in {', '.join(unfinished)}. What is done is "
                "done; run this again.",
                returncode=os.EX_TEMPFAIL,
            )

    def _finish(self, column: SealedColumn, progress: Progress) -> bool:
        """Try what others were changing again, until nothing is left."""
        for _attempt in range(ROUNDS):
            if finish_rotation(column):
                return True
            time.sleep(PAUSE)
            self._seal_all(column, progress)
        return False

    def _seal_all(self, column: SealedColumn, progress: Progress) -> list:
        """Seal one batch after the other; return the rows that no key opens."""
        counted = column.values_by_key()
        stale = counted.total() - counted[newest_key_id()]
        if not stale:
            return []
        bar = progress.add_task(column.name, total=stale, rate="")
        began, done, last, unreadable = time.monotonic(), 0, None, []
        while (batch := seal_next_batch(column, after=last)) is not None:
            last = batch.last
            unreadable += batch.unreadable
            done += batch.sealed
            rate = done / max(time.monotonic() - began, 0.001)
            progress.update(bar, completed=done, rate=f"{rate:.0f} a second")
        return unreadable

    def _show(self, columns: list[SealedColumn]) -> None:
        table = Table(title="Sealed values by key", title_justify="left")
        table.add_column("Column")
        keys = known_key_ids()
        counts = {column.name: column.values_by_key() for column in columns}
        lost = sorted({key for counted in counts.values() for key in counted} - {*keys})
        for key in keys + lost:
            table.add_column(key if key in keys else f"{key} (lost)", justify="right")
        for name, counted in counts.items():
            table.add_row(name, *(str(counted[key]) for key in keys + lost))
        self.console.print(table)
