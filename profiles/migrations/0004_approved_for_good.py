"""Once a bank account was approved, another account is a change: two operators."""

import importlib

from django.db import migrations, models
from django.db.models import Q

whole = importlib.import_module("profiles.migrations.0003_sent_versions_stay_whole")

WITH_APPROVAL = whole.WHOLE.replace(
    "'seconded_by_id', ", "'seconded_by_id', 'approved_at', "
)

BACKFILL = """
UPDATE profiles_bankprofileversion SET approved_at = decided_at
WHERE status = 'approved';
"""

TWO_OPERATORS = """
CREATE FUNCTION profiles_refuse_lone_change() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    before text;
BEGIN
    SELECT blind_index INTO before FROM profiles_bankprofileversion
    WHERE profile_id = NEW.profile_id AND id <> NEW.id AND approved_at IS NOT NULL
    ORDER BY number DESC LIMIT 1;
    IF before IS DISTINCT FROM NEW.blind_index AND before IS NOT NULL
        AND NEW.seconded_by_id IS NULL
    THEN
        RAISE EXCEPTION 'a change of a bank account needs two operators'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER profiles_bankprofileversion_two_operators
    BEFORE UPDATE OF status ON profiles_bankprofileversion
    FOR EACH ROW WHEN (NEW.status = 'approved' AND OLD.status <> 'approved')
    EXECUTE FUNCTION profiles_refuse_lone_change();
"""
DROP_TWO_OPERATORS = """
DROP TRIGGER profiles_bankprofileversion_two_operators ON profiles_bankprofileversion;
DROP FUNCTION profiles_refuse_lone_change();
"""


class Migration(migrations.Migration):
    dependencies = [("profiles", "0003_sent_versions_stay_whole")]

    operations = [
        migrations.AddField(
            model_name="bankprofileversion",
            name="approved_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="approved at"
            ),
        ),
        migrations.RunSQL(WITH_APPROVAL, whole.WHOLE),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        # What was changed is settled before the table is altered.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE;", migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=~Q(status="approved") | Q(approved_at__isnull=False),
                name="profiles_bankprofileversion_approved_has_its_moment",
            ),
        ),
        migrations.RunSQL(TWO_OPERATORS, DROP_TWO_OPERATORS),
    ]
