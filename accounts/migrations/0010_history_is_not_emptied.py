"""History cannot be emptied at once either: TRUNCATE is refused like DELETE."""

from django.db import migrations

# Tests empty every table; they say so in their transaction (conftest.py). It guards
# against slips: whoever owns the tables can take the trigger away as well.
NOT_EMPTIED = """
CREATE FUNCTION portal_refuse_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('portal.allow_truncate', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'history in % is not emptied', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_auditevent_not_emptied
    BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
CREATE TRIGGER accounts_auditchain_not_emptied
    BEFORE TRUNCATE ON accounts_auditchain
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
"""
DROP_NOT_EMPTIED = """
DROP TRIGGER accounts_auditchain_not_emptied ON accounts_auditchain;
DROP TRIGGER accounts_auditevent_not_emptied ON accounts_auditevent;
DROP FUNCTION portal_refuse_truncate();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_provisioning")]

    operations = [migrations.RunSQL(NOT_EMPTIED, DROP_NOT_EMPTIED)]
