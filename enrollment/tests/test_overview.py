"""The Overview: matrix, search, whose turn it is, and the table to take away."""

import csv
import datetime
import io
from importlib import import_module
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.tests import cast
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    RoleAssignmentFactory,
)
from accounts.tests.shared_rows import shared
from enrollment.eligibility import gaps_at, gaps_of, payout_at
from enrollment.models import Enrollment, ProgramAtLocation, ProgramTerms
from enrollment.states import EDITABLE, STATUS_ORDER, EnrollmentStatus, Turn
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from enrollment.tests.test_views import text

overview = import_module("enrollment.views.overview")
choices = import_module("enrollment.overview")

YESTERDAY = timezone.localdate() - datetime.timedelta(days=1)
WHOSE = {Turn.NEW: "you", Turn.YOU: "you", Turn.THEM: "them"}


def named(name: str, **facts):
    return ProgramTermsFactory(program=IncentiveProgramFactory(name=name), **facts)


@shared
def everything(db) -> SimpleNamespace:
    """A row of every kind at Göteborg, and one program at Malmö too: made once."""
    nordvik = cast.nordvik()
    goteborg, malmo = cast.goteborg(nordvik), cast.malmo(nordvik)
    ida, uma = cast.ida(goteborg), cast.uma(nordvik)
    AgreementFactory(partner_account=nordvik)
    for status in EnrollmentStatus.values:
        is_sent = status in ("validating", "enrolled")
        EnrollmentFactory(
            location=goteborg,
            terms=named(f"Program {status}"),
            complete=is_sent,
            status=status,
        )
    late = {"location": goteborg, "enroll_by": YESTERDAY}
    EnrollmentFactory(terms=named("Late invited"), **late)
    EnrollmentFactory(terms=named("Late draft"), accepted=True, **late)
    EnrollmentFactory(
        terms=named("Late action"), accepted=True, status="action_required", **late
    )
    EnrollmentFactory(
        location=goteborg,
        terms=named("Asked"),
        submitted=True,
        asked_at=timezone.now(),
    )
    named("Open one", open_to_all=True)
    named("Open once", open_to_all=True, enroll_by=YESTERDAY)
    named("Eligible one")
    named("Eligible once", enroll_by=YESTERDAY)
    RequirementFactory(terms=named("Demanding one"))
    both = named("Both")
    both.earning_types.update(kind="co_op")
    EnrollmentFactory(location=goteborg, terms=both, accepted=True, accepted_by=ida)
    EnrollmentFactory(location=malmo, terms=both)
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)
    return SimpleNamespace(
        nordvik=nordvik, goteborg=goteborg, malmo=malmo, ida=ida, uma=uma
    )


@pytest.fixture
def nordvik(everything):
    return everything.nordvik


@pytest.fixture
def goteborg(everything):
    return everything.goteborg


@pytest.fixture
def malmo(everything):
    return everything.malmo


@pytest.fixture
def ida(everything):
    return everything.ida


@pytest.fixture
def uma(everything):
    return everything.uma


@pytest.fixture
def page_of(client_of, monkeypatch):
    monkeypatch.setattr(overview, "ROWS_PER_PAGE", 50)
    address = reverse("enrollment:overview")
    return lambda who, **query: client_of(who).get(address, query)


def rows_of(response) -> dict[tuple[str, str], str]:
    """Whose turn each row is shown as, by program and location."""
    return {
        (row.program.name, row.location.name): WHOSE.get(row.standing.turn, "none")
        for group in response.context["groups"]
        for row in group["rows"]
    }


def test_the_filter_of_turns_shows_the_rows_that_say_so(page_of, everything, ida, uma):
    for who in (ida, uma):
        shown = rows_of(page_of(who))
        for turn in ("you", "them", "none"):
            wanted = {row: one for row, one in shown.items() if one == turn}
            assert rows_of(page_of(who, turn=turn)) == wanted, (who, turn)
        assert len(shown) > 15


def test_rows_are_found_by_program_location_number_and_person(
    page_of, everything, goteborg, malmo, ida, uma, alice
):
    def found(text, who=ida):
        return set(rows_of(page_of(who, q=text)))

    everywhere = set(rows_of(page_of(ida)))
    at_malmo = {row for row in everywhere if row[1] == malmo.name}
    assert found("both") == {("Both", goteborg.name), ("Both", malmo.name)}
    assert found(malmo.partner_id) == found("malm") == at_malmo
    # A person stands for what they may enroll.
    assert found(ida.full_name) == everywhere
    assert found(alice.full_name) == set()
    RoleAssignmentFactory(
        user=alice, partner_account=malmo.partner_account, location=malmo
    )
    assert found(alice.full_name.split()[0].lower()) == at_malmo
    # What is found and filtered is the same address.
    assert set(rows_of(page_of(ida, q="late", turn="none", pays="rebate"))) == {
        (name, goteborg.name) for name in ("Late invited", "Late draft", "Late action")
    }
    assert set(rows_of(page_of(ida, pays="co_op"))) == found("both")
    assert "No programs match this filter." in text(page_of(ida, q="%"))


