"""Makes the database that the workers' databases are copies of, while they collect.

Migrating takes longer than copying, and each worker needs a database. The name is in
TEST_DB_TEMPLATE; it is there once it is whole.
"""

import os

import django
from django.db import connection
from django.db.migrations.state import ProjectState


def spare_what_constraints_leave_as_it_is() -> None:
    """Let migrations not draw up models anew for each constraint and each index.

    The model has one more or one less, and all that refer to it stay as they are; half
    of all steps are such ones, and drawing up takes most of the time.
    """

    def changing(change):
        def changed(state, app_label, model_name, option, one):
            options = state.models[app_label, model_name].options
            options[option] = change(options[option], one)
            if "apps" in vars(state):
                model = state.apps.get_model(app_label, model_name)
                setattr(model._meta, option, [*options[option]])

        return changed

    ProjectState._append_option = changing(lambda there, added: [*there, added])
    ProjectState._remove_option = changing(
        lambda there, name: [one for one in there if one.name != name]
    )


def main() -> None:
    django.setup()
    spare_what_constraints_leave_as_it_is()
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
