"""Sealed columns: what opens a value, and all the ways that must not."""

import copy
import logging
import pickle
import traceback
import uuid

import pytest
from django.apps.registry import Apps
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import IntegrityError, connection, models, transaction
from django.db.migrations.writer import MigrationWriter
from django.db.models import Count, F, Q, Value
from django.db.models.functions import Concat, Length
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.test.utils import register_lookup
from hypothesis import given
from hypothesis import strategies as st

from accounts.encryption import (
    Ciphertext,
    EncryptedJSONField,
    EncryptedTextField,
    key_id_of,
    sealed_check,
)
from accounts.sealing import (
    DecryptionError,
    blind_index,
    newest_key_id,
    seal,
    unseal,
)

NUMBER = "SE3550000000054910000003"
OTHER_NUMBER = "DE89370400440532013000"
K1 = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
K2 = "k2:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
PLACE = {"table": "vault", "pk": 7, "column": "number"}


class Vault(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    label = models.CharField(max_length=20, blank=True)
    number = EncryptedTextField(blank=True, null=True)
    other = EncryptedTextField(blank=True)
    details = EncryptedJSONField(blank=True)

    class Meta:
        apps = Apps()
        app_label = "vault"
        constraints = [
            sealed_check("number"),
            sealed_check("other"),
            sealed_check("details", name="vault_details_sealed"),
            models.CheckConstraint(
                condition=~Q(label="forbidden"), name="vault_label_allowed"
            ),
        ]


@pytest.fixture(autouse=True)
def _keys(settings):
    settings.FIELD_ENCRYPTION_KEYS = K1
    settings.BLIND_INDEX_KEY = b"i" * 32


@pytest.fixture
def table(db):
    with connection.schema_editor() as editor:
        editor.create_model(Vault)


@pytest.fixture
def row(table):
    return Vault.objects.create(number=NUMBER, details={"iban": NUMBER, "bic": ""})


def stored(row, column="number"):
    with connection.cursor() as cursor:
        cursor.execute(f"select {column} from vault_vault where id = %s", [row.pk])
        return cursor.fetchone()[0]


def store(row, text, column="number"):
    with connection.cursor() as cursor:
        cursor.execute(
            f"update vault_vault set {column} = %s where id = %s", [text, row.pk]
        )


# --- One text ---------------------------------------------------------------------


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.uuids())
def test_what_is_sealed_for_a_place_opens_there(text, pk):
    token = seal(text, table="t", pk=pk, column="c")

    assert unseal(token, table="t", pk=pk, column="c") == text
    assert token != seal(text, table="t", pk=pk, column="c")


@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE | {"table": "other"},
        PLACE | {"pk": 8},
        PLACE | {"column": "other"},
    ],
)
def test_a_token_opens_in_no_other_place(elsewhere):
    token = seal(NUMBER, **PLACE)

    with pytest.raises(DecryptionError):
        unseal(token, **elsewhere)


