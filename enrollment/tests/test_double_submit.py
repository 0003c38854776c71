"""Twenty clicks at once, again and again: one enrollment, one submission, one mail.

`LONG=1` tries a thousand rounds; ROUNDS says how many.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import pytest
from django.db import connection, connections, transaction
from django.db.models import Count, QuerySet

from accounts.models import OutgoingEmail
from accounts.roles import Role
from accounts.tests.factories import LocationFactory, RoleAssignmentFactory
from enrollment import services
from enrollment.models import Enrollment, EnrollmentEvent
from enrollment.tests.factories import ProgramTermsFactory
from enrollment.tests.service_modules import replace_in_steps
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)

CLICKS = 20
ONCE = "enrollment_enrollment_once"


class Crowd:
    """Twenty people who click at the same moment, each over a connection of their own."""

    def __enter__(self):
        self._threads = ThreadPoolExecutor(CLICKS)
        return self

    def __exit__(self, *_):
        self.do(connections.close_all)
        self._threads.shutdown()

    def do(self, action: Callable) -> list:
        """Return what came of it for each: an answer, or an exception."""
        start = threading.Barrier(CLICKS, timeout=120)

        def click():
            with connection.cursor() as cursor:
                # On a busy machine the last one waits for long.
                cursor.execute("SET lock_timeout = '120s'")
            start.wait()
            try:
                return action()
            except Exception as error:  # noqa: BLE001 - it is the outcome
                return error

        waiting = [self._threads.submit(click) for _ in range(CLICKS)]
        return [one.result(timeout=300) for one in waiting]


@pytest.fixture
def crowd():
    with Crowd() as crowd:
        yield crowd


@pytest.fixture
def open_terms(program):
    return ProgramTermsFactory(program=program, open_to_all=True)


@pytest.fixture
def bank(nordvik):
    return BankProfileFactory(partner_account=nordvik)


@pytest.fixture
def iris(nordvik):
    """Incentives admin everywhere."""
    return RoleAssignmentFactory(
        partner_account=nordvik, role=Role.INCENTIVES_ADMIN
    ).user


def clicked(crowd, rounds: int, *, terms, bank, by) -> list:
    """Let the crowd begin and submit at a new location each round; return the answers."""
    answers = []
    for _round in range(rounds):
        place = LocationFactory(partner_account=bank.partner_account, country="SE")
        DefaultBankProfileFactory(location=place, bank_profile=bank)
        TaxProfileFactory(location=place)
        answers += crowd.do(
            lambda place=place: bool(
                services.start_open_enrollment(place, terms=terms, by=by)
            )
        )
        one = Enrollment.objects.filter(location=place).order_by("pk").first()
        services.accept_enrollment(one, by=by)
        answers += crowd.do(
            lambda one=one: services.submit_enrollment(one, by=by).is_validating
        )
    return answers


def doubled() -> dict[str, int]:
    """Count locations with several enrollments, enrollments with several events, mails."""
    enrollments = Enrollment.objects.order_by().values("location")
    events = EnrollmentEvent.objects.order_by().values("enrollment", "code")
    mails = OutgoingEmail.objects.order_by().values("name", "to_user", "about_url")
    return {
        name: rows.annotate(number=Count("pk")).filter(number__gt=1).count()
        for name, rows in (
            ("enrollments", enrollments),
            ("events", events),
            ("mails", mails),
        )
    }


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(3, id="a few"),
        pytest.param(
            int(os.environ.get("ROUNDS", "1000")), id="many", marks=pytest.mark.long
        ),
    ],
)
def test_twenty_clicks_are_one_enrollment_and_one_mail(
    crowd, open_terms, bank, iris, rounds
):
    answers = clicked(crowd, rounds, terms=open_terms, bank=bank, by=iris)

    assert answers == [True] * (2 * CLICKS * rounds)
    assert doubled() == {"enrollments": 0, "events": 0, "mails": 0}
    assert Enrollment.objects.count() == rounds
    submitted = OutgoingEmail.objects.filter(name="enrollment_submitted")
    assert submitted.count() == rounds
    assert EnrollmentEvent.objects.count() == 3 * rounds


@contextmanager
def without_constraint():
    """Let a location have several; afterwards it has none, and may have one again."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {ONCE}")
        try:
            yield
        finally:
            with transaction.atomic():
                cursor.execute("SET LOCAL session_replication_role = 'replica'")
                cursor.execute("DELETE FROM enrollment_enrollment")
            cursor.execute(
                f"CREATE UNIQUE INDEX {ONCE} ON enrollment_enrollment"
                " (location_id, terms_id) INCLUDE (id, status)"
            )


@pytest.mark.long
@pytest.mark.parametrize("is_guarded", [True, False], ids=["constraint", "control"])
def test_the_constraint_holds_without_locks_and_without_it_clicks_double(
    crowd, open_terms, bank, iris, monkeypatch, is_guarded
):
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows.all())
    replace_in_steps(monkeypatch, "lock_companies", lambda *_: None)

    with nullcontext() if is_guarded else without_constraint():
        clicked(crowd, 5, terms=open_terms, bank=bank, by=iris)
        found = doubled()

    assert bool(found["enrollments"]) != is_guarded
    # One mail for one submission is for the lock to see to.
    assert found["events"]
    assert found["mails"]
