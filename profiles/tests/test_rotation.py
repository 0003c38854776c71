"""The rotation of the keys that seal numbers and secrets, while the portal runs."""

import io
import os

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accounts.field_keys import SealedColumn, sealed_columns
from accounts.models import AuditAction, AuditEvent, CompanyTenant
from accounts.sealing import DecryptionError, seal
from accounts.services import finish_rotation, seal_next_batch
from accounts.tests.factories import CompanyTenantFactory, UserFactory
from accounts.tests.second_factors import SECRET, SEED, give_app, give_codes
from profiles.models import BankProfileVersion, TaxDocument, TaxProfileVersion
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    TaxDocumentFactory,
    TaxProfileFactory,
)

OLD = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
NEW = "k2:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
BANK = SealedColumn(BankProfileVersion, "details")

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(settings):
    """A bank version, a tax version, a company's sign-in, and second factors."""
    settings.FIELD_ENCRYPTION_KEYS = OLD
    person = UserFactory()
    give_app(person)
    give_codes(person)
    BankProfileFactory.create_batch(3)
    TaxDocumentFactory(version=TaxProfileFactory().versions.get())
    CompanyTenantFactory()
    return person


def rotate(**options) -> str:
    out = io.StringIO()
    call_command("rotate_field_keys", stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def keys_of(column: SealedColumn) -> dict[str, int]:
    return dict(column.values_by_key())


def columns_with_values() -> dict[str, dict[str, int]]:
    return {one.name: found for one in sealed_columns() if (found := keys_of(one))}


def test_after_a_rotation_the_new_key_alone_opens_everything(everything, settings):
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"

    told = rotate()

    assert columns_with_values() == {
        "accounts_companytenant.client_secret": {"k2": 1},
        "mfa_authenticator.data": {"k2": 2},
        "profiles_bankprofileversion.details": {"k2": 3},
        "profiles_taxdocument.content": {"k2": 1},
        "profiles_taxdocument.name": {"k2": 1},
        "profiles_taxprofileversion.details": {"k2": 1},
    }
    assert TaxDocument.objects.get().content.startswith(b"%PDF-")
    assert "profiles_bankprofileversion.details" in told
    settings.FIELD_ENCRYPTION_KEYS = NEW
    for version in BankProfileVersion.objects.all():
        assert dict(version.details) == BANK_DETAILS
    assert dict(TaxProfileVersion.objects.get().details) == TAX_DETAILS
    assert CompanyTenant.objects.get().client_secret == "a secret"


def test_second_factors_keep_their_secrets_in_a_rotation(everything, settings):
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"

    rotate()

    settings.FIELD_ENCRYPTION_KEYS = f"{OLD},{NEW}"
    (factors,) = (
        one for one in sealed_columns() if one.name == "mfa_authenticator.data"
    )
    values = factors.lock_stale(after=None, most=10)
    assert {factors.opened(value) for value in values} == {SECRET, SEED}


def test_a_rotation_that_stops_leaves_everything_readable_and_goes_on(
    everything, settings
):
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    seal_next_batch(BANK, most=2)

    assert keys_of(BANK) == {"k2": 2, "k1": 1}
    assert not finish_rotation(BANK)
    for version in BankProfileVersion.objects.all():
        assert dict(version.details) == BANK_DETAILS

    rotate()

    assert keys_of(BANK) == {"k2": 3}


def test_a_rotation_is_remembered_once_for_each_column(everything, settings):
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"

    rotate()
    rotate()

    events = AuditEvent.objects.filter(action=AuditAction.FIELD_KEY_ROTATED)
    assert sorted(
        (event.after["column"], event.after["sealed_with"], event.after["values"])
        for event in events
    ) == [
        ("accounts_companytenant.client_secret", "k2", 1),
        ("mfa_authenticator.data", "k2", 2),
        ("profiles_bankprofileversion.details", "k2", 3),
        ("profiles_taxdocument.content", "k2", 1),
        ("profiles_taxdocument.name", "k2", 1),
        ("profiles_taxprofileversion.details", "k2", 1),
    ]


def test_a_value_that_changed_since_it_was_read_is_left_alone(everything, settings):
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    value = BANK.lock_stale(after=None, most=1)[0]
    version = BankProfileVersion.objects.get(pk=value.pk)
    mine = BANK.sealed_anew(value)
    assert BANK.write([(value, mine)]) == 1

    assert BANK.write([(value, BANK.sealed_anew(value))]) == 0

    version.refresh_from_db()
    assert dict(version.details) == BANK_DETAILS


def test_a_value_that_no_key_opens_is_named_and_kept(everything, settings):
    broken = BankProfileVersion.objects.first()
    elsewhere = seal("{}", table="elsewhere", pk=broken.pk, column="details")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE profiles_bankprofileversion SET details = %s WHERE id = %s",
            [elsewhere, broken.pk],
        )
        cursor.execute("SET session_replication_role = DEFAULT")
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    err = io.StringIO()

    with pytest.raises(CommandError, match="cannot be opened") as refused:
        call_command("rotate_field_keys", stdout=io.StringIO(), stderr=err)

    assert refused.value.returncode == 1
    assert f"profiles_bankprofileversion.details, row {broken.pk}" in err.getvalue()
    assert keys_of(BANK) == {"k1": 1, "k2": 2}
    with pytest.raises(DecryptionError):
        BANK.sealed_anew(BANK.lock_stale(after=None, most=1)[0])


def test_rows_that_others_change_are_for_later(everything, settings, monkeypatch):
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    # All rows are locked by somebody.
    monkeypatch.setattr(SealedColumn, "lock_stale", lambda self, **options: [])

    with pytest.raises(CommandError, match="run this again") as refused:
        rotate()

    assert refused.value.returncode == os.EX_TEMPFAIL


def test_the_status_names_a_lost_key_and_changes_nothing(everything, settings):
    settings.FIELD_ENCRYPTION_KEYS = NEW

    told = rotate(status=True)

    assert "k1 (lost)" in told
    assert keys_of(BANK) == {"k1": 3}