def test_a_group_counts_what_the_search_found_of_it_filtered_or_not(
    page_of, everything, malmo, ida
):
    def total(**query):
        (both,) = (
            group["total"]
            for group in page_of(ida, **query).context["groups"]
            if group["program"].name == "Both"
        )
        return both

    assert total() == total(turn="you") == total(q="both") == 2
    assert total(q=malmo.partner_id) == 1


def test_the_list_lacks_what_the_enrollments_own_page_does(everything):
    now = timezone.now()
    begun = list(
        Enrollment.objects.filter(status__in=EDITABLE).select_related(
            "terms__fiscal_year__calendar"
        )
    )
    assignments, gaps = payout_at(begun, at=now), gaps_at(begun, at=now)

    assert any(gaps.values())
    assert {one.pk: gaps.get(one.pk, []) for one in begun} == {
        key: gaps_of(rows) for key, rows in assignments.items()
    }


def test_sorted_by_status_comes_first_what_needs_the_partner(page_of, everything, ida):
    response = page_of(ida, view="location", sort="status")
    for group in response.context["groups"]:
        places = [STATUS_ORDER.index(row.standing.status.code) for row in group["rows"]]
        assert places == sorted(places)
    shown = {
        row.standing.status.code
        for g in response.context["groups"]
        for row in g["rows"]
    }
    assert {"open", "eligible", "ineligible", "enrolled", "invited"} <= shown


@pytest.fixture
def many_statuses(everything, monkeypatch) -> list[str]:
    """A program at what counts as many locations, of each status twice but one."""
    monkeypatch.setattr(choices, "MANY_PLACES", 8)
    terms = named("Everywhere")
    RoleAssignmentFactory(user=everything.ida, partner_account=everything.nordvik)
    statuses = [*EnrollmentStatus.values, *EnrollmentStatus.values]
    statuses.remove("invited")
    for number, status in enumerate(statuses):
        EnrollmentFactory(
            location=LocationFactory(
                name=f"Place {number:02}", partner_account=everything.nordvik
            ),
            terms=terms,
            complete=status in ("validating", "enrolled"),
            status=status,
        )
    # Where nobody began: Göteborg, Malmö and one more.
    LocationFactory(name="Place unbegun", partner_account=everything.nordvik)
    return [*statuses, "eligible", "eligible", "eligible"]


@pytest.mark.parametrize("not_begun", ["eligible", "ineligible"])
def test_a_large_programs_rows_by_status_are_met_in_their_order_both_ways(
    page_of, many_statuses, ida, monkeypatch, not_begun
):
    monkeypatch.setattr(overview, "ROWS_PER_PAGE", 4)
    if not_begun == "ineligible":
        RequirementFactory(terms=ProgramTerms.objects.get(program__name="Everywhere"))
        many_statuses = [
            not_begun if one == "eligible" else one for one in many_statuses
        ]

    for sort, falling in (("status", False), ("-status", True)):
        way = {"q": "Everywhere", "sort": sort}
        there = walked(page_of, ida, way, "next")
        back = walked(page_of, ida, way | asked_in(there[-1].previous), "previous")
        met = [key for page in there for key, _location, _terms in page.rows]
        shown = ProgramAtLocation.objects.select_related("enrollment").in_bulk(met)
        kinds = [shown[key].enrollment_status or not_begun for key in met]
        assert kinds == sorted(many_statuses, key=STATUS_ORDER.index, reverse=falling)
        names = [
            (kind, shown[key].location_name)
            for kind, key in zip(kinds, met, strict=True)
        ]
        assert names == sorted(names, key=lambda one: (kinds.index(one[0]), one[1]))
        assert [page.rows for page in back[::-1]] == [page.rows for page in there[:-1]]


