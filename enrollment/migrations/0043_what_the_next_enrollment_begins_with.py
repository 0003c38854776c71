"""What the next enrollment at a location would begin with, and lack, is a view.

Put together in each question, it named everything three times over.
"""

from django.db import migrations, models
from django.db.models import DO_NOTHING

CURRENT = "('pending', 'cooling', 'stopped', 'action_required', 'approved')"
CREATE = f"""
CREATE VIEW enrollment_nextstanding AS
SELECT l.id AS location_id,
       d.bank_profile_id AS bank,
       t.id AS tax,
       CASE WHEN d.bank_profile_id IS NULL THEN 'bank_missing'
            WHEN b.status = 'action_required' THEN 'bank_returned'
            ELSE ''
       END AS bank_gap,
       CASE WHEN t.id IS NULL THEN 'tax_missing'
            WHEN v.status = 'action_required' THEN 'tax_returned'
            ELSE ''
       END AS lasting_tax_gap,
       v.expires_on AS tax_expires_on,
       CASE WHEN b.is_refused THEN 'currency_refused' ELSE '' END AS currency_gap
FROM accounts_location l
LEFT JOIN profiles_defaultbankprofile d ON d.location_id = l.id
LEFT JOIN LATERAL (
    SELECT (array_agg(bank.status ORDER BY bank.number DESC))[1] AS status,
           bool_or(bank.takes_only_local AND bank.local_currency <> d.currency)
               AS is_refused
    FROM profiles_bankprofileversion bank
    WHERE bank.profile_id = d.bank_profile_id AND bank.status IN {CURRENT}
) b ON true
LEFT JOIN LATERAL (
    SELECT tax.id
    FROM profiles_taxprofile tax
    WHERE tax.location_id = l.id AND tax.archived_at IS NULL
    ORDER BY tax.created_at DESC, tax.id
    LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT tax.status, tax.expires_on
    FROM profiles_taxprofileversion tax
    WHERE tax.profile_id = t.id AND tax.status IN {CURRENT}
    ORDER BY tax.number DESC
    LIMIT 1
) v ON true;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0042_what_a_company_has_to_do_is_found_by_its_last_day"),
        ("profiles", "0019_tax_forms_are_found_by_their_last_day"),
    ]

    operations = [
        migrations.RunSQL(CREATE, "DROP VIEW enrollment_nextstanding;"),
        migrations.CreateModel(
            name="NextStanding",
            fields=[
                (
                    "location",
                    models.OneToOneField(
                        on_delete=DO_NOTHING,
                        primary_key=True,
                        related_name="next_standing",
                        serialize=False,
                        to="accounts.location",
                    ),
                ),
                ("bank", models.UUIDField(null=True)),
                ("tax", models.UUIDField(null=True)),
                ("bank_gap", models.CharField(max_length=20)),
                ("lasting_tax_gap", models.CharField(max_length=20)),
                ("tax_expires_on", models.DateField(null=True)),
                ("currency_gap", models.CharField(max_length=20)),
            ],
            options={
                "db_table": "enrollment_nextstanding",
                "ordering": ("location",),
                "managed": False,
            },
        ),
    ]
