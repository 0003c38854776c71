"""What each payout assignment uses and lacks, asked in one place."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

PAYOUT_STANDING = """
CREATE VIEW enrollment_payoutstanding AS
SELECT a.id AS assignment_id,
       used.bank AS used_bank,
       used.tax AS used_tax,
       used.currency AS used_currency,
       bank.id AS newest_bank_version,
       bank.status AS bank_status,
       bank.country AS bank_country,
       bank.local_currency AS bank_currency,
       bank.takes_only_local AS bank_only_local,
       tax.id AS newest_tax_version,
       tax.status AS tax_status,
       tax.provided AS tax_provided,
       tax.expires_on AS tax_expires_on,
       CASE
           WHEN pays.no_transfer THEN 'method_refused'
           WHEN used.bank IS NULL THEN 'bank_missing'
           WHEN bank.archived_at IS NOT NULL THEN 'bank_archived'
           WHEN bank.status = 'action_required' THEN 'bank_returned'
           WHEN (t.bank_countries <> '{}' AND bank.country <> ALL (t.bank_countries))
               OR bank.country = ANY (t.bank_countries_refused) THEN 'bank_country'
           ELSE ''
       END AS bank_gap,
       CASE
           WHEN pays.no_transfer OR used.bank IS NULL THEN ''
           WHEN used.currency IS NULL THEN 'currency_missing'
           WHEN bank.takes_only_local AND used.currency <> bank.local_currency
               THEN 'currency_refused'
           WHEN used.currency = ANY (t.currencies)
               OR (t.pays_local_currency AND used.currency = bank.local_currency)
               THEN ''
           ELSE 'currency_refused'
       END AS currency_gap,
       CASE
           WHEN used.tax IS NULL THEN 'tax_missing'
           WHEN tax.archived_at IS NOT NULL THEN 'tax_archived'
           WHEN tax.status = 'action_required' THEN 'tax_returned'
           WHEN NOT (tax.provided @> t.required_tax_details) THEN 'tax_incomplete'
           ELSE ''
       END AS lasting_tax_gap
FROM enrollment_payoutassignment a
JOIN enrollment_enrollment e ON e.id = a.enrollment_id
JOIN enrollment_programterms t ON t.id = e.terms_id
CROSS JOIN LATERAL (
    SELECT t.methods <> '{}' AND NOT ('bank_transfer' = ANY (t.methods)) AS no_transfer
) pays
LEFT JOIN profiles_defaultbankprofile d ON d.location_id = a.location_id
CROSS JOIN LATERAL (
    SELECT COALESCE(a.bank_profile_id, d.bank_profile_id) AS bank,
           COALESCE(
               a.tax_profile_id,
               (SELECT p.id FROM profiles_taxprofile p
                WHERE p.location_id = a.location_id AND p.archived_at IS NULL
                ORDER BY p.created_at DESC, p.id LIMIT 1)
           ) AS tax,
           COALESCE(
               NULLIF(a.currency, ''),
               CASE WHEN a.bank_profile_id IS NULL
                         OR a.bank_profile_id = d.bank_profile_id
                    THEN d.currency END
           ) AS currency
) used
LEFT JOIN LATERAL (
    SELECT v.id, v.status, v.country, v.local_currency, v.takes_only_local,
           p.archived_at
    FROM profiles_bankprofileversion v
    JOIN profiles_bankprofile p ON p.id = v.profile_id
    WHERE v.profile_id = used.bank
      AND v.status IN ('pending', 'action_required', 'approved')
    ORDER BY v.number DESC
    LIMIT 1
) bank ON true
LEFT JOIN LATERAL (
    SELECT v.id, v.status, v.provided, v.expires_on, p.archived_at
    FROM profiles_taxprofileversion v
    JOIN profiles_taxprofile p ON p.id = v.profile_id
    WHERE v.profile_id = used.tax
      AND v.status IN ('pending', 'action_required', 'approved')
    ORDER BY v.number DESC
    LIMIT 1
) tax ON true;
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0002_views_and_guarantees")]

    operations = [
        migrations.CreateModel(
            name="PayoutStanding",
            fields=[
                (
                    "assignment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="standing",
                        serialize=False,
                        to="enrollment.payoutassignment",
                    ),
                ),
                ("used_bank", models.UUIDField(null=True)),
                ("used_tax", models.UUIDField(null=True)),
                ("used_currency", models.CharField(max_length=3, null=True)),
                ("newest_bank_version", models.UUIDField(null=True)),
                ("bank_status", models.CharField(max_length=20, null=True)),
                ("bank_country", models.CharField(max_length=2, null=True)),
                ("bank_currency", models.CharField(max_length=3, null=True)),
                ("bank_only_local", models.BooleanField(null=True)),
                ("newest_tax_version", models.UUIDField(null=True)),
                ("tax_status", models.CharField(max_length=20, null=True)),
                (
                    "tax_provided",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), null=True, size=None
                    ),
                ),
                ("tax_expires_on", models.DateField(null=True)),
                ("bank_gap", models.CharField(max_length=20)),
                ("currency_gap", models.CharField(max_length=20)),
                ("lasting_tax_gap", models.CharField(max_length=20)),
            ],
            options={
                "db_table": "enrollment_payoutstanding",
                "ordering": ("assignment",),
                "managed": False,
            },
        ),
        migrations.RunSQL(PAYOUT_STANDING, "DROP VIEW enrollment_payoutstanding;"),
    ]
