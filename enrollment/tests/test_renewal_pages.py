"""The year end on the operators' pages: rehearse, look, approve, follow, decide, keep."""

import csv
import io
import re
from datetime import UTC, datetime
from html import unescape

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.models import AuditEvent, Location
from accounts.tests.factories import UserFactory
from enrollment import services, tasks, year_end
from enrollment.models import Enrollment, RenewalPlan, SetAside
from enrollment.services import renewals
from enrollment.tests.test_renewal import World, made
from enrollment.tests.year_end import NIGHT, WORLDS, take_its_place

pytestmark = pytest.mark.django_db

BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
ALL = len(WORLDS) + 1


@pytest.fixture
def clock():
    with time_machine.travel(BEFORE, tick=False) as traveller:
        yield traveller


@pytest.fixture
def rows(clock, db) -> dict[str, Enrollment]:
    return {name: made(world)[0] for name, world in WORLDS.items()}


@pytest.fixture
def year(rows):
    return made(World())[1]


def operator(name: str, group: str):
    user = UserFactory(full_name=name, operator=True)
    user.groups.set([Group.objects.get(name=group)])
    return user


@pytest.fixture
def mina(clock, db, client_of):
    """Who prepares it, with her browser."""
    mina = operator("Mina Okafor", "Program manager")
    mina.browser = client_of(mina)
    return mina


@pytest.fixture
def aino(clock, db, client_of):
    """Who approves it, with hers."""
    aino = operator("Aino Virtanen", "Approver")
    aino.browser = client_of(aino)
    return aino


@pytest.fixture
def plan(year, mina) -> RenewalPlan:
    return services.rehearse_renewals(year, by=mina)


def url(name: str, row, query: str = "") -> str:
    return reverse(f"ops:{name}", kwargs={"pk": row.pk}) + query


def said(response) -> str:
    text = response.content.decode().partition("<main")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def post(person, name: str, row, sent=None, query: str = "") -> str:
    """Press a button; return what the page says that it leads to."""
    response = person.browser.post(url(name, row, query), sent or {}, follow=True)
    assert response.redirect_chain, response.status_code
    return said(response)


def test_asking_for_a_rehearsal_leaves_it_to_the_workers(year, mina):
    page = said(mina.browser.get(reverse("ops:renewals")))
    assert "2027 → 2028" in page
    assert "in 11 days" in page
    assert "Not rehearsed yet" in page

    asked = mina.browser.post(url("rehearse_renewals", year))
    plan = RenewalPlan.objects.get()
    assert (asked.url, plan.rows_count) == (plan.get_absolute_url(), 0)
    waiting = mina.browser.get(asked.url)
    assert "A worker begins within seconds" in said(waiting)
    # With scripts it looks again by itself, without them too.
    assert b'data-poll="3"' in waiting.content
    assert b'http-equiv="refresh" content="10; url=?looks_again=1"' in waiting.content

    tasks.rehearse_renewals()

    done = mina.browser.get(asked.url)
    plan.refresh_from_db()
    assert plan.digest in said(done)
    assert "Ask for approval" in said(done)
    assert "Continues, but something is missing" in said(done)
    assert "The tax profile has expired. 1" in said(done)
    assert "Requirement not met" in said(done)
    assert b"data-poll" not in done.content


def test_every_row_is_found_page_by_page(plan, mina, monkeypatch):
    monkeypatch.setattr(year_end, "PAGE_SIZE", 5)
    address, pages = url("renewal_rows", plan), []
    while address:
        response = mina.browser.get(address)
        pages.append(re.findall(r"enrollments/([^/]+)/", response.content.decode()))
        address = response.context["next_url"]
        address = address and url("renewal_rows", plan, address)

    assert [len(page) for page in pages] == [5, 5, 2]
    assert len(set().union(*pages)) == ALL


def listed(person, plan, query: str) -> list:
    response = person.browser.get(url("renewal_rows", plan, query))
    return [row.enrollment for row in response.context["rows"]]


