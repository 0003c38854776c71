"""Which key sealed what: every column that holds sealed values, counted by key."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import connection
from django.db.models import Count, Expression, F, Model, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from accounts.encryption import EncryptedBytesField, EncryptedTextField, key_id_of
from accounts.sealing import known_key_ids, newest_key_id, seal, unseal

# What allauth seals in a second factor: an app's secret, the seed of recovery codes.
FACTOR_SECRETS = ("secret", "seed")

VALUES_AT_ONCE = 10_000
FILES_AT_ONCE = 4
# One statement for many rows; a row that changed since it was read is left alone.
RESEAL = """
UPDATE {table} AS sealed SET {column} = anew.token
FROM unnest(%s::text[], %s::text[], %s::text[]) AS anew(pk, was, token)
WHERE sealed.{pk}::text = anew.pk AND sealed.{pk} = ANY(%s::{type}[])
  AND sealed.{column} = anew.was
"""


@dataclass(frozen=True)
class SealedValue:
    """A sealed text where it lies: the row's key, and the place it is sealed for."""

    pk: Any
    place_pk: Any
    token: str


@dataclass(frozen=True)
class SealedColumn:
    """A column whose values are sealed; its name is "table.column"."""

    model: type[Model]
    column: str

    @property
    def name(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def rows(self) -> QuerySet:
        """All rows with a value, annotated with it and the key that sealed it."""
        rows = self.model._base_manager.annotate(sealed=self._token)
        rows = rows.annotate(sealing_key=key_id_of("sealed"))
        return rows.exclude(sealing_key=None).exclude(sealing_key="")

    def values_by_key(self) -> Counter[str]:
        counted = (
            self.rows()
            .order_by()
            .values_list("sealing_key")
            .annotate(values_count=Count("pk"))
        )
        return Counter(dict(counted))

    def is_sealed_by_other_than(self, keys: list[str]) -> bool:
        return self.rows().exclude(sealing_key__in=keys).exists()

    def lock_stale(self, *, after: Any, most: int) -> list[SealedValue]:
        """Lock the next values that another key than the newest sealed.

        Rows that somebody else is changing are left for the next round.
        """
        stale = self.rows().exclude(sealing_key=newest_key_id())
        if after is not None:
            stale = stale.filter(pk__gt=after)
        locked = stale.select_for_update(skip_locked=True, of=("self",))
        found = locked.order_by("pk").values_list("pk", self._owner, "sealed")
        return [SealedValue(*row) for row in found[: min(most, self.most_at_once)]]

    def opened(self, value: SealedValue) -> str:
        """Open a value; DecryptionError where no key does."""
        return unseal(value.token, **self._place_of(value))

    @property
    def most_at_once(self) -> int:
        """How many values are held in memory together: of files, few."""
        field = self.model._meta.get_field(self.column)
        return (
            FILES_AT_ONCE if isinstance(field, EncryptedBytesField) else VALUES_AT_ONCE
        )

    def sealed_anew(self, value: SealedValue) -> str:
        """Seal a value with the newest key; DecryptionError where no key opens it."""
        return seal(self.opened(value), **self._place_of(value))

    def write(self, anew: list[tuple[SealedValue, str]]) -> int:
        """Put the new tokens in the place of the old ones; return how many."""
        quoted = connection.ops.quote_name
        key = self.model._meta.pk
        statement = RESEAL.format(
            table=quoted(self.model._meta.db_table),
            column=quoted(self.column),
            pk=quoted(key.column),
            type=key.db_type(connection).split()[0],
        )
        keys = [str(value.pk) for value, _token in anew]
        tokens = [value.token for value, _token in anew]
        with connection.cursor() as cursor:
            cursor.execute(
                statement, [keys, tokens, [token for _value, token in anew], keys]
            )
            return cursor.rowcount

    def _place_of(self, value: SealedValue) -> dict[str, Any]:
        table = self.model._meta.db_table
        return {"table": table, "pk": value.place_pk, "column": self.column}

    @property
    def _token(self) -> Expression:
        return Cast(F(self.column), TextField())

    @property
    def _owner(self) -> str:
        """The field with the key that a value is sealed for."""
        return "pk"


class FactorColumn(SealedColumn):
    """The secrets in allauth's second factors, sealed for the person they belong to."""

    @property
    def _token(self) -> Expression:
        return Coalesce(
            *(KeyTextTransform(name, self.column) for name in FACTOR_SECRETS)
        )

    @property
    def _owner(self) -> str:
        return "user_id"

    def write(self, anew: list[tuple[SealedValue, str]]) -> int:
        written = 0
        for value, token in anew:
            factor = Authenticator.objects.get(pk=value.pk)
            data = {
                name: token if text == value.token else text
                for name, text in factor.data.items()
            }
            here = Authenticator.objects.filter(pk=value.pk, data=factor.data)
            written += here.update(data=data)
        return written


def sealed_columns() -> Iterator[SealedColumn]:
    """Every column of the portal that keeps sealed values."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_concrete_fields:
            if isinstance(field, EncryptedTextField):
                yield SealedColumn(model, field.column)
    yield FactorColumn(Authenticator, "data")


def columns_of_lost_keys(tables: Collection[str]) -> list[str]:
    """Columns of these tables with values that no key of the settings opens."""
    keys = known_key_ids()
    return [
        column.name
        for column in sealed_columns()
        if column.model._meta.db_table in tables
        and column.is_sealed_by_other_than(keys)
    ]
