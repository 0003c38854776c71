"""The steps of enrollments cannot be emptied at once either."""

from django.db import migrations

NOT_EMPTIED = """
CREATE TRIGGER enrollment_enrollmentevent_not_emptied
    BEFORE TRUNCATE ON enrollment_enrollmentevent
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
"""
DROP_NOT_EMPTIED = """
DROP TRIGGER enrollment_enrollmentevent_not_emptied ON enrollment_enrollmentevent;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0007_accepted_currencies_in_one_place"),
        ("accounts", "0010_history_is_not_emptied"),
    ]

    operations = [migrations.RunSQL(NOT_EMPTIED, DROP_NOT_EMPTIED)]