def test_a_page_by_status_reads_no_statuses_that_come_after_it(
    page_of, many_statuses, ida, monkeypatch
):
    read = []
    keys = choices._keys
    monkeypatch.setattr(
        choices,
        "_keys",
        lambda choice, *part: (read.append(choice.statuses), keys(choice, *part))[1],
    )
    monkeypatch.setattr(overview, "ROWS_PER_PAGE", 2)

    page = page_of(ida, q="Everywhere", sort="status").context
    assert page["groups"][0]["total"] == len(many_statuses)
    assert page["groups"][0]["enrolled"] == 2
    first = page_of(ida, q="Everywhere", sort="-status").context["page"]
    page_of(ida, **asked_in(first.next))
    # What filters leave is not what was counted.
    page_of(ida, q="Everywhere", sort="status", country="SE")
    # Few are sorted as they are: counting them first would be a question more.
    monkeypatch.setattr(choices, "MANY_PLACES", 100)
    page_of(ida, q="Everywhere", sort="status")

    assert read == [
        ("action_required", "invited"),
        ("discontinued", "inactive"),
        ("discontinued", "inactive", "expired"),
        (),
        (),
    ]


@pytest.mark.parametrize("sees_some", [False, True])
def test_the_place_of_a_row_by_status_tells_nothing_behind_the_veil(
    page_of, many_statuses, goteborg, uma, monkeypatch, sees_some
):
    monkeypatch.setattr(overview, "ROWS_PER_PAGE", 4)
    if sees_some:
        # Where nobody began: of the others nothing more is seen.
        RoleAssignmentFactory(
            user=uma, partner_account=goteborg.partner_account, location=goteborg
        )
    seen = [
        "enrolling" if one in ("action_required", "validating") else one
        for one in many_statuses
    ]

    for sort, falling in (("status", False), ("-status", True)):
        way = {"q": "Everywhere", "sort": sort}
        there = walked(page_of, uma, way, "next")
        back = walked(page_of, uma, way | asked_in(there[-1].previous), "previous")
        met = [key for page in there for key, _location, _terms in page.rows]
        rows = ProgramAtLocation.objects.in_bulk(met)
        kinds = [
            "enrolling"
            if rows[key].enrollment_status in ("action_required", "validating")
            else rows[key].enrollment_status or "eligible"
            for key in met
        ]
        assert kinds == sorted(seen, key=STATUS_ORDER.index, reverse=falling)
        hidden = [
            rows[key].location_name
            for key, kind in zip(met, kinds, strict=True)
            if kind == "enrolling"
        ]
        assert hidden == sorted(hidden)
        assert [page.rows for page in back[::-1]] == [page.rows for page in there[:-1]]


def test_the_veil_holds_in_the_search_for_people(page_of, everything, ida, uma):
    Enrollment.objects.filter(submitted_by__isnull=False).update(submitted_by=uma)

    assert rows_of(page_of(ida, q=uma.full_name))
    assert rows_of(page_of(uma, q=uma.full_name)) == {}


def test_the_matrix_has_a_cell_for_every_program_at_every_location(
    page_of, everything, ida, goteborg, malmo
):
    context = page_of(ida, view="matrix").context
    lines = {line["location"]: line["cells"] for line in context["lines"]}
    both = [program.name for program in context["programs"]].index("Both")

    assert set(lines) == {goteborg, malmo}
    assert lines[malmo][both].standing.status.code == "invited"
    assert lines[goteborg][both].standing.turn == Turn.YOU
    shown = {
        (row.program.name, row.location.name): WHOSE.get(row.standing.turn, "none")
        for cells in lines.values()
        for row in cells
        if row
    }
    assert shown == rows_of(page_of(ida))
    narrowed = page_of(ida, view="matrix", q="both").context
    assert [program.name for program in narrowed["programs"]] == ["Both"]


def test_the_table_holds_what_the_list_shows(client_of, page_of, everything, uma, ida):
    for who in (ida, uma):
        query = {"turn": "them"}
        response = client_of(who).get(reverse("enrollment:export_overview"), query)
        table = b"".join(response.streaming_content).decode("utf-8-sig")
        lines = list(csv.DictReader(io.StringIO(table)))

        shown = page_of(who, **query)
        assert {(line["Program"], line["Location"]) for line in lines} == set(
            rows_of(shown)
        )
        for line in lines:
            assert line["Status"] in text(shown)
            assert line["Turn"] in text(shown)
    assert "Validating" not in table


def test_the_page_of_a_program_says_what_it_is_and_where_one_stands(
    client_of, everything, malmo, ida, uma, program, django_assert_max_num_queries
):
    place = ProgramAtLocation.objects.get(program__name="Both", location=malmo)
    place.program.summary_en = "Pays for both."
    place.program.save()
    place.terms.methods = ["bank_transfer", "credit_note"]
    place.terms.save()
    client, address = client_of(ida), place.get_absolute_url()
    client.get(address)
    with django_assert_max_num_queries(15):
        response = client.get(address)
    said = text(response)

    assert "Pays for both." in said
    assert "Co-op 100%" in said
    assert "Bank transfer and credit note" in said
    assert response.context["chosen"].location == malmo
    assert [row.location.name for row in response.context["others"]] == ["Göteborg"]
    assert "the first day of the month in which it is validated" in said
    assert "1 of 1 requirement met" in said
    assert (
        f'href="{address}"'
        in client.get(reverse("enrollment:overview")).content.decode()
    )
    # Who reads "Enrolling" reads no steps either (R42).
    assert client_of(uma).get(address).context["steps"] == []


