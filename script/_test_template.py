"""Makes the database that the workers' databases are copies of, while they collect.

Migrating takes longer than copying, and each worker needs a database. The name is in
TEST_DB_TEMPLATE; it is there once it is whole.
"""

import os

import django
from django.db import connection

from _migrating import draw_up_what_changes_only


def main() -> None:
    django.setup()
    draw_up_what_changes_only()
    name = os.environ["TEST_DB_TEMPLATE"]
    test = connection.settings_dict["TEST"]
    test["NAME"], test["TEMPLATE"] = f"{name}_unfinished", None
    whole = False
    try:
        connection.creation.create_test_db(
            verbosity=0, autoclobber=True, serialize=False
        )
        whole = True
    finally:
        connection.close()
        with connection._nodb_cursor() as cursor:
            # Whoever waits for it sees that nothing more is coming.
            cursor.execute(
                f"ALTER DATABASE {name}_unfinished RENAME TO {name}"
                if whole
                else f"DROP DATABASE IF EXISTS {name}_unfinished"
            )


if __name__ == "__main__":
    main()
