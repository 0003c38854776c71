"""What the page of many enrollments shows: what is ready, what is missing, what became.

Constant numbers of queries, whatever the number of rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.utils.functional import cached_property

from accounts.models import User
from accounts.roles import Permission
from enrollment.models import (
    BatchOutcome,
    BatchRow,
    Enrollment,
    EnrollmentBatch,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.places import ReadyItem, readiness
from enrollment.revisions import Difference, differences, note_of_many
from enrollment.rows import Row, enrollment_rows
from enrollment.versions import Difference as TermsDifference
from enrollment.versions import changes_since
from profiles.models import BankProfileVersion, TaxProfileVersion

# Of how many refused rows a page says what changed; their own pages say it of each.
MOST_EXPLAINED = 10


@dataclass(frozen=True)
class Paid:
    """Earning types of one enrollment that are paid the same way."""

    names: list[str]
    # The versions in use; None where the reader may not see them.
    bank: BankProfileVersion | None
    tax: TaxProfileVersion | None
    currency: str


@dataclass(frozen=True)
class CheckedRow:
    """One enrollment before it is submitted with others."""

    row: Row
    paid: list[Paid]
    missing: list[ReadyItem]

    @property
    def key(self) -> str:
        return str(self.row.enrollment.pk)

    @property
    def is_to_accept(self) -> bool:
        """Whether the agreement in force is not accepted yet."""
        enrollment = self.row.enrollment
        return not enrollment.is_accepted or enrollment.is_agreement_outdated


@dataclass
class AgreementAsked:
    """One program's agreement, accepted once for all of its rows."""

    terms: ProgramTerms
    count: int = 0
    ready: int = 0

    @property
    def field(self) -> str:
        return f"agreement-{self.terms.pk}"


@dataclass
class CheckPage:
    """Rows that were ticked, by how much is missing."""

    ready: list[CheckedRow] = field(default_factory=list)
    one: list[CheckedRow] = field(default_factory=list)
    more: list[CheckedRow] = field(default_factory=list)
    # What cannot be submitted now, whatever is filled in; the row says why.
    stopped: list[CheckedRow] = field(default_factory=list)

    @cached_property
    def agreements(self) -> list[AgreementAsked]:
        asked: dict[int, AgreementAsked] = {}
        for group in (self.ready, self.one, self.more):
            for checked in group:
                if not checked.is_to_accept:
                    continue
                terms = checked.row.terms
                one = asked.setdefault(terms.pk, AgreementAsked(terms))
                one.count += 1
                one.ready += group is self.ready
        return sorted(asked.values(), key=lambda one: one.terms.program.name)

    @cached_property
    def terms_changes(self) -> list[tuple[ProgramTerms, list[TermsDifference]]]:
        """What programs changed since rows that are ready were accepted."""
        accepted: dict[ProgramTerms, int] = {}
        for checked in self.ready:
            number = checked.row.enrollment.terms_version
            if number is not None and not checked.is_to_accept:
                terms = checked.row.terms
                accepted[terms] = min(number, accepted.get(terms, number))
        found = [(terms, changes_since(terms, one)) for terms, one in accepted.items()]
        return [(terms, changes) for terms, changes in found if changes]

    @cached_property
    def seen(self) -> str:
        """The signed note of what is shown."""
        return note_of_many(
            {one.row.enrollment: one.row.assignments for one in self.ready},
            {
                one.row.enrollment: one.row.assignments
                for one in [*self.one, *self.more]
                if one.is_to_accept
            },
        )


def check_page(batch: EnrollmentBatch, *, user: User) -> CheckPage:
    """Return what was ticked as it is now, by what is missing."""
    enrollments = (
        Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_EDIT)
        .filter(batch_rows__batch=batch)
        .with_covered(Permission.PROFILE_VIEW, user=user, name="may_see_numbers")
        .order_by("terms__program__name", "location__name", "pk")
    )
    rows = enrollment_rows(enrollments, user=user)
    payments = _payments(rows)
    page = CheckPage()
    for row in rows:
        missing = readiness(row.gaps, enrollment=row.enrollment).missing
        checked = CheckedRow(row, payments[row.enrollment.pk], missing)
        if not (row.is_to_enroll and row.enrollment.is_editable):
            page.stopped.append(checked)
        elif not missing:
            page.ready.append(checked)
        else:
            (page.one if len(missing) == 1 else page.more).append(checked)
    return page


def _payments(rows: Iterable[Row]) -> dict[UUID, list[Paid]]:
    """What each enrollment is paid to, with the last four of its numbers."""
    shown = [row for row in rows if row.enrollment.may_see_numbers]
    used = [one for row in shown for one in row.assignments]
    banks = BankProfileVersion.objects.select_related("profile").in_bulk(
        {one.newest_bank_version for one in used if one.newest_bank_version}
    )
    taxes = TaxProfileVersion.objects.select_related("profile").in_bulk(
        {one.newest_tax_version for one in used if one.newest_tax_version}
    )
    return {
        row.enrollment.pk: _paid(row.assignments, banks=banks, taxes=taxes)
        for row in rows
    }


def _paid(assignments: Iterable[PayoutAssignment], *, banks, taxes) -> list[Paid]:
    found: dict[tuple, Paid] = {}
    for one in assignments:
        key = (one.newest_bank_version, one.newest_tax_version, one.used_currency)
        paid = found.setdefault(
            key,
            Paid(
                names=[],
                bank=banks.get(one.newest_bank_version),
                tax=taxes.get(one.newest_tax_version),
                currency=one.used_currency or "",
            ),
        )
        paid.names.append(one.earning_type.get_kind_display())
    return list(found.values())


@dataclass(frozen=True)
class ResultRow:
    """What became of one enrollment, and what changed while nobody looked."""

    batch_row: BatchRow
    row: Row
    changes: list[Difference]

    @property
    def turn(self) -> str:
        return {
            BatchOutcome.SUBMITTED: "them",
            BatchOutcome.REFUSED: "stop",
            BatchOutcome.ACCEPTED: "you",
        }.get(self.batch_row.outcome, "idle")


def result_rows(rows: Iterable[BatchRow], *, user: User) -> list[ResultRow]:
    """Return rows of a sent batch with what is at each enrollment now."""
    rows = list(rows)
    now = {
        row.enrollment.pk: row
        for row in enrollment_rows(
            Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_EDIT).filter(
                pk__in=[one.enrollment_id for one in rows]
            ),
            user=user,
        )
    }
    shown = [(one, now[one.enrollment_id]) for one in rows if one.enrollment_id in now]
    # What can be mended is looked at; what is shown as it was asks nothing here.
    refused = [
        one
        for one, row in shown
        if one.outcome == BatchOutcome.REFUSED and row.assignments
    ][:MOST_EXPLAINED]
    return [
        ResultRow(
            one,
            row,
            (
                differences(row.enrollment, row.assignments, seen=one.seen)
                if one in refused
                else []
            ),
        )
        for one, row in shown
    ]
