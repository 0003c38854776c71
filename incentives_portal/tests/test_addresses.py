"""What every address answers to text that no table can hold, and to too much asking."""

import re

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.tests.factories import UserFactory
from incentives_portal.tests.addresses import every_address

pytestmark = pytest.mark.django_db

LISTS = ("q", "page", "sort", "tab", "view", "status", "country", "company")
NUL = dict.fromkeys(LISTS, "\0") | {
    "term": "x\0",
    "a\0": "name",
    "next": "/\0",
    "location": "\0",
    "person": "1\0",
}
SAMPLES = {
    "pk": "5b7bd0de-7a5f-4dd3-9f0a-3f5cf5cbb5a5",
    "object_id": "1",
    "content_type_id": "1",
    "app_label": "accounts",
    "url": "nothing",
    "name": "1-1.eml",
}


def paths():
    """Every address that can be written down, with something in its parts."""
    for address in every_address():
        for parts in (SAMPLES, SAMPLES | {"pk": 1}):
            try:
                kwargs = {name: parts[name] for name in address.parts}
                yield reverse(address.name, kwargs=kwargs)
                break
            except (NoReverseMatch, KeyError):
                continue


@pytest.fixture
def people(client_of, cast):
    superuser = UserFactory(operator=True, is_superuser=True)
    return [client_of(one) for one in (cast.ida, cast.greta, superuser)]


def test_an_address_with_a_nul_is_refused_and_never_breaks_a_page(people):
    asked = list(paths())
    assert len(asked) > 60

    for client in (*people, Client()):
        for path in asked:
            response = client.get(path, NUL)

            assert response.status_code == 400, path
    assert "This could not be understood" in response.content.decode()


@pytest.mark.parametrize(
    "path", ["/people/\0", "/incentives/\0/requirements/", "/admin/accounts/user/\0/"]
)
def test_a_nul_in_the_path_is_no_page(people, path):
    for client in people:
        assert client.get(path, follow=True).status_code in (200, 404)


def test_a_stranger_host_gets_the_same_plain_page(client, settings):
    settings.ALLOWED_HOSTS = ["portal.example.com"]

    response = client.get("/", headers={"host": "elsewhere.example"})

    assert response.status_code == 400
    assert "This could not be understood" in response.content.decode()


def test_the_autocomplete_would_break_without_the_refusal(people, settings):
    # The control.
    settings.MIDDLEWARE = [
        name for name in settings.MIDDLEWARE if "PlainAddress" not in name
    ]
    *_others, superuser = people
    superuser.handler.load_middleware()

    with pytest.raises(ValueError, match="NUL"):
        superuser.get(
            "/admin/autocomplete/",
            {
                "term": "\0",
                "app_label": "accounts",
                "model_name": "roleassignment",
                "field_name": "user",
            },
        )


def test_asking_for_a_language_with_a_look_leads_home(client):
    assert client.get(reverse("set_language")).url == reverse("home")


def test_who_asks_for_too_many_resets_is_told_when_to_come_back(client, ida):
    for _time in range(6):
        response = client.post(reverse("account_reset_password"), {"email": ida.email})

    page = " ".join(response.content.decode().split())
    assert response.status_code == 429
    assert response["Retry-After"] == "3600"
    assert "You can try again in an hour at the latest." in page
    assert re.search(r'<a class="btn" href="/accounts/password/reset/">', page)


def test_who_signs_in_too_often_is_told_when_to_come_back(client, settings):
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | {"login": "1/m/ip"}
    data = {"login": "nobody@partner.example", "password": "x"}
    for _time in range(2):
        response = client.post(reverse("account_login"), data)

    assert response.status_code == 429
    assert response["Retry-After"] == "60"
    assert "You can try again in a minute." in response.content.decode()
