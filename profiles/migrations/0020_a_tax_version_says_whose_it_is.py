"""A version of a tax profile says whose it is: its location's company.

Whether another company has the same number is found without looking through all of a
company's own. The database says it, of whatever is sent or written again; the version
before says nothing. What is there already is filled in by a later migration.
"""

import importlib

import django.db.models.deletion
from django.db import migrations, models

reviews = importlib.import_module("profiles.migrations.0012_reviews_before_decisions")

# What was sent stays, and so does whose it is: nobody but the trigger says it.
WITH_COMPANY = reviews.WITH_REVIEWS.replace(
    "'approved_at', ", "'approved_at', 'partner_account_id', "
)
SAID = """
CREATE FUNCTION profiles_say_whose_tax() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    SELECT l.partner_account_id INTO NEW.partner_account_id
    FROM profiles_taxprofile p
    JOIN accounts_location l ON l.id = p.location_id
    WHERE p.id = NEW.profile_id;
    RETURN NEW;
END;
$$;
CREATE TRIGGER profiles_taxprofileversion_says_whose
    BEFORE INSERT OR UPDATE OF profile_id, partner_account_id
    ON profiles_taxprofileversion
    FOR EACH ROW EXECUTE FUNCTION profiles_say_whose_tax();
"""
UNSAID = """
DROP TRIGGER profiles_taxprofileversion_says_whose ON profiles_taxprofileversion;
DROP FUNCTION profiles_say_whose_tax();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0041_audit_of_a_calendars_name"),
        ("profiles", "0019_tax_forms_are_found_by_their_last_day"),
    ]

    operations = [
        migrations.AddField(
            model_name="taxprofileversion",
            name="partner_account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.partneraccount",
                verbose_name="company",
            ),
        ),
        migrations.RunSQL(WITH_COMPANY, reviews.WITH_REVIEWS),
        migrations.RunSQL(SAID, UNSAID),
    ]
