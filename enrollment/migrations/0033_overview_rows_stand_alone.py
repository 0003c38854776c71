"""A row of the Overview says what it is found, sorted and chosen by.

Nothing has to be joined to it again: of thousands of rows, that is what took the time.
"""

from django.db import migrations, models

BEFORE = """
CREATE VIEW enrollment_programatlocation AS
SELECT t.id || '-' || l.id AS id,
       l.id AS location_id,
       t.program_id,
       t.id AS terms_id,
       t.fiscal_year_id,
       e.id AS enrollment_id
FROM accounts_location l
CROSS JOIN enrollment_programterms t
JOIN accounts_incentiveprogram p ON p.id = t.program_id
LEFT JOIN enrollment_enrollment e ON e.location_id = l.id AND e.terms_id = t.id
WHERE e.id IS NOT NULL
   OR (l.closed_at IS NULL
       AND p.discontinued_at IS NULL
       AND (t.is_open_to_all OR t.is_listed)
       AND (t.countries = '{}' OR l.country = ANY (t.countries)));
"""
DROP = "DROP VIEW enrollment_programatlocation;"
AFTER = BEFORE.replace(
    "       e.id AS enrollment_id\n",
    """       e.id AS enrollment_id,
       l.partner_account_id,
       l.name AS location_name,
       p.name AS program_name,
       t.is_open_to_all,
       e.status AS enrollment_status,
       e.enroll_by,
       e.submitted_at,
       e.asked_at
""",
)


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0032_reminders_are_of_a_last_day"),
    ]

    operations = [
        migrations.RunSQL([DROP, AFTER], [DROP, BEFORE]),
        migrations.AlterModelOptions(
            name="programatlocation",
            options={
                "managed": False,
                "ordering": ("program_name", "location_name", "id"),
            },
        ),
        migrations.RemoveConstraint(
            model_name="enrollment", name="enrollment_enrollment_once"
        ),
        migrations.AddConstraint(
            model_name="enrollment",
            constraint=models.UniqueConstraint(
                fields=("location", "terms"),
                include=("id", "status"),
                name="enrollment_enrollment_once",
            ),
        ),
    ]
