"""Bank and tax profiles in the admin: looked at by superusers, never opened."""

import pytest
from django.urls import reverse

from accounts import encryption
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

KINDS = ("bankprofile", "taxprofile", "defaultbankprofile")


@shared
def root(db):
    return UserFactory(is_staff=True, is_superuser=True)


@shared
def records(nordvik, goteborg):
    bank = BankProfileFactory(partner_account=nordvik)
    return [
        bank,
        TaxProfileFactory(location=goteborg),
        DefaultBankProfileFactory(location=goteborg, bank_profile=bank),
    ]


def address(record, page: str = "change") -> str:
    return reverse(
        f"admin:{record._meta.app_label}_{record._meta.model_name}_{page}",
        args=[record.pk],
    )


def test_a_record_tells_who_sent_and_decided_and_no_number(client_of, root, records):
    # T14
    client = client_of(root)

    for record in records:
        page = client.get(address(record)).content.decode()

        for secret in (*BANK_DETAILS.values(), *TAX_DETAILS.values()):
            if secret not in ("Nordvik IT AB", "Stockholm"):
                assert secret not in page
        for version in getattr(
            record, "versions", record.__class__.objects.none()
        ).all():
            assert version.submitted_by.full_name in page
            assert version.blind_index not in page or not version.blind_index


def test_nothing_sealed_is_opened(client_of, root, records, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a sealed value was opened")

    monkeypatch.setattr(encryption, "unseal", refuse)
    client = client_of(root)

    for record in records:
        assert client.get(address(record)).status_code == 200
        kind = record._meta.model_name
        changelist = reverse(f"admin:profiles_{kind}_changelist")
        assert client.get(changelist, {"q": "a"}).status_code == 200


def test_nothing_is_changed_added_or_deleted_here(client_of, root, records):
    client = client_of(root)

    for record in records:
        assert client.post(address(record), {}).status_code == 403
        assert client.post(address(record, "delete"), {"post": 1}).status_code == 403
    for kind in KINDS:
        assert client.get(reverse(f"admin:profiles_{kind}_add")).status_code == 403


@pytest.mark.parametrize(
    ("name", "status"),
    [("oscar", 403), ("mina", 403), ("greta", 404)],
    ids=["validator", "program manager", "Global admin"],
)
def test_no_group_and_no_partner_opens_them(client_of, cast, records, name, status):
    # Validators see details on the validation pages, where it is their decision. For
    # a Global admin these records do not exist.
    client = client_of(getattr(cast, name))

    for record in records:
        assert client.get(address(record)).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        "versions__blind_index=a",
        "versions__details__contains=a",
        "versions__last4=0003",
        "name__startswith=a",
    ],
)
def test_an_address_asks_nothing_about_numbers(client_of, root, records, query):
    url = reverse("admin:profiles_bankprofile_changelist")

    assert client_of(root).get(f"{url}?{query}").status_code == 400
