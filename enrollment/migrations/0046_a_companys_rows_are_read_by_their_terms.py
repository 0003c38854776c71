"""What stands at a company's locations is read by company and terms, not for each one.

The Overview counts all of a program's locations: of thousands each was looked up.
"""

from importlib import import_module

from django.db import migrations, models

BEFORE = import_module(
    "enrollment.migrations.0033_overview_rows_stand_alone"
).AFTER.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
# An enrollment's company is its location's: one key holds both.
AFTER = BEFORE.replace(
    "LEFT JOIN enrollment_enrollment e ON e.location_id = l.id AND e.terms_id = t.id",
    """LEFT JOIN enrollment_enrollment e
    ON e.location_id = l.id
    AND e.terms_id = t.id
    AND e.partner_account_id = l.partner_account_id""",
)


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0045_effects_are_not_held_against_their_import")]

    operations = [
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(
                fields=["partner_account", "terms", "location"],
                include=["id", "status"],
                name="enrollment_of_company_by_terms",
            ),
        ),
        migrations.RunSQL(AFTER, BEFORE),
    ]
