"""What was typed waits while its sender proves who they are, and is sent on once."""

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.shortcuts import redirect
from django.test import RequestFactory
from django.urls import include, path

from accounts import access
from accounts.sealing import seal

FORM = "/probe/form/?country=SE"
# What reached the form, and how it answers.
form = SimpleNamespace(sent=[], is_proved=False, answer=None)


@access.signed_in("a form of everybody's")
def fill_in(request):
    """Take what is sent once it was proved who sends it."""
    if not form.is_proved:
        return access.ask_again(request)
    form.sent.append((request.GET.dict(), request.POST.dict()))
    return form.answer


@access.signed_in("where a company's directory leads back to")
def come_back(request):
    """Go on as after the company's own sign-in."""
    form.is_proved = True
    return access.proved_elsewhere(request, FORM)


@access.signed_in("another page")
def look(request):
    """Say how one came."""
    return HttpResponse(request.method)


urlpatterns = [
    path("probe/form/", fill_in),
    path("probe/back/", come_back),
    path("probe/look/", look),
    path("", include("incentives_portal.urls")),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
def fresh_form():
    form.sent, form.is_proved, form.answer = [], False, redirect("/done/")


def send(client):
    return client.post(FORM, {"name": "x"}, HTTP_REFERER=f"http://testserver{FORM}")


def test_what_waited_goes_to_its_form_as_it_was_typed(client_of, lars):
    client = client_of(lars)
    asked = send(client)

    done = client.get("/probe/back/")

    assert asked.status_code == 302
    assert form.sent == [({"country": "SE"}, {"name": "x"})]
    assert done.url == "/done/"
    # Once: coming back again sends nothing.
    assert client.get("/probe/back/").url == FORM
    assert len(form.sent) == 1


def test_where_nothing_waited_one_goes_where_one_was_going(client_of, lars):
    assert client_of(lars).get("/probe/back/").url == FORM


def test_what_waits_for_something_else_is_not_sent(client_of, lars):
    client = client_of(lars)
    send(client)
    session = client.session
    session[access.STATE_SESSION_KEY] |= {"callback": "elsewhere.send"}
    session.save()

    assert client.get("/probe/back/").url == FORM
    assert form.sent == []


@pytest.mark.parametrize("sealed", ["", "v1:k1:AAAA", "another's"])
def test_what_nobody_can_open_is_forgotten(client_of, lars, greta, sealed):
    if sealed == "another's":
        place = {"table": "session", "pk": greta.pk, "column": "typed"}
        sealed = seal("{}", **place)
    client = client_of(lars)
    send(client)
    session = client.session
    session[access.STATE_SESSION_KEY] |= {"state": {"sealed": sealed}}
    session.save()

    assert client.get("/probe/back/").url == FORM
    assert form.sent == []


def test_what_is_refused_is_shown_at_its_own_address_only(client_of, lars):
    client = client_of(lars)
    for first in ("/probe/look/", FORM):
        form.is_proved, form.answer, form.sent = False, HttpResponse(status=422), []
        send(client)
        back = client.get("/probe/back/")
        assert back.url == FORM

        page = client.get(first)

        is_own = first == FORM
        assert page.content.decode() == ("" if is_own else "GET")
        assert len(form.sent) == (2 if is_own else 1)


def test_the_best_proof_is_asked_for_first(client_of, lars, monkeypatch):
    both = ["mfa_reauthenticate", "account_reauthenticate"]
    monkeypatch.setattr(access, "confirmation_methods", lambda user: both)

    first = send(client_of(lars))
    monkeypatch.setattr(access, "confirmation_methods", lambda user: both[::-1])
    second = send(client_of(lars))

    assert "/reauthenticate/?" in second.url
    assert first.url != second.url


@pytest.fixture
def noted(monkeypatch):
    """What was told to the trail, each with the model and the key it is about."""
    told = []
    monkeypatch.setattr(
        access, "note_refusal", lambda model, key, **more: told.append((model, key))
    )
    return told


def asked(user, view_name, **more):
    match = SimpleNamespace(view_name=view_name, app_name="", url_name="", kwargs={})
    match.__dict__.update(more)
    request = RequestFactory().get("/")
    request.user, request.resolver_match = user, match
    request.companies, request.company, request.named_company = [], None, None
    return request


def test_a_refusal_is_noted_of_somebody_who_asked_for_something(lars, noted):
    hidden = access.HiddenPage()
    nowhere = asked(lars, "")
    nowhere.resolver_match = None

    access.note_refused_request(asked(AnonymousUser(), "ops:today"), hidden)
    access.note_refused_request(nowhere, hidden)
    assert noted == []

    access.note_refused_request(asked(lars, "ops:today"), hidden)
    assert noted == [(None, {"page": "ops:today"})]


def test_a_page_of_the_admin_site_that_is_about_no_model_is_noted_all_the_same(
    lars, noted
):
    page = {"app_name": "admin", "url_name": "accounts_user_password_change"}
    request = asked(lars, "admin:password", kwargs={"object_id": "7"}, **page)

    access.note_refused_request(request, access.HiddenPage())

    assert noted == [(None, {"pk": "7"})]
