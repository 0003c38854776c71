"""What payouts lack under the terms of any year; which terms follow which."""

import importlib

import django.db.models.deletion
from django.db import migrations, models

before = importlib.import_module(
    "enrollment.migrations.0007_accepted_currencies_in_one_place"
)

DROP_STANDING = "DROP VIEW enrollment_payoutstanding;"


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# The same question, asked of the terms of every year of the enrollment's program.
PAYOUT_UNDER_TERMS = _replaced(
    before.AFTER,
    (
        "CREATE VIEW enrollment_payoutstanding AS\nSELECT a.id AS assignment_id,\n",
        """\
CREATE VIEW enrollment_payoutunderterms AS
SELECT a.id AS assignment_id,
       t.id AS terms_id,
       e.terms_id = t.id AS is_own_year,
""",
    ),
    (
        "JOIN enrollment_programterms t ON t.id = e.terms_id\n",
        """\
JOIN enrollment_programterms own ON own.id = e.terms_id
JOIN enrollment_programterms t ON t.program_id = own.program_id
""",
    ),
)
PAYOUT_STANDING = """
CREATE VIEW enrollment_payoutstanding AS
SELECT assignment_id, used_bank, used_tax, used_currency, newest_bank_version,
       bank_status, bank_country, bank_currency, bank_only_local, newest_tax_version,
       tax_status, tax_provided, tax_expires_on, bank_gap, currency_gap,
       lasting_tax_gap, accepted_currencies
FROM enrollment_payoutunderterms
WHERE is_own_year;
"""
# The year that begins the day after in the same calendar, and the program's terms
# in it, if they are written yet.
FOLLOWING_TERMS = """
CREATE VIEW enrollment_followingterms AS
SELECT own.id AS terms_id, n.id AS fiscal_year_id, t.id AS following_id
FROM enrollment_programterms own
JOIN enrollment_fiscalyear y ON y.id = own.fiscal_year_id
JOIN enrollment_fiscalyear n
    ON n.calendar_id = y.calendar_id AND n.starts_on = y.ends_on + 1
LEFT JOIN enrollment_programterms t
    ON t.program_id = own.program_id AND t.fiscal_year_id = n.id;
"""
# Each payment of the following year takes over what the same kind of earning used,
# else what the largest share used.
FOLLOWING_ASSIGNMENT = """
CREATE VIEW enrollment_followingassignment AS
SELECT e.id || '-' || x.id AS id,
       e.id AS enrollment_id,
       f.following_id AS terms_id,
       x.id AS earning_type_id,
       source.id AS assignment_id
FROM enrollment_enrollment e
JOIN enrollment_followingterms f ON f.terms_id = e.terms_id
JOIN enrollment_earningtype x ON x.terms_id = f.following_id
LEFT JOIN LATERAL (
    SELECT a.id
    FROM enrollment_payoutassignment a
    JOIN enrollment_earningtype o ON o.id = a.earning_type_id
    WHERE a.enrollment_id = e.id
    ORDER BY o.kind = x.kind DESC, o.share DESC, a.id
    LIMIT 1
) source ON true;
"""
FOLLOWING_PAYOUT = """
CREATE VIEW enrollment_followingpayout AS
SELECT f.id,
       f.enrollment_id,
       f.earning_type_id,
       f.assignment_id,
       s.used_bank,
       s.used_tax,
       s.used_currency,
       COALESCE(s.bank_gap, 'bank_missing') AS bank_gap,
       COALESCE(s.currency_gap, '') AS currency_gap,
       COALESCE(s.lasting_tax_gap, 'tax_missing') AS lasting_tax_gap,
       s.tax_expires_on
FROM enrollment_followingassignment f
LEFT JOIN enrollment_payoutunderterms s
    ON s.assignment_id = f.assignment_id AND s.terms_id = f.terms_id;
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0009_enrollments_end_with_their_location")]

    operations = [
        migrations.RunSQL(
            [DROP_STANDING, PAYOUT_UNDER_TERMS, PAYOUT_STANDING],
            [DROP_STANDING, "DROP VIEW enrollment_payoutunderterms;", before.AFTER],
        ),
        migrations.RunSQL(FOLLOWING_TERMS, "DROP VIEW enrollment_followingterms;"),
        migrations.RunSQL(
            FOLLOWING_ASSIGNMENT, "DROP VIEW enrollment_followingassignment;"
        ),
        migrations.RunSQL(FOLLOWING_PAYOUT, "DROP VIEW enrollment_followingpayout;"),
        migrations.CreateModel(
            name="FollowingPayout",
            fields=[
                (
                    "id",
                    models.CharField(max_length=60, primary_key=True, serialize=False),
                ),
                ("used_bank", models.UUIDField(null=True)),
                ("used_tax", models.UUIDField(null=True)),
                ("used_currency", models.CharField(max_length=3, null=True)),
                ("bank_gap", models.CharField(max_length=20)),
                ("currency_gap", models.CharField(max_length=20)),
                ("lasting_tax_gap", models.CharField(max_length=20)),
                ("tax_expires_on", models.DateField(null=True)),
            ],
            options={
                "db_table": "enrollment_followingpayout",
                "ordering": ("enrollment", "earning_type"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="FollowingTerms",
            fields=[
                (
                    "terms",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="succession",
                        serialize=False,
                        to="enrollment.programterms",
                    ),
                ),
            ],
            options={
                "db_table": "enrollment_followingterms",
                "ordering": ("terms",),
                "managed": False,
            },
        ),
    ]
