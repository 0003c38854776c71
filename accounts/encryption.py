"""Columns that keep numbers and secrets unreadable; nothing here knows what they mean.

A value is sealed with AES-256-GCM and bound to its key, table, row and column: copied
anywhere else it cannot be opened. The model's attribute gives the plain value, sealed
and opened as it is assigned and read; everything that goes around the attribute
(values(), repr, pickle, dumpdata) meets only a Ciphertext, and everything that would
store or compare plain text (update(), filter(), bulk_update(), loaddata) is refused.
Renaming the table or the column of a sealed value means sealing it again.
"""

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType

from django.core import checks
from django.db import models
from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Cast, Left
from django.db.models.lookups import Regex
from django.db.models.query_utils import DeferredAttribute

from accounts.sealing import seal, unseal

SEALED = r"^(v1:[A-Za-z0-9]+:[A-Za-z0-9_-]{38,}={0,2})?$"


# --- The value as it lies in an instance ------------------------------------------


class Ciphertext:
    """A sealed value that shows nothing: no text, no equality, no length."""

    __slots__ = ("pk", "token")

    def __init__(self, token: str, pk: object = None):
        self.token = token
        # The row it was sealed for in this process; None when it was loaded.
        self.pk = pk

    def __repr__(self) -> str:
        return "•••"

    def __str__(self) -> str:
        return "•••"

    def __reduce__(self):
        return Ciphertext, (self.token, self.pk)


class SealedAttribute(DeferredAttribute):
    """Opens the value when it is read and seals it when it is assigned.

    The instance itself only ever holds a Ciphertext, "" or None.
    """

    def __get__(self, instance, cls=None):
        if instance is None:
            return self
        held = self.field.held_by(instance)
        if not isinstance(held, Ciphertext):
            return self.field.from_text("") if held == "" else held
        return self.field.from_text(self.field.open(held, instance))

    def __set__(self, instance, value):
        if not isinstance(value, Ciphertext) and value is not None:
            text = self.field.to_text(value)
            value = self.field.sealed(text, instance) if text else ""
        instance.__dict__[self.field.attname] = value


# --- The fields --------------------------------------------------------------------


class EncryptedTextField(models.TextField):
    """A text sealed for its own row; the model needs a UUID key with a default."""

    descriptor_class = SealedAttribute

    def __init__(self, *args, **options):
        super().__init__(*args, **options | {"editable": False})

    def deconstruct(self):
        name, path, args, options = super().deconstruct()
        del options["editable"]
        return name, path, args, options

    def check(self, **options):
        return [*super().check(**options), *self._check_place()]

    def _check_place(self):
        key = self.model._meta.pk
        fields = self.model._meta.concrete_fields
        if not key.has_default() or fields.index(key) > fields.index(self):
            yield checks.Error(
                "A sealed field needs a primary key with a default, declared before it.",
                obj=self,
                id="accounts.E011",
            )
        if self.unique or self.db_index or self.choices or self.has_db_default():
            yield checks.Error(
                "A sealed field cannot be unique, indexed, or have choices or a "
                "database default.",
                hint="Keep a blind index beside it.",
                obj=self,
                id="accounts.E012",
            )

    # What the attribute needs.

    def to_text(self, value) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{self.name} takes text, not {type(value).__name__}.")
        return value

    def from_text(self, text: str):
        return text

    def held_by(self, instance):
        """Return what the instance holds, loading it when it was deferred."""
        if self.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.attname])
        return instance.__dict__[self.attname]

    def sealed(self, text: str, instance) -> Ciphertext:
        pk = self._row_of(instance)
        return Ciphertext(seal(text, **self._place_of(pk)), pk)

    def open(self, held: Ciphertext, instance) -> str:
        pk = self._row_of(instance) if held.pk is None else held.pk
        return unseal(held.token, **self._place_of(pk))

    def _row_of(self, instance):
        key = self.model._meta.pk
        pk = key.to_python(instance.__dict__.get(key.attname))
        if pk is None:
            raise ValueError(f"Set the primary key before {self.name}.")
        return pk

    def _place_of(self, pk) -> dict[str, object]:
        return {"table": self.model._meta.db_table, "pk": pk, "column": self.column}

    # Between the instance and the database.

    def from_db_value(self, value, expression, connection):
        return Ciphertext(value) if value else value

    def pre_save(self, model_instance, add):
        """Give the held value; one that this row could not open is never written."""
        held = self.held_by(model_instance)
        if not isinstance(held, Ciphertext):
            return held
        text = self.open(held, model_instance)
        if held.pk not in (None, self._row_of(model_instance)):
            held = self.sealed(text, model_instance)
            model_instance.__dict__[self.attname] = held
        return held

    def get_prep_value(self, value):
        if isinstance(value, Ciphertext):
            return value.token
        if value is None or value == "":
            return value
        raise TypeError(f"{self.name} is sealed: assign it to an instance and save it.")

    def get_db_prep_save(self, value, connection):
        if hasattr(value, "as_sql"):
            raise TypeError(f"{self.name} is sealed: no expression can write it.")
        return super().get_db_prep_save(value, connection)

    def get_lookup(self, lookup_name):
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def get_transform(self, lookup_name):
        return None

    # Around the instance: forms, serializers, full_clean().

    def formfield(self, **options):
        return None

    def value_from_object(self, obj):
        return self.held_by(obj)

    def value_to_string(self, obj):
        held = self.held_by(obj)
        return held.token if isinstance(held, Ciphertext) else held

    def clean(self, value, model_instance):
        self.validate(value, model_instance)
        self.run_validators(value)
        return self.held_by(model_instance)


