"""How long the database may take for a page, and what its reader is told when it ran out.

Each limit has its control: without it the same page waits, and answers.
"""

import re
import runpy
import threading
from contextlib import contextmanager
from html import unescape

import pytest
from django.db import (
    DataError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.test import Client
from django.urls import reverse

from accounts.time_limits import Trouble, at_length, serve_pages, trouble_of
from enrollment import services
from enrollment.models import Enrollment
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
)
from incentives_portal import celery, views

pytestmark = pytest.mark.django_db(transaction=True)

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@pytest.fixture
def limited(settings, served):
    """This process serves pages, whose time is short here."""

    def limit(*, statement: float = 5, lock: float = 3) -> None:
        settings.PAGE_STATEMENT_SECONDS = statement
        settings.PAGE_LOCK_SECONDS = lock
        serve_pages()

    return limit


@pytest.fixture
def reader(ida, client_of):
    """Somebody's browser, which shows what went wrong."""
    return client_of(ida, raise_request_exception=False)


@pytest.fixture
def enrollment(goteborg, ida) -> Enrollment:
    return EnrollmentFactory(location=goteborg)


def limits() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        )
        return cursor.fetchone()


@contextmanager
def held(enrollment: Enrollment):
    """Somebody else changes an enrollment; yields what ends it."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT FROM enrollment_enrollment WHERE id = %s FOR UPDATE",
                [enrollment.pk],
            )
        # Whichever thread does it.
        yield other.connection.rollback
    finally:
        other.close()


def slow_once():
    """Let the first look at locations take a second."""
    waits = iter(["SELECT pg_sleep(1); "])

    def ask(execute, sql, params, many, context):
        is_it = 'FROM "accounts_location"' in sql
        return execute(next(waits, "") + sql if is_it else sql, params, many, context)

    return connection.execute_wrapper(ask)


def slow(table: str):
    """Let each question about a table take more than half a second."""

    def ask(execute, sql, params, many, context):
        waits = "SELECT pg_sleep(0.6); " if f'"{table}"' in sql else ""
        return execute(waits + sql, params, many, context)

    return connection.execute_wrapper(ask)


def page_of(response) -> str:
    return " ".join(response.content.decode().split())


def typed_in(response) -> dict[str, str]:
    """What the page sends once more."""
    pairs = HIDDEN.findall(response.content.decode())
    return {unescape(name): unescape(value) for name, value in pairs}


# --- Which process has which ----------------------------------------------------------


def test_what_serves_pages_has_a_pages_time_and_every_other_process_a_jobs(served):
    celery.refuse_to_start()
    assert limits() == ("1min", "10s")

    runpy.run_module("incentives_portal.wsgi")

    assert limits() == ("5s", "3s")


# --- What ran out is told ----------------------------------------------------------------


def test_a_page_that_takes_too_long_is_stopped_and_says_so(reader, goteborg, limited):
    address = reverse("enrollment:location", kwargs={"pk": goteborg.pk})
    # The control.
    with slow_once():
        assert reader.get(address).status_code == 200

    limited(statement=0.6)
    with slow_once():
        response = reader.get(f"{address}?a=1&b=2")

    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert response["Cache-Control"] == "no-store"
    assert "This took too long, and was stopped." in page_of(response)
    assert f'<a class="btn" href="{address}?a=1&amp;b=2">Try again</a>' in page_of(
        response
    )


def test_what_somebody_else_holds_is_told_soon_and_nothing_typed_is_lost(
    reader, enrollment, limited
):
    address = reverse("enrollment:decline", kwargs={"pk": enrollment.pk})
    reason = 'Nobody here sells "it" <yet>'
    limited(lock=0.2)

    with held(enrollment):
        response = reader.post(address, {"reason": reason})

    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert "Somebody else is changing this just now." in page_of(response)
    enrollment.refresh_from_db()
    assert enrollment.is_invited
    assert not enrollment.events.exists()

    sent_again = typed_in(response)
    assert reader.post(address, sent_again).status_code == 302
    enrollment.refresh_from_db()
    assert enrollment.is_declined


def test_without_the_limit_a_page_waits_for_as_long_as_it_is_held(reader, enrollment):
    """The control."""
    address = reverse("enrollment:decline", kwargs={"pk": enrollment.pk})
    with held(enrollment) as let_go:
        later = threading.Timer(1, let_go)
        later.start()
        response = reader.post(address, {"reason": "Nobody here sells it"})
        later.join()

    assert response.status_code == 302


# --- The database is away ----------------------------------------------------------------


@pytest.fixture
def away(monkeypatch):
    """PostgreSQL cannot be reached."""

    def leave() -> None:
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    yield leave
    monkeypatch.undo()


def test_without_a_database_pages_say_so_in_the_readers_language(reader, away):
    away()
    english = reader.get("/", headers={"Accept-Language": "en"})
    swedish = reader.get("/", headers={"Accept-Language": "sv"})

    assert {english.status_code, swedish.status_code} == {503}
    assert english["Retry-After"] == "10"
    assert "The portal cannot reach its records just now." in page_of(english)
    assert '<html lang="sv">' in page_of(swedish)
    assert "Portalen når inte sina uppgifter just nu." in page_of(swedish)


def test_what_was_typed_waits_for_the_database_to_be_back(reader, enrollment, away):
    address = reverse("enrollment:decline", kwargs={"pk": enrollment.pk})
    away()

    response = reader.post(address, {"reason": "Two\r\n<lines>", "x": ["1", "2"]})

    assert f'action="{address}"' in page_of(response)
    assert HIDDEN.findall(response.content.decode())[1:] == [
        ("reason", "Two\r\n&lt;lines&gt;"),
        ("x", "1"),
        ("x", "2"),
    ]


def test_what_another_site_sent_is_not_offered_to_be_sent_again(ida, away, client_of):
    client = client_of(ida, raise_request_exception=False, enforce_csrf_checks=True)
    client.get(reverse("own:language"))
    token = client.cookies["csrftoken"].value
    away()

    forged = client.post("/language/", {"language": "sv"})
    ours = client.post("/language/", {"language": "sv", "csrfmiddlewaretoken": token})

    assert {forged.status_code, ours.status_code} == {503}
    assert "<form" not in page_of(forged)
    # The control.
    assert "<form" in page_of(ours)


@pytest.mark.parametrize("secret", ["password", "code"])
def test_no_password_and_no_code_is_sent_back(away, secret):
    away()
    response = Client(raise_request_exception=False).post(
        reverse("account_login"),
        {"login": "ida@partner.example", secret: "a long secret of hers"},
    )

    assert response.status_code == 503
    assert "a long secret" not in page_of(response)
    assert "Back to the page" in page_of(response)
    assert response["Cache-Control"] == "no-store"


def test_what_a_criterion_is_called_is_kept(mina, away, client_of):
    manager = client_of(mina, raise_request_exception=False)
    away()

    response = manager.post(reverse("ops:add_criterion"), {"code": "revenue-12"})

    assert response.status_code == 503
    assert typed_in(response)["code"] == "revenue-12"


def test_a_file_is_asked_for_once_more(reader, away):
    away()
    with open(__file__, "rb") as file:
        response = reader.post("/language/", {"language": "sv", "file": file})

    assert "Files are not: you will be asked to choose them again." in page_of(response)


def test_what_is_our_fault_says_that_it_is(reader, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("ours")

    monkeypatch.setattr(views, "check_for_language", fail)
    response = reader.post("/language/", {"language": "sv"})

    assert response.status_code == 500
    assert "Something went wrong on our side" in page_of(response)


def error_with(code: str | None) -> OperationalError:
    error = OperationalError()
    error.__cause__ = type("Cause", (Exception,), {"pgcode": code})()
    return error


def test_codes_of_postgresql_tell_what_may_be_tried_again():
    told = {
        Trouble.LONG: ["57014"],
        Trouble.HELD: ["55P03", "40P01", "40001"],
        Trouble.AWAY: [None, "08006", "57P01", "57P03", "53300"],
        # Its disk is full, say: that is for us to mend.
        None: ["53100", "58030"],
    }
    for trouble, codes in told.items():
        assert {trouble_of(error_with(code)) for code in codes} == {trouble}
    assert trouble_of(InterfaceError("connection already closed")) is Trouble.AWAY
    assert trouble_of(DataError()) is trouble_of(None) is None


# --- What takes longer says so -----------------------------------------------------------


def wait_a_second() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.8)")


def test_what_is_known_to_take_longer_has_a_jobs_time_at_its_place(limited):
    limited(statement=0.4)
    with at_length():
        assert limits() == ("1min", "3s")
        wait_a_second()
        with at_length(90):
            assert limits()[0] == "90s"
            # Within what takes longer nothing gets less.
            with at_length():
                assert limits()[0] == "90s"
        assert limits()[0] == "1min"
    assert limits()[0] == "400ms"
    with transaction.atomic(), at_length():
        wait_a_second()

    # The control, and the limit is back.
    with pytest.raises(OperationalError, match="statement timeout"):
        wait_a_second()


@pytest.fixture
def campaign(program, goteborg, ida, mina):
    AgreementFactory(partner_account=goteborg.partner_account)
    return services.plan_campaign(ProgramTermsFactory(program=program), by=mina)


@pytest.mark.parametrize(
    "page", ["campaign", "left_out", "preview_campaign", "preview_campaign_html"]
)
def test_a_campaign_of_many_is_drawn_up_however_long_that_takes(
    campaign, mina, client_of, limited, page
):
    limited(statement=0.4)

    with slow("enrollment_requirementcheck"):
        response = client_of(mina).get(reverse(f"ops:{page}", args=[campaign.pk]))

    assert response.status_code == 200


def test_a_campaign_of_many_is_sent_and_paused_however_long_that_takes(
    campaign, mina, limited
):
    with slow("enrollment_requirementcheck"):
        limited(statement=0.4)
        services.confirm_campaign(campaign, people=1, by=mina)
    limited()
    campaign.refresh_from_db()
    while services.run_next_range(campaign, at=campaign.starts_at):
        pass
    with slow("accounts_outgoingemail"):
        limited(statement=0.4)
        services.pause_campaign(campaign, by=mina)

    campaign.refresh_from_db()
    assert campaign.is_paused


def test_more_time_ends_where_what_it_was_for_failed(limited):
    limited(statement=0.4)
    with pytest.raises(DataError), at_length(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert limits()[0] == "400ms"

    with pytest.raises(DataError), transaction.atomic(), at_length():
        connection.cursor().execute("SELECT 1 / 0")
    assert limits()[0] == "400ms"


def test_a_table_that_its_reader_leaves_gives_its_time_back(limited):
    limited(statement=0.4)

    def lines():
        with at_length():
            yield from "abc"

    table = lines()
    assert next(table) == "a"
    table.close()

    assert limits()[0] == "400ms"


def test_what_has_no_limit_gets_none(served):
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    with at_length():
        assert limits()[0] == "0"
