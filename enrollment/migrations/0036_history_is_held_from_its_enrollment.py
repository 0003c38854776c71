"""An enrollment that has a history cannot be deleted; its events do not ask for it.

A year end writes two events for every enrollment that continues, each beside the very
enrollment it tells of.
"""

import django.db.models.deletion
from django.db import migrations, models

HELD = """
CREATE FUNCTION enrollment_refuse_losing_history() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM enrollment_enrollmentevent WHERE enrollment_id = OLD.id) THEN
        RAISE EXCEPTION 'enrollment % has a history', OLD.id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER enrollment_enrollment_keeps_its_history
    BEFORE DELETE ON enrollment_enrollment
    FOR EACH ROW EXECUTE FUNCTION enrollment_refuse_losing_history();
"""
LET_GO = """
DROP TRIGGER enrollment_enrollment_keeps_its_history ON enrollment_enrollment;
DROP FUNCTION enrollment_refuse_losing_history();
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0035_more_time_is_asked_for")]

    operations = [
        migrations.AlterField(
            model_name="enrollmentevent",
            name="enrollment",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="enrollment.enrollment",
                verbose_name="enrollment",
            ),
        ),
        migrations.RunSQL(HELD, LET_GO),
    ]
