"""The People pages of ten people and of ten thousand: as many queries, the same answers."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Coverage, Location, Membership, RoleAssignment, User
from accounts.roles import Role
from accounts.tests.factories import PartnerAccountFactory, UserFactory
from accounts.tests.sizes import fill

pytestmark = pytest.mark.django_db

SIZES = {"small": (10, 4), "large": (10_000, 4_000)}
PEOPLE, GAPS = reverse("accounts:people"), reverse("accounts:gaps")
ASK = reverse("accounts:request_access")
# Ten (performance.md C, of a page of a partner) and the choice of a location at the top.
MOST_QUERIES = 11
# Pages besides: with what they ask of a form.
MOST_ELSEWHERE = 15
MOST_CHOICES = 80
MOST_IN_RECORDS = 250
# Pages with a choice of locations, and where a search among them is sent.
SEARCHED = {
    reverse("activity:list"): None,
    reverse("accounts:assign"): (reverse("accounts:preview"), "find_location"),
    reverse("accounts:invite"): None,
    ASK: (ASK, "find_location"),
    reverse("accounts:provisioning"): (reverse("accounts:map_group"), "find_location"),
}


def queries(client, path: str, **query) -> int:
    """How many queries a page takes, the session known."""
    client.get(path, query)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path, query).status_code == 200
    return len(captured)


def admins_of(sizes: dict[str, tuple[int, int]]) -> dict[str, Client]:
    """Global admins of companies of some sizes, signed in, and an operator."""
    clients = {}
    for number, (size, (people, locations)) in enumerate(sizes.items()):
        company = PartnerAccountFactory()
        users = fill(company, people=people, locations=locations, number=number)
        for name, user in ((size, users[0]), ("colleague", users[5])):
            clients[name] = Client()
            clients[name].force_login(user)
    clients["operator"] = Client()
    clients["operator"].force_login(UserFactory(operator=True, is_superuser=True))
    with connection.cursor() as cursor:
        # These alone: tests beside this one share the catalogs.
        for model in (User, Membership, Location, RoleAssignment):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
    return clients


@pytest.fixture
def clients():
    return admins_of(SIZES)


def test_a_hundred_people_and_forty_locations_ask_no_more_than_ten_and_four():
    clients = admins_of({"small": (10, 4), "large": (100, 40)})

    for path in (PEOPLE, GAPS):
        few = queries(clients["small"], path)
        assert queries(clients["large"], path) <= few <= MOST_QUERIES


@pytest.mark.long
def test_ten_thousand_people_and_four_thousand_locations(clients):
    # One company for all: filling it takes longer than looking at it.
    small, large = clients["small"], clients["large"]

    last = User.objects.get(full_name="Person 09974 of 1").pk
    for path, deep in ((PEOPLE, {"after": last}), (GAPS, {"page": 9_999})):
        few = queries(small, path)
        assert few <= MOST_QUERIES
        assert queries(large, path) <= few
        assert queries(large, path, **deep) <= few
        assert queries(large, path, q="00") <= few
    narrow = {"role": "incentives_admin", "place": "Branch 0007"}
    assert queries(large, PEOPLE, **narrow) <= queries(large, PEOPLE)

    people = large.get(PEOPLE, {"after": last})
    assert len(people.context["rows"]) == 25
    assert people.context["rows"][-1].person.full_name == "Person 09999 of 1"
    assert not people.context["page"].next
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

    # No page lists thousands of locations to choose from; they are searched for.
    for path, found in SEARCHED.items():
        # Who can give roles alone has nobody to ask.
        reader = clients["colleague"] if path == ASK else large
        page = reader.get(path)
        choices = page.content.count(b"<option") + page.content.count(b"checkbox")
        assert choices <= MOST_CHOICES, path
        assert b"Branch 3999" not in page.content
        assert queries(reader, path) <= MOST_ELSEWHERE, path
        if found:
            ask, name = found
            page = reader.post(ask, {"find": name, name: "3999", "location": "company"})
            assert page.status_code == 200, path
            assert b"Branch 3999" in page.content, path
            assert b"error-summary" not in page.content
    trail = large.get(reverse("activity:list"), {"location": "branch 3999"})
    assert trail.context["filters"].is_valid()

    # Five hundred people held a role there once.
    first_place = Location.objects.get(name="Branch 0000", partner_id__startswith="701")
    # The admin site lists no more of them either.
    for name, *key in (
        ("accounts_roleassignment_changelist",),
        ("accounts_location_change", first_place.pk),
    ):
        reader = clients["operator"] if key else large
        page = reader.get(reverse(f"admin:{name}", args=key))
        assert page.content.count(b"Branch") <= MOST_IN_RECORDS, name

    holder = User.objects.get(full_name="Person 00001 of 1")
    RoleAssignment.objects.bulk_create(
        RoleAssignment(
            user=holder,
            role=Role.INCENTIVES_ADMIN,
            partner_account=location.partner_account,
            location=location,
        )
        for location in Location.objects.filter(name__gte="Branch 1000")
    )
    page = large.get(reverse("accounts:person", args=[holder.memberships.get().pk]))
    assert "and 2975 more" in page.content.decode()
    first = large.get(PEOPLE).context["rows"][1]
    assert (len(first.roles), first.more) == (4, 2_997)