def test_rows_are_narrowed_by_outcome_reason_program_company_and_change(
    rows, plan, mina, year
):
    risky = rows["form expires"]
    company = risky.location.partner_account
    assert listed(mina, plan, "?outcome=at_risk") == [risky]
    assert listed(mina, plan, "?reason=tax_expired") == [risky]
    assert listed(mina, plan, f"?program={risky.terms.program_id}") == [risky]
    for words in (company.name, company.partner_id, risky.location.partner_id):
        assert listed(mina, plan, f"?company={words}") == [risky]
    assert listed(mina, plan, "?company=nobody") == []
    assert len(listed(mina, plan, "?outcome=nonsense&after=nonsense")) == ALL

    Enrollment.objects.filter(pk=risky.pk).update(status="validating")
    again = services.rehearse_renewals(year, by=mina)

    assert listed(mina, again, "?changed=on") == [risky]
    page = said(mina.browser.get(again.get_absolute_url()))
    assert "Compared with rehearsal 1 1 See the rows" in page
    assert "Continues, but something is missing Continues; validation goes on 1" in page
    # The older one says that there is a newer.
    assert "newer rehearsal" in said(mina.browser.get(plan.get_absolute_url()))


def table_of(person, plan) -> list[dict[str, str]]:
    response = person.browser.get(url("export_renewal", plan))
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_has_every_row_and_no_formula(rows, plan, mina, monkeypatch):
    monkeypatch.setattr(year_end, "BATCH", 5)
    risky = rows["form expires"]
    Location.objects.filter(pk=risky.location_id).update(name="=HYPERLINK(1)")

    table = table_of(mina, plan)

    assert len(table) == ALL
    (row,) = (row for row in table if row["Location"] == "'=HYPERLINK(1)")
    assert row["Status before"] == "Enrolled"
    assert row["Status in the new year"] == "Action required"
    assert row["Why"] == "The tax profile has expired."
    assert row["Mail"] == "Summary: what continued, and what needs you"
    assert row["What the run did"] == ""


def test_a_second_operator_approves_by_the_digest_of_the_page(plan, mina, aino):
    assert "Aino Virtanen" in post(mina, "propose_renewal", plan)
    mina.groups.add(Group.objects.get(name="Approver"))
    told = post(mina, "approve_renewal", plan, {"digest": plan.digest})
    assert "Somebody else has to approve it" in told

    page = aino.browser.get(plan.get_absolute_url())
    assert f'name="digest" value="{plan.digest}"' in page.content.decode()
    assert f"exactly these {ALL} rows" in said(page)
    for digest in ("", "0" * 64):
        told = post(aino, "approve_renewal", plan, {"digest": digest})
        assert "This is not the plan that was rehearsed" in told
    plan.refresh_from_db()
    assert plan.is_proposed

    told = post(aino, "approve_renewal", plan, {"digest": plan.digest})

    assert "Approved. It runs by itself" in told
    plan.refresh_from_db()
    assert plan.approved_by == aino
    audit = said(mina.browser.get(reverse("ops:audit")))
    assert "Year end approved" in audit
    assert plan.digest in audit


def test_what_is_proposed_is_withdrawn_and_rehearsed_again(plan, year, mina, aino):
    post(mina, "propose_renewal", plan)
    assert "withdrawn" in post(mina, "withdraw_renewal", plan)
    told = post(aino, "approve_renewal", plan, {"digest": plan.digest})
    assert "not where that can be done" in told

    assert mina.browser.post(url("rehearse_renewals", year)).status_code == 302
    assert RenewalPlan.objects.count() == 2


@pytest.fixture
def approved(plan, mina, aino) -> RenewalPlan:
    services.propose_renewals(plan, by=mina)
    return services.approve_renewals(plan, digest=plan.digest, by=aino)


def begin(plan: RenewalPlan, clock, *people) -> None:
    """Let the night come; nobody is signed in from eleven days before."""
    clock.move_to(NIGHT)
    for person in people:
        person.browser.force_login(person)
    services.start_renewals(plan, by=None)


def run(plan: RenewalPlan) -> None:
    while services.renew_next_range(plan):
        pass
    services.finish_renewals(plan)


