"""Migrations from nothing in a seventh of the time, for databases that are made often.

A database made so is the one that `migrate` makes (accounts/tests/test_migrating.py).
"""

from django.db.migrations.operations import AlterField
from django.db.migrations.state import ProjectState


def draw_up_what_changes_only() -> None:
    """Let migrations of this process draw up models anew where they need it only."""
    _draw_up_one_model_at_a_time()
    _spare_what_constraints_leave_as_it_is()


def _draw_up_one_model_at_a_time() -> None:
    """Draw up the model that is changed, and none of those that refer to it.

    What is said to the database about a table needs its own model. Django draws up all
    of them for a step of Python, as it is told that some wait; so it does here where a
    field changes that others may refer to.
    """
    alter = AlterField.database_forwards

    def draw_up(state, app_label, model_name, delay=False):
        if "apps" in vars(state):
            state.is_delayed = True
            state._reload({(app_label, model_name)})

    def altered(operation, app_label, editor, before, after):
        model, name = (app_label, operation.model_name_lower), operation.name
        if any(one.models[model].get_field(name).unique for one in (before, after)):
            before.clear_delayed_apps_cache()
            after.clear_delayed_apps_cache()
        alter(operation, app_label, editor, before, after)

    ProjectState.reload_model = draw_up
    AlterField.database_forwards = altered


def _spare_what_constraints_leave_as_it_is() -> None:
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
