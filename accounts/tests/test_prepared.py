"""A prepared question is put together once and asked with other values."""

import pytest
from django.db import connection
from django.db.models import Value
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Location
from accounts.prepared import FEW_KEYS, MOST_PLANNED, Given, Prepared, planned, prepared
from accounts.tests.factories import LocationFactory

pytestmark = pytest.mark.django_db


def test_a_question_is_put_together_once_and_asked_with_other_values(
    django_assert_num_queries,
):
    one, other = LocationFactory(name="Åre"), LocationFactory(name="Boden")
    built = []

    @prepared
    def named(column: str):
        built.append(column)
        return Location.objects.filter(pk=Given("key")).values_list(column)

    with django_assert_num_queries(3):
        found = [named("name").ask(key=row.pk) for row in (one, other, one)]

    assert found == [[("Åre",)], [("Boden",)], [("Åre",)]]
    assert named("country").ask(key=one.pk) == [(one.country,)]
    assert built == ["name", "country"]


def test_a_value_is_a_parameter_and_no_part_of_the_statement():
    LocationFactory(name="Åre")
    named = Prepared(Location.objects.filter(name=Given("name")).values_list("pk"))

    assert named.ask(name="' OR true --") == []
    assert len(named.ask(name="Åre")) == 1
    with pytest.raises(KeyError):
        named.ask()


def test_what_is_converted_after_it_was_read_is_refused():
    with pytest.raises(TypeError, match="converted"):
        Prepared(AuditEvent.objects.values_list("after"))


def test_nothing_is_asked_where_there_can_be_no_row(django_assert_num_queries):
    nothing = Prepared(Location.objects.none().values_list(Value(1)))

    with django_assert_num_queries(0):
        assert nothing.ask() == []


def test_rows_come_with_what_belongs_to_them(django_assert_num_queries):
    place = LocationFactory(name="Åre")
    rows = (
        Location.objects.filter(name=Given("name"))
        .select_related("partner_account")
        .annotate(is_far=Value(True))
    )
    asked = Prepared(rows)

    with django_assert_num_queries(1):
        (found,) = asked.ask(name="Åre")
        assert found.partner_account.name == place.partner_account.name
    assert (found, found.is_far, found._state.adding) == (place, True, False)
    # What was answered once is not answered again.
    assert asked.ask(name="Boden") == []


def test_rows_with_others_that_are_asked_for_afterwards_are_refused():
    with pytest.raises(TypeError, match="afterwards"):
        Prepared(Location.objects.prefetch_related("enrollments"))


@planned
def _named():
    places = Location.objects.filter(pk__among=Given("keys"), closed_at=None)
    return places.order_by("name").values_list("name")


def _statements_planned() -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, custom_plans FROM pg_prepared_statements")
        return [row for row in cursor.fetchall() if "accounts_location" in row[0]]


def test_a_planned_question_is_told_to_the_database_once(django_assert_num_queries):
    keys = [LocationFactory(name=name).pk for name in ("Åre", "Boden")]

    with django_assert_num_queries(3):
        assert [_named().ask(keys=some) for some in (keys[:1], keys, [])] == [
            [("Åre",)],
            [("Boden",), ("Åre",)],
            [],
        ]
    ((statement, _times),) = [
        row for row in _statements_planned() if "ANY" in row[0] and "name" in row[0]
    ]
    assert "$1" in statement


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_it_is_decided_at_once_how_and_for_nothing_else():
    place = LocationFactory(name="Åre")

    for _time in range(2):
        assert _named().ask(keys=[place.pk]) == [("Åre",)]

    assert [times for _statement, times in _statements_planned()] == [0]
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)


def test_of_many_keys_it_is_decided_each_time(django_assert_num_queries):
    place = LocationFactory(name="Åre")
    keys = [place.pk, *range(-FEW_KEYS, 0)]
    assert len(keys) > FEW_KEYS

    with CaptureQueriesContext(connection) as captured:
        assert _named().ask(keys=keys) == [("Åre",)]

    assert not captured.captured_queries[0]["sql"].startswith("EXECUTE")


def test_a_connection_keeps_so_many_planned_and_then_begins_anew():
    one, other = LocationFactory(name="Åre"), LocationFactory(name="Boden")
    for number in range(MOST_PLANNED + 1):
        places = Location.objects.filter(pk=Given("key")).exclude(pk=-number)
        assert Prepared(places, is_planned=True).ask(key=one.pk) == [one]

    assert len(_statements_planned()) <= MOST_PLANNED
    # What was put away is planned again.
    assert _named().ask(keys=[other.pk]) == [("Boden",)]