@pytest.mark.parametrize(
    "token",
    [
        NUMBER,
        "",
        "v1:k1:",
        "v1:k1:AAAA",
        "v1:k1:not base64",
        "v2:k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1:k9:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_what_was_never_sealed_is_not_given_back(token):
    with pytest.raises(DecryptionError) as refusal:
        unseal(token, **PLACE)

    assert str(refusal.value) == "A stored value cannot be decrypted."
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_a_token_of_another_format_is_not_read():
    with pytest.raises(DecryptionError):
        unseal(seal(NUMBER, **PLACE).replace("v1:", "v2:"), **PLACE)


def test_every_changed_character_is_noticed():
    token = seal(NUMBER, **PLACE)
    start = token.rindex(":") + 1

    for at in range(start, len(token.rstrip("=")) - 1):
        changed = "A" if token[at] != "A" else "B"
        with pytest.raises(DecryptionError):
            unseal(token[:at] + changed + token[at + 1 :], **PLACE)


def test_the_key_id_cannot_be_exchanged_even_for_the_same_key(settings):
    token = seal(NUMBER, **PLACE)
    settings.FIELD_ENCRYPTION_KEYS = f"{K1},k3:{K1[3:]}"

    with pytest.raises(DecryptionError):
        unseal(token.replace("v1:k1:", "v1:k3:"), **PLACE)


def test_another_key_under_the_same_id_opens_nothing(settings):
    token = seal(NUMBER, **PLACE)
    settings.FIELD_ENCRYPTION_KEYS = f"k1:{K2[3:]}"

    with pytest.raises(DecryptionError):
        unseal(token, **PLACE)


def test_rotation_reads_with_the_old_key_and_seals_with_the_new(settings):
    old = seal(NUMBER, **PLACE)

    settings.FIELD_ENCRYPTION_KEYS = f"{K2}, {K1}"
    new = seal(unseal(old, **PLACE), **PLACE)

    assert new.startswith("v1:k2:")

    settings.FIELD_ENCRYPTION_KEYS = K2
    assert unseal(new, **PLACE) == NUMBER
    with pytest.raises(DecryptionError):
        unseal(old, **PLACE)


def test_a_blind_index_finds_equals_and_tells_nothing(settings):
    index = blind_index(NUMBER, purpose="bank")

    assert index == blind_index(NUMBER, purpose="bank")
    assert index != blind_index(OTHER_NUMBER, purpose="bank")
    assert index != blind_index(NUMBER, purpose="tax")
    assert len(index) == 64
    settings.BLIND_INDEX_KEY = b"j" * 32
    assert index != blind_index(NUMBER, purpose="bank")


# --- Reading and writing rows ---------------------------------------------------------


def test_a_row_gives_back_what_was_assigned_and_the_table_never_holds_it(row):
    again = Vault.objects.get(pk=row.pk)

    assert again.number == row.number == NUMBER
    assert again.details == {"iban": NUMBER, "bic": ""}
    assert again.other == ""
    assert stored(row).startswith("v1:k1:")
    assert NUMBER not in stored(row) + stored(row, "details")
    assert stored(row, "other") == ""


def test_nothing_is_stored_as_nothing(table):
    row = Vault.objects.create(number=None, details={})

    assert stored(row) is None
    assert stored(row, "details") == ""
    again = Vault.objects.get(number__isnull=True)
    assert again.number is None
    assert again.details == {}


def test_an_unchanged_value_is_written_back_as_it_lies(row):
    before = stored(row)
    again = Vault.objects.get(pk=row.pk)
    again.label = "x"
    again.save()

    assert stored(row) == before


def test_saving_again_with_a_newer_key_rotates(row, settings):
    settings.FIELD_ENCRYPTION_KEYS = f"{K2},{K1}"
    old = Vault.objects.annotate(key=key_id_of("details")).exclude(key=newest_key_id())
    assert old.values("key").annotate(rows=Count("*")).get() == {"key": "k1", "rows": 1}

    again = old.get()
    again.details = again.details
    again.save(update_fields=["details"])

    assert stored(row, "details").startswith("v1:k2:")
    assert stored(row).startswith("v1:k1:")
    assert not old.exists()


def test_a_key_given_after_the_value_is_the_one_it_is_sealed_for(table):
    pk = uuid.uuid4()
    Vault.objects.create(pk=pk, number=NUMBER)

    assert Vault.objects.get(pk=pk).number == NUMBER


def test_rows_made_in_bulk_are_sealed_each_for_itself(table):
    Vault.objects.bulk_create([Vault(number=NUMBER), Vault(number=OTHER_NUMBER)])

    assert {row.number for row in Vault.objects.all()} == {NUMBER, OTHER_NUMBER}
    Vault.objects.bulk_create([Vault(pk=uuid.uuid4(), number=NUMBER)])
    assert all(row.number for row in Vault.objects.all())


def test_a_deferred_value_is_loaded_when_it_is_read(row, django_assert_num_queries):
    again = Vault.objects.defer("number").get(pk=row.pk)
    with django_assert_num_queries(1):
        assert again.number == NUMBER

    assert Vault.objects.only("label").get(pk=row.pk).details["iban"] == NUMBER
    again = Vault.objects.only("label").get(pk=row.pk)
    again.save()
    assert Vault.objects.get(pk=row.pk).number == NUMBER


def test_refreshing_brings_what_another_wrote(row):
    again = Vault.objects.get(pk=row.pk)
    again.number = OTHER_NUMBER
    again.save(update_fields=["number"])

    row.refresh_from_db()

    assert row.number == OTHER_NUMBER
    row.save()
    assert Vault.objects.get(pk=row.pk).number == OTHER_NUMBER


def test_details_are_changed_only_by_assigning_them_anew(row):
    with pytest.raises(TypeError):
        row.details["iban"] = OTHER_NUMBER

    row.details = {**row.details, "iban": OTHER_NUMBER}
    row.save()
    assert Vault.objects.get(pk=row.pk).details["iban"] == OTHER_NUMBER


@pytest.mark.parametrize("wrong", [7, [NUMBER], {"iban": 7}, {7: NUMBER}, b"x"])
def test_what_is_not_text_is_refused_without_showing_it(wrong):
    for field in ("number", "details"):
        with pytest.raises(TypeError) as refusal:
            setattr(Vault(), field, wrong)

        assert NUMBER not in str(refusal.value)


def test_without_a_primary_key_nothing_is_sealed():
    with pytest.raises(ValueError, match="primary key"):
        Vault(id=None, number=NUMBER)


# --- Tampering ----------------------------------------------------------------------


def test_values_exchanged_between_rows_open_nowhere(row):
    other = Vault.objects.create(number=OTHER_NUMBER)
    mine, theirs = stored(row), stored(other)
    store(row, theirs)
    store(other, mine)

    for tampered in Vault.objects.all():
        with pytest.raises(DecryptionError):
            _ = tampered.number
        with pytest.raises(DecryptionError):
            tampered.save()


def test_a_value_moved_to_another_column_does_not_open(row):
    store(row, stored(row), column="other")

    with pytest.raises(DecryptionError):
        _ = Vault.objects.get(pk=row.pk).other


def test_plain_text_is_refused_by_the_database_and_by_the_reader(row):
    for column in ("number", "other", "details"):
        with pytest.raises(IntegrityError), transaction.atomic():
            store(row, NUMBER, column=column)

    with connection.schema_editor() as editor:
        editor.remove_constraint(Vault, Vault._meta.constraints[0])
    store(row, NUMBER)
    with pytest.raises(DecryptionError) as refusal:
        _ = Vault.objects.get(pk=row.pk).number
    assert NUMBER not in "".join(traceback.format_exception(refusal.value))


def test_a_loaded_row_saved_under_another_key_is_refused(row):
    copied = Vault.objects.get(pk=row.pk)
    copied.pk = uuid.uuid4()
    copied._state.adding = True

    with pytest.raises(DecryptionError), transaction.atomic():
        copied.save()
    assert Vault.objects.count() == 1


def test_a_value_of_another_row_is_not_written(row):
    held = Vault.objects.values_list("number", flat=True).get()
    other = Vault(number=OTHER_NUMBER)
    other.number = held

    with pytest.raises(DecryptionError):
        other.save()


# --- Around the attribute ---------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"number": NUMBER},
        {"details": {"iban": NUMBER}},
        {"number": Value(NUMBER)},
        {"number": F("label")},
        {"number": Concat(F("label"), Value(NUMBER))},
    ],
)
def test_update_cannot_write_a_sealed_column(row, change):
    before = stored(row)

    with pytest.raises(TypeError) as refusal, transaction.atomic():
        Vault.objects.update(**change)

    assert NUMBER not in str(refusal.value)
    assert stored(row) == before


