"""A prepared question is put together once and asked with other values."""

import pytest
from django.db.models import Value

from accounts.models import AuditEvent, Location
from accounts.prepared import Given, Prepared, prepared
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
