"""An enrollment says whose it is: its location's company, held by one key with it.

Who writes one without saying so, as the version before does, has it said by the database.
"""

import django.db.models.deletion
from django.db import migrations, models

# A million enrollments take longer than a page's statement may.
SAID = """
SET LOCAL statement_timeout = 0;
UPDATE enrollment_enrollment e
SET partner_account_id = l.partner_account_id
FROM accounts_location l
WHERE l.id = e.location_id;
CREATE FUNCTION enrollment_say_whose() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    SELECT partner_account_id INTO NEW.partner_account_id
    FROM accounts_location
    WHERE id = NEW.location_id;
    RETURN NEW;
END;
$$;
CREATE TRIGGER enrollment_enrollment_says_whose
    BEFORE INSERT OR UPDATE ON enrollment_enrollment
    FOR EACH ROW WHEN (NEW.partner_account_id IS NULL)
    EXECUTE FUNCTION enrollment_say_whose();
ALTER TABLE enrollment_enrollment
    ADD CONSTRAINT enrollment_enrollment_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
UNSAID = """
ALTER TABLE enrollment_enrollment
    DROP CONSTRAINT enrollment_enrollment_location_of_company;
DROP TRIGGER enrollment_enrollment_says_whose ON enrollment_enrollment;
DROP FUNCTION enrollment_say_whose();
"""


def company(**options) -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        editable=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="enrollments",
        to="accounts.partneraccount",
        verbose_name="company",
        **options,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0036_audit_of_more_time"),
        ("enrollment", "0036_history_is_held_from_its_enrollment"),
    ]

    operations = [
        migrations.AddField(
            model_name="enrollment",
            name="partner_account",
            field=company(null=True),
        ),
        migrations.RunSQL(SAID, UNSAID),
        migrations.AlterField(
            model_name="enrollment",
            name="partner_account",
            field=company(),
        ),
        migrations.AlterField(
            model_name="enrollment",
            name="location",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="enrollments",
                to="accounts.location",
                verbose_name="location",
            ),
        ),
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(
                fields=["partner_account", "status", "status_since", "id"],
                name="enrollment_of_company",
            ),
        ),
    ]
