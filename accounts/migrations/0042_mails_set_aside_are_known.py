"""Of each mail the database says whether it is set aside, and leaves it room to change.

What a worker looks for is found without its status, which changes twice while it leaves:
no index is written then, where the new row fits on the page of the old one. Versions that
know nothing of it write status alone, and have it said.
"""

from django.db import migrations, models

SAID = """
CREATE FUNCTION accounts_say_whether_set_aside() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_set_aside := NEW.status IN ('held', 'failed', 'canceled');
    RETURN NEW;
END;
$$;
CREATE TRIGGER accounts_outgoingemail_says_whether_set_aside
    BEFORE INSERT OR UPDATE OF status ON accounts_outgoingemail
    FOR EACH ROW
    WHEN (NEW.is_set_aside <> (NEW.status IN ('held', 'failed', 'canceled')))
    EXECUTE FUNCTION accounts_say_whether_set_aside();
ALTER TABLE accounts_outgoingemail SET (fillfactor = 50);
"""
UNSAID = """
ALTER TABLE accounts_outgoingemail RESET (fillfactor);
DROP TRIGGER accounts_outgoingemail_says_whether_set_aside ON accounts_outgoingemail;
DROP FUNCTION accounts_say_whether_set_aside();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0041_audit_of_a_calendars_name")]

    operations = [
        migrations.AddField(
            model_name="outgoingemail",
            name="is_set_aside",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.RunSQL(SAID, UNSAID),
    ]