class EncryptedJSONField(EncryptedTextField):
    """Texts by key, sealed as one; read-only when read: assign a whole new dict."""

    def to_text(self, value) -> str:
        if not value and isinstance(value, str | Mapping):
            return ""
        if not isinstance(value, Mapping):
            raise TypeError(f"{self.name} takes a dict, not {type(value).__name__}.")
        if not all(isinstance(part, str) for pair in value.items() for part in pair):
            raise TypeError(f"{self.name} takes texts by text keys only.")
        return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)

    def from_text(self, text: str):
        return MappingProxyType(json.loads(text) if text else {})


class EncryptedBytesField(EncryptedTextField):
    """A small file sealed for its own row; what is read are its bytes."""

    def to_text(self, value) -> str:
        if not value and isinstance(value, str):
            return ""
        if not isinstance(value, bytes):
            raise TypeError(f"{self.name} takes bytes, not {type(value).__name__}.")
        return base64.b64encode(value).decode()

    def from_text(self, text: str) -> bytes:
        return base64.b64decode(text)


# --- What the database is told ------------------------------------------------------


class SealedConstraint(models.CheckConstraint):
    """The database refuses text that is not sealed; instances cannot hold any."""

    def validate(self, model, instance, exclude=None, using=None):
        pass


def sealed_check(column: str, *, name: str = "") -> SealedConstraint:
    """Refuse plain text in a column."""
    return SealedConstraint(
        condition=Q(Regex(Cast(column, TextField()), SEALED)),
        name=name or f"%(app_label)s_%(class)s_{column}_is_sealed",
    )


def sealed_start_check(column: str, *, name: str) -> SealedConstraint:
    """Refuse plain content in a column of files; only the beginning is looked at."""
    beginning = Left(Cast(column, TextField()), 80)
    return SealedConstraint(condition=Q(Regex(beginning, SEALED)), name=name)


def key_id_of(column: str) -> Func:
    """Annotate rows with the key that sealed a column: for rotation and its health.

    Only the beginning is looked at: a column may hold files.
    """
    return Func(
        Left(Cast(F(column), TextField()), 200),
        Value(":"),
        Value(2),
        function="SPLIT_PART",
        output_field=TextField(),
    )
