"""A version of a tax profile says whose it is: its location's company.

Whether another company has the same number is found without looking through all of a
company's own. The database says it, of whatever is sent; the version before says nothing.
"""

import django.db.models.deletion
from django.db import migrations, models

SAID = """
ALTER TABLE profiles_taxprofileversion
    DISABLE TRIGGER profiles_taxprofileversion_sent_stays;
UPDATE profiles_taxprofileversion v
SET partner_account_id = l.partner_account_id
FROM profiles_taxprofile p
JOIN accounts_location l ON l.id = p.location_id
WHERE p.id = v.profile_id;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE profiles_taxprofileversion
    ENABLE TRIGGER profiles_taxprofileversion_sent_stays;
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
    BEFORE INSERT ON profiles_taxprofileversion
    FOR EACH ROW EXECUTE FUNCTION profiles_say_whose_tax();
"""
UNSAID = """
DROP TRIGGER profiles_taxprofileversion_says_whose ON profiles_taxprofileversion;
DROP FUNCTION profiles_say_whose_tax();
"""


def company(**options) -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        editable=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="accounts.partneraccount",
        verbose_name="company",
        **options,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0041_audit_of_a_calendars_name"),
        ("profiles", "0019_tax_forms_are_found_by_their_last_day"),
    ]

    operations = [
        migrations.AddField(
            model_name="taxprofileversion",
            name="partner_account",
            field=company(null=True),
        ),
        migrations.RunSQL(SAID, UNSAID),
        migrations.AlterField(
            model_name="taxprofileversion", name="partner_account", field=company()
        ),
        migrations.RemoveIndex(
            model_name="taxprofileversion", name="profiles_tax_blind_index"
        ),
        migrations.AddIndex(
            model_name="taxprofileversion",
            index=models.Index(
                fields=["blind_index", "partner_account"],
                name="profiles_tax_blind_index",
            ),
        ),
    ]
