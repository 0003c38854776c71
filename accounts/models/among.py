"""The lookup `among`: a key is one of many, which go to the database as one value.

`in` hands each key over by itself: Django looks at each several times and PostgreSQL
reads as many constants, which counts where some hundred keys are asked for at once.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Field, ForeignObject, Lookup, Value


def many(keys: Iterable[int | UUID | str]) -> Value:
    """Return keys for `among`; numbers, UUIDs or their text, nothing to be quoted."""
    return Value(f"{{{','.join(map(str, keys))}}}")


def texts(values: Iterable[str | None]) -> str:
    """Return texts as PostgreSQL writes an array of them: one value, whatever they say."""
    written = [
        "NULL"
        if text is None
        else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for text in values
    ]
    return f"{{{','.join(written)}}}"


class Among(Lookup):
    """key = ANY(array): of many(), or of an ArraySubquery."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        kind = self.lhs.output_field.db_type(connection)
        return f"{left} = ANY({right}::{kind}[])", (*left_params, *right_params)


Field.register_lookup(Among)
ForeignObject.register_lookup(Among)