def test_a_run_is_followed_stopped_and_gone_on_with(
    year, mina, aino, clock, monkeypatch
):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 2)
    plan = services.rehearse_renewals(year, by=None)
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=aino)
    refused = post(mina, "rehearse_renewals", year)
    assert "approved already" in refused
    begin(plan, clock, mina, aino)
    clock.shift(1)
    services.renew_next_range(plan)
    clock.shift(1)

    page = said(mina.browser.get(plan.get_absolute_url()))
    assert f"2 of {ALL} enrollments done" in page
    assert "1 a second, about 10 seconds left" in page

    assert "nothing new is begun" in post(mina, "pause_renewal", plan)
    assert services.renew_next_range(plan) is None
    assert "It goes on" in post(mina, "resume_renewal", plan)
    run(plan)

    assert "Open the report" in said(mina.browser.get(plan.get_absolute_url()))
    assert "not where that can be done" in post(mina, "pause_renewal", plan)
    kept = said(aino.browser.get(url("renewal_report", plan)))
    for words in (
        plan.digest,
        "Mina Okafor",
        "Aino Virtanen",
        "by the clock",
        "0:00:02",
    ):
        assert words in kept
    assert f"{ALL} done of {ALL} planned" in kept
    assert {row["What the run did"] for row in table_of(mina, plan)} == {"Carried out"}


@pytest.fixture
def aside(rows, approved, clock, mina, aino) -> dict[str, SetAside]:
    """Three whose place is taken, and one who came later."""
    names = ("continues", "form expires", "validating")
    for name in names:
        take_its_place(rows[name], approved)
    newcomer, _year = made(World())
    begin(approved, clock, mina, aino)
    run(approved)
    found = {name: SetAside.objects.get(enrollment=rows[name]) for name in names}
    return found | {"newcomer": SetAside.objects.get(enrollment=newcomer)}


def test_what_was_set_aside_is_decided_one_by_one_and_alike(
    aside, approved, mina, aino
):
    plan = approved
    assert "4 enrollments were set aside" in said(
        mina.browser.get(plan.get_absolute_url())
    )
    page = said(mina.browser.get(url("set_aside", plan)))
    assert "Ended meanwhile, or its place is taken" in page
    assert "Not in the plan: it came later" in page
    # An approver decides as well: what ends an enrollment is not the preparers'.
    assert "Carry out what was found" in said(aino.browser.get(url("set_aside", plan)))

    newcomer = aside["newcomer"]
    sent = {"rows": [newcomer.pk], "apply": "yes"}
    refused = mina.browser.post(url("decide_set_aside", plan), sent | {"reason": ""})
    assert refused.status_code == 422
    assert "Say why." in said(refused)
    assert re.search(rf'value="{newcomer.pk}"[^>]* checked', refused.content.decode())
    nothing = mina.browser.post(
        url("decide_set_aside", plan), {"apply": "no", "reason": "Because."}
    )
    assert "Tick the enrollments" in said(nothing)

    told = post(mina, "decide_set_aside", plan, sent | {"reason": "They called."})
    assert "1 is decided." in told
    assert Enrollment.objects.get(renewed_from=newcomer.enrollment_id).status

    told = post(
        mina,
        "decide_set_aside",
        plan,
        {"rows": [aside["validating"].pk], "apply": "yes", "reason": "Try it."},
    )
    assert "nothing to carry out" in told

    told = post(
        mina,
        "decide_set_aside",
        plan,
        {"alike": "on", "apply": "no", "reason": "Invited by hand."},
        query="?kind=enrolled-",
    )
    assert "1 is decided." in told
    left = SetAside.objects.get(pk=aside["continues"].pk)
    assert (left.decided_by, left.is_applied) == (mina, False)
    assert set(SetAside.objects.undecided()) == {
        aside["form expires"],
        aside["validating"],
    }

    kept = said(mina.browser.get(url("renewal_report", plan)))
    assert "Set aside, left as it was Mina Okafor" in kept
    assert "Invited by hand." in kept
    assert "set aside, 2 not decided" in kept
    last = table_of(mina, plan)[-1]
    assert last["What the run did"] == "Set aside, carried out as found"
    event = AuditEvent.objects.filter(action="set_aside_decided").first()
    assert event.reason == "Invited by hand."