def test_the_page_of_a_discontinued_program_says_since_when(
    client_of, everything, goteborg, ida
):
    place = ProgramAtLocation.objects.get(
        program__name="Program discontinued", location=goteborg
    )
    place.program.discontinued_at = timezone.now()
    place.program.save()

    said = text(client_of(ida).get(place.get_absolute_url()))

    assert "The program owner discontinued this program on" in said


def test_the_table_runs_nothing_and_speaks_the_readers_language(
    client_of, ida, goteborg
):
    EnrollmentFactory(location=goteborg, terms=named("=cmd|' /C calc'!A0"))
    ida.language = "sv"
    ida.save()

    response = client_of(ida).get(reverse("enrollment:export_overview"))
    table = b"".join(response.streaming_content).decode("utf-8-sig")

    (line,) = (one for one in table.splitlines() if "calc" in one and "Göteborg" in one)
    assert "\"'=cmd|' /C calc'!A0\"" in line
    assert "Inbjuden" in line


def test_every_way_of_looking_asks_few_questions(
    client_of, everything, ida, django_assert_max_num_queries
):
    client, address = client_of(ida), reverse("enrollment:overview")
    for query in (
        {"view": "matrix"},
        {"turn": "you", "q": "program", "pays": "rebate"},
    ):
        client.get(address, query)
        with django_assert_max_num_queries(15, info=str(query)):
            client.get(address, query)


def test_a_late_page_of_what_was_found_and_sorted_asks_few_questions(
    client_of, everything, ida, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(overview, "ROWS_PER_PAGE", 4)
    monkeypatch.setattr(choices, "MANY_PLACES", 0)
    client = client_of(ida)
    address = reverse("enrollment:overview") + "?sort=-status&q=o"
    pages = 0
    while address:
        client.get(address)
        with django_assert_max_num_queries(15, info=address):
            page = client.get(address).context["page"]
        pages += 1
        address = page.next and reverse("enrollment:overview") + page.next
    assert pages > 3


def test_every_row_is_met_once_on_the_way_there_and_on_the_way_back(
    page_of, everything, ida, monkeypatch
):
    whole = page_of(ida).context["page"].rows
    monkeypatch.setattr(overview, "ROWS_PER_PAGE", 9)
    monkeypatch.setattr(overview, "CELLS_PER_PAGE", 1)
    monkeypatch.setattr(overview, "FEWEST_LOCATIONS", 1)
    ways = [{"view": view} for view in ("program", "location", "matrix")]
    ways += [{"sort": sort} for sort in ("-name", "status", "-status")]
    for way in ways:
        there = walked(page_of, ida, way, "next")
        assert len(there) > 1, way
        met = [row for page in there for row in page.rows]
        assert len(met) == len(set(met)), way
        if way != {"view": "matrix"}:
            assert set(met) == set(whole), way
        back = walked(page_of, ida, way | asked_in(there[-1].previous), "previous")
        assert [row for page in back[::-1] for row in page.rows] == [
            row for page in there[:-1] for row in page.rows
        ], way


def test_a_page_of_the_matrix_has_as_many_cells_whatever_the_programs():
    beside = [overview._locations_beside(programs) for programs in (0, 1, 6, 12, 40)]

    assert beside == [25, 25, 12, 6, 5]


def test_a_place_in_the_list_that_is_none_begins_it_anew(page_of, everything, ida):
    first = page_of(ida).context["page"].rows
    for after in ("", "x", "0-0", "9" * 30 + "-1", "-"):
        for view in ("program", "matrix"):
            page = page_of(ida, view=view, after=after).context["page"]
            assert page.rows, (view, after)
            assert not page.previous, (view, after)
        assert page_of(ida, after=after).context["page"].rows == first, after


def walked(page_of, who, way: dict, side: str) -> list:
    """The stretches of the Overview, one after the other."""
    found = [page_of(who, **way).context["page"]]
    while address := getattr(found[-1], side):
        assert len(found) < 50
        found.append(page_of(who, **asked_in(address)).context["page"])
    return found


def asked_in(address: str) -> dict:
    return dict(parse_qsl(address.removeprefix("?")))