def test_bulk_update_cannot_write_a_sealed_column(row):
    row.number = OTHER_NUMBER

    with pytest.raises(TypeError):
        Vault.objects.bulk_update([row], ["number"])


def test_an_insert_with_an_expression_is_refused(table):
    with pytest.raises(TypeError):
        Vault.objects.create(number=Value(NUMBER))


@pytest.mark.parametrize(
    "wanted",
    [
        {"number": NUMBER},
        {"number": None},
        {"number__in": [NUMBER]},
        {"number__contains": "SE"},
        {"number__startswith": "v1:"},
        {"number__regex": "."},
        {"number__gt": "a"},
        {"details__iban": NUMBER},
        {"number": F("other")},
    ],
)
def test_a_sealed_column_cannot_be_searched(row, wanted):
    with pytest.raises(FieldError):
        Vault.objects.filter(**wanted).exists()
    with pytest.raises(FieldError):
        Vault.objects.exclude(**wanted).exists()


def test_a_sealed_column_cannot_be_searched_through_a_transform(row):
    with register_lookup(models.TextField, Length), pytest.raises(FieldError):
        Vault.objects.filter(number__length=24).exists()


def test_queries_around_the_instance_show_no_text(row):
    for found in (
        Vault.objects.values().get(),
        Vault.objects.values_list("number", "details").get(),
        Vault.objects.annotate(x=F("number")).values("x").get(),
        Vault.objects.aggregate(models.Max("number")),
        vars(Vault.objects.annotate(x=F("number")).get()),
        vars(Vault.objects.raw("select * from vault_vault")[0]),
    ):
        assert NUMBER not in repr(found)
        assert "•••" in repr(found)


