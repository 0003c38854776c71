"""A prepared question is put together once and asked with other values."""

from contextlib import nullcontext, suppress
from functools import partial
from itertools import count

import pytest
from django.db import NotSupportedError, connection
from django.db.models import QuerySet, Value
from django.db.transaction import atomic

from accounts.models import AuditAction, AuditEvent, Location, User
from accounts.prepared import (
    FEW_KEYS,
    MOST_PLANNED,
    Given,
    Prepared,
    planned,
    planned_for,
    prepared,
)
from accounts.tests.factories import LocationFactory, UserFactory

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


def test_values_are_converted_as_always():
    AuditEvent.objects.create(
        chain="x", action=AuditAction.ROLE_ASSIGNED, after={"name": "Åre"}
    )

    assert Prepared(AuditEvent.objects.values_list("after")).ask() == [
        ({"name": "Åre"},)
    ]


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


def named() -> Prepared:
    """The names of some places, planned: nothing knows of it yet."""
    return planned(_names)()


_unlike = count(1)


def _names() -> QuerySet:
    places = Location.objects.filter(pk__among=Given("keys"), closed_at=None)
    # A statement that no connection was told before.
    places = places.exclude(pk=-next(_unlike))
    return places.order_by("name").values_list("name")


def _planned(*asked: Prepared) -> list[tuple]:
    """What the database keeps of some questions: the statement, and how often it planned."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, statement, custom_plans FROM pg_prepared_statements"
        )
        names = {one.name for one in asked}
        return [row[1:] for row in cursor.fetchall() if row[0] in names]


def test_a_planned_question_is_told_to_the_database_once(django_assert_num_queries):
    keys, asked = [LocationFactory(name=one).pk for one in ("Åre", "Boden")], named()

    with django_assert_num_queries(3):
        assert [asked.ask(keys=some) for some in (keys[:1], keys, [])] == [
            [("Åre",)],
            [("Boden",), ("Åre",)],
            [],
        ]
    ((statement, _times),) = _planned(asked)
    assert "$1" in statement


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_it_is_decided_at_once_how_and_for_nothing_else():
    place, asked = LocationFactory(name="Åre"), named()

    for _time in range(2):
        assert asked.ask(keys=[place.pk]) == [("Åre",)]

    ((_statement, times),) = _planned(asked)
    assert times == 0
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)


def test_of_many_keys_it_is_decided_each_time():
    place, asked = LocationFactory(name="Åre"), named()

    assert asked.ask(keys=[place.pk, *range(-FEW_KEYS, 0)]) == [("Åre",)]

    assert not _planned(asked)


def test_a_connection_keeps_so_many_planned_and_then_begins_anew():
    place, asked = LocationFactory(name="Åre"), [named()]
    assert asked[0].ask(keys=[place.pk])
    for number in range(MOST_PLANNED):
        others = Location.objects.filter(pk=Given("key")).exclude(pk=-number)
        asked.append(Prepared(others, is_planned=True))
        assert asked[-1].ask(key=place.pk) == [place]

    assert 0 < len(_planned(*asked)) <= MOST_PLANNED
    # What was put away is planned again.
    assert asked[0].ask(keys=[place.pk]) == [("Åre",)]


@pytest.mark.django_db(transaction=True)
def test_a_column_of_another_type_has_a_connection_plan_anew():
    @planned
    def names():
        people = User.objects.filter(pk__among=Given("keys"))
        return people.order_by().values_list("full_name")

    person = UserFactory(full_name="Åsa")
    ask = partial(names().ask, keys=[person.pk])
    longest = User._meta.get_field("full_name").max_length
    try:
        for within, length in ((nullcontext, longest + 1), (atomic, longest + 2)):
            assert ask() == [("Åsa",)]
            with connection.cursor() as cursor:
                cursor.execute(_TYPE.format(length=length))
            with within(), suppress(NotSupportedError):
                assert ask() == [("Åsa",)]
                assert within is nullcontext, "within a transaction it is said"
            assert ask() == [("Åsa",)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(_TYPE.format(length=longest))


_TYPE = "ALTER TABLE accounts_user ALTER COLUMN full_name TYPE varchar({length})"


def test_the_same_statement_has_one_name_and_another_has_another():
    def of(code: str) -> str:
        rows = Location.objects.filter(country=code, pk__among=Given("keys"))
        return Prepared(rows, is_planned=True).name

    assert of("SE") == of("SE")
    assert of("SE") != of("DE")


def _of_companies(*, where: bool = True) -> Prepared:
    @planned_for("company", where=lambda is_planned: is_planned)
    def names(_is_planned):
        places = Location.objects.of_company(Given("company")).exclude(
            pk=-next(_unlike)
        )
        return places.order_by("name").values_list("name")

    return names(where)


def _planned_for(asked: Prepared) -> list[str]:
    """The statements that the database keeps of a question for one company each."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, statement FROM pg_prepared_statements")
        return [row[1] for row in cursor.fetchall() if row[0].startswith(asked.name)]


def test_a_company_that_is_asked_about_again_is_planned_for_by_itself():
    place, other, asked = LocationFactory(), LocationFactory(), _of_companies()
    company, another = place.partner_account_id, other.partner_account_id

    assert asked.ask(company=company) == [(place.name,)]
    assert asked.ask(company=another) == [(other.name,)]
    assert not _planned_for(asked)

    for _time in range(2):
        assert asked.ask(company=company) == [(place.name,)]
    (statement,) = _planned_for(asked)
    assert f"({company})" in statement
    assert "$1" not in statement
    assert asked.ask(company=another) == [(other.name,)]
    assert len(_planned_for(asked)) == 2


def test_it_is_planned_for_only_where_that_holds():
    place, asked = LocationFactory(), _of_companies(where=False)

    for _time in range(3):
        assert asked.ask(company=place.partner_account_id) == [(place.name,)]
    assert not _planned_for(asked)


def test_so_many_questions_are_remembered_that_may_be_asked_again(monkeypatch):
    monkeypatch.setattr("accounts.prepared.MOST_ASKED", 1)
    asked = _of_companies()

    for _time in range(2):
        for company in (1, 2):
            asked.ask(company=company)
    assert not _planned_for(asked)


def test_questions_alike_but_for_which_value_is_planned_for_are_not_mixed_up():
    place, elsewhere = LocationFactory(), -next(_unlike)

    def of(key: str, account: str) -> Prepared:
        places = Location.objects.filter(pk=Given(key)).exclude(pk=elsewhere)
        places = places.filter(partner_account=Given(account))
        return Prepared(places.values_list("name"), planned_for="company")

    there, turned = of("place", "company"), of("company", "place")
    keys = {"place": place.pk, "company": place.partner_account_id}
    for _time in range(2):
        assert there.ask(**keys) == [(place.name,)]
    for _time in range(2):
        assert turned.ask(place=keys["company"], company=keys["place"]) == [
            (place.name,)
        ]
    assert there.sql == turned.sql
    assert there.name != turned.name


def test_what_is_planned_for_is_a_number():
    with pytest.raises(ValueError, match="invalid literal"):
        _of_companies().ask(company="1 AS SELECT 2; --")
