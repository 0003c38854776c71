"""A digest stays by a function of its own: plans and ranges are no written-once tables.

What refuses every change of a table also tells which tables a database role only adds
to (grant_role), and a plan goes on from step to step.
"""

from django.db import migrations

REPLACE = """
CREATE FUNCTION enrollment_refuse_other_digest() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what the digest of a year end stands for stays'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
DROP TRIGGER enrollment_renewalrange_stays ON enrollment_renewalrange;
DROP TRIGGER enrollment_renewalplan_digest_stays ON enrollment_renewalplan;
{triggers}
"""
TRIGGERS = """
CREATE TRIGGER enrollment_renewalplan_digest_stays
    BEFORE UPDATE ON enrollment_renewalplan
    FOR EACH ROW
    WHEN (
        OLD.digest <> ''
        AND (NEW.digest, NEW.into_id, NEW.known_on)
            IS DISTINCT FROM (OLD.digest, OLD.into_id, OLD.known_on)
    )
    EXECUTE FUNCTION {function}();
CREATE TRIGGER enrollment_renewalrange_stays
    BEFORE UPDATE ON enrollment_renewalrange
    FOR EACH ROW
    WHEN (
        OLD.rehearsed_at IS NOT NULL
        AND (NEW.plan_id, NEW.number, NEW.first_company, NEW.last_company, NEW.digest)
            IS DISTINCT FROM (
                OLD.plan_id, OLD.number, OLD.first_company, OLD.last_company, OLD.digest
            )
    )
    EXECUTE FUNCTION {function}();
"""
PUT_BACK = """
DROP TRIGGER enrollment_renewalrange_stays ON enrollment_renewalrange;
DROP TRIGGER enrollment_renewalplan_digest_stays ON enrollment_renewalplan;
DROP FUNCTION enrollment_refuse_other_digest();
{triggers}
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0026_what_a_digest_stands_for_stays")]

    operations = [
        migrations.RunSQL(
            REPLACE.format(
                triggers=TRIGGERS.format(function="enrollment_refuse_other_digest")
            ),
            PUT_BACK.format(triggers=TRIGGERS.format(function="portal_refuse_change")),
        )
    ]
