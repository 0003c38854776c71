"""A year that ends with one enrollment for each line of the table, and its plan.

What is asked of many tests is made once for a file, in a transaction around them; each
test has its own copies.
"""

import types
from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import Group

from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    FiscalYear,
    RenewalPlan,
)
from enrollment.tests.test_renewal import BankFact, TaxFact, Value, World, made
from profiles.tests.factories import as_if_sent

BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
LAST_MOMENT = datetime(2027, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC)
NIGHT = datetime(2027, 7, 1, 0, 0, tzinfo=UTC)

# One of each line of the table.
WORLDS = {
    "continues": World(),
    "form expires": World(tax=TaxFact(expires=-1)),
    "validating": World(status="validating", bank=BankFact(status="pending")),
    "returned": World(status="action_required", bank=BankFact("action_required")),
    "no agreement": World(agreement=None),
    "not eligible": World(asks=True, value=Value(9, 0), on=date(2027, 6, 20)),
    "discontinued": World(discontinued=True),
    "no terms": World(has_terms=False),
    "invited": World(status="invited"),
    "declined": World(status="declined"),
    "inactive": World(status="inactive"),
}


@shared
def made_once(db) -> types.SimpleNamespace:
    """The enrollments by line, the year they end for, and two operators."""
    lucia = UserFactory(full_name="Lucía Prado", is_staff=True)
    lucia.groups.add(Group.objects.get(name="Approver"))
    return types.SimpleNamespace(
        rows={name: made(world)[0] for name, world in WORLDS.items()},
        year=made(World())[1],
        mina=UserFactory(full_name="Mina Okafor", is_staff=True),
        lucia=lucia,
    )


@pytest.fixture
def rows(made_once) -> dict[str, Enrollment]:
    return made_once.rows


@pytest.fixture
def year(made_once) -> FiscalYear:
    return made_once.year


@pytest.fixture
def mina(made_once):
    return made_once.mina


@pytest.fixture
def lucia(made_once):
    return made_once.lucia


def approve(made_once) -> RenewalPlan:
    """Mina rehearses and proposes, Lucía approves."""
    plan = services.rehearse_renewals(made_once.year, by=made_once.mina, at=BEFORE)
    plan = services.propose_renewals(plan, by=made_once.mina)
    return services.approve_renewals(plan, digest=plan.digest, by=made_once.lucia)


def run(plan: RenewalPlan, *, at: datetime = NIGHT) -> RenewalPlan:
    services.start_renewals(plan, by=None, at=at)
    while services.renew_next_range(plan, at=at):
        pass
    services.finish_renewals(plan, at=at)
    plan.refresh_from_db()
    return plan


def tamper(rows, **facts) -> None:
    """What somebody with the owner's rights can do: switch the trigger off."""
    as_if_sent(rows, **facts)


def pictures() -> tuple:
    """Everything a year end writes, without what is new each time."""
    return (
        sorted(
            Enrollment.objects.values_list(
                "location",
                "terms",
                "status",
                "end_reason",
                "renewed_from",
                "earns_from",
            ),
            key=str,
        ),
        sorted(
            EnrollmentEvent.objects.values_list(
                "enrollment__location",
                "enrollment__terms",
                "code",
                "from_status",
                "to_status",
                "note",
            ),
            key=str,
        ),
    )


def take_its_place(old: Enrollment, plan: RenewalPlan) -> None:
    """Let somebody invite the location to the new year beforehand."""
    Enrollment.objects.create(
        location=old.location,
        terms=old.terms.program.terms.get(fiscal_year=plan.into),
        status="invited",
        status_since=BEFORE,
        invited_at=BEFORE,
        enroll_by=date(2028, 6, 30),
    )