def test_an_instance_shows_no_text(row, caplog):
    fresh = Vault(number=NUMBER, details={"iban": NUMBER})
    row.refresh_from_db()
    _ = row.number, row.details
    for instance in (fresh, row, Vault.objects.get(pk=row.pk)):
        logging.getLogger("portal").warning("%r %s", instance, vars(instance))
        for shown in (
            repr(instance),
            str(vars(instance)),
            repr(copy.deepcopy(vars(instance))),
            repr(model_to_dict(instance)),
            repr(pickle.dumps(instance)),
            *(
                serializers.serialize(kind, [instance])
                for kind in ("json", "jsonl", "xml", "python")
            ),
        ):
            assert NUMBER not in str(shown)
    assert NUMBER not in caplog.text


def test_two_ciphertexts_of_one_text_are_not_equal(row):
    held = Vault.objects.values_list("number", flat=True).get()
    again = Vault.objects.values_list("number", flat=True).get()

    assert held != again
    assert held != NUMBER
    assert pickle.loads(pickle.dumps(held)).token == held.token
    assert f"{held} {held!r} {held!s}" == "••• ••• •••"


def test_a_dump_holds_tokens_and_cannot_be_loaded_as_text(row):
    dumped = serializers.serialize("python", [row])[0]["fields"]
    assert dumped["number"] == stored(row)

    raw = Vault(number=NUMBER)
    with pytest.raises(TypeError):
        models.Model.save_base(raw, raw=True)


def test_no_form_offers_a_sealed_field(row):
    field = Vault._meta.get_field("number")
    assert field.formfield() is None
    assert str(field.value_from_object(row)) == "•••"
    assert list(modelform_factory(Vault, exclude=["id"])().fields) == ["label"]
    with pytest.raises(FieldError):
        modelform_factory(Vault, fields=["number"])


def test_full_clean_leaves_the_stored_value_alone(row):
    again = Vault.objects.get(pk=row.pk)
    before = again.__dict__["number"]

    again.full_clean()

    assert again.__dict__["number"] is before


def test_the_fields_and_the_constraint_can_stand_in_a_migration():
    for name in ("number", "details"):
        _, path, _, options = Vault._meta.get_field(name).deconstruct()
        assert path.startswith("accounts.encryption.Encrypted")
        assert "editable" not in options
        assert not Vault._meta.get_field(name).clone().editable
    written, imports = MigrationWriter.serialize(sealed_check("number", name="x"))
    assert "accounts.encryption.SealedConstraint" in written
    scope = {}
    exec("\n".join(sorted(imports)), scope)
    assert eval(written, scope) == sealed_check("number", name="x")


def test_a_model_that_cannot_keep_the_promise_is_reported():
    class Numbered(models.Model):
        number = EncryptedTextField(unique=True)

        class Meta:
            apps = Apps()
            app_label = "vault"

    assert [error.id for error in Numbered.check()] == [
        "accounts.E011",
        "accounts.E012",
    ]
    assert Vault.check() == []
    assert isinstance(Vault(number="x").__dict__["number"], Ciphertext)
