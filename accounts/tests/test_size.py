"""The People pages of ten people and of ten thousand: as many queries, the same answers."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Coverage
from accounts.tests.factories import PartnerAccountFactory
from accounts.tests.sizes import fill

pytestmark = pytest.mark.django_db

SIZES = {"small": (10, 4), "large": (10_000, 4_000)}
PEOPLE, GAPS = reverse("accounts:people"), reverse("accounts:gaps")


def queries(client, path: str, **query) -> int:
    """How many queries a page takes, the session known."""
    client.get(path, query)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path, query).status_code == 200
    return len(captured)


@pytest.fixture
def clients():
    """Global admins of a small and of a large company."""
    clients = {}
    for number, (size, (people, locations)) in enumerate(SIZES.items()):
        company = PartnerAccountFactory()
        users = fill(company, people=people, locations=locations, number=number)
        clients[size] = Client()
        clients[size].force_login(users[0])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return clients


def test_ten_thousand_people_and_four_thousand_locations(clients):
    # One company for all: filling it takes longer than looking at it.
    small, large = clients["small"], clients["large"]

    for path in (PEOPLE, GAPS):
        assert queries(small, path) == queries(large, path)
        assert queries(large, path) == queries(large, path, page=9_999)
        assert queries(large, path, q="00") <= queries(large, path)
    narrow = {"role": "incentives_admin", "place": "Branch 0007"}
    assert queries(large, PEOPLE, **narrow) <= queries(large, PEOPLE)

    people = large.get(PEOPLE, {"page": 400})
    assert people.context["page"].paginator.count == 10_000
    assert people.context["rows"][-1].person.full_name == "Person 09999 of 1"
    found = large.get(PEOPLE, narrow).context["rows"]
    assert len(found) == 2
    gaps = large.get(GAPS)
    # Of ten locations five have somebody less than two.
    assert gaps.context["gap_count"] == 2_000
    assert {row.location.coverage for row in gaps.context["rows"]} == {Coverage.NOBODY}
    last = large.get(GAPS, {"page": 160}).context["rows"]
    assert [(row.location.name, len(row.enrollers)) for row in last[-1:]] == [
        ("Branch 3999", 2)
    ]
    (one,) = large.get(GAPS, {"q": "branch 0001"}).context["rows"]
    assert one.location.coverage == Coverage.SOME_PROGRAMS
