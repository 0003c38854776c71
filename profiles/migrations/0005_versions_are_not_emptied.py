"""What was sent cannot be emptied at once either."""

from django.db import migrations

NOT_EMPTIED = """
CREATE TRIGGER profiles_bankprofileversion_not_emptied
    BEFORE TRUNCATE ON profiles_bankprofileversion
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
CREATE TRIGGER profiles_taxprofileversion_not_emptied
    BEFORE TRUNCATE ON profiles_taxprofileversion
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
"""
DROP_NOT_EMPTIED = """
DROP TRIGGER profiles_bankprofileversion_not_emptied ON profiles_bankprofileversion;
DROP TRIGGER profiles_taxprofileversion_not_emptied ON profiles_taxprofileversion;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0004_approved_for_good"),
        ("accounts", "0010_history_is_not_emptied"),
    ]

    operations = [migrations.RunSQL(NOT_EMPTIED, DROP_NOT_EMPTIED)]
