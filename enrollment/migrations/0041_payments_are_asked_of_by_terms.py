"""What a payment lacks and takes over is asked of it and of terms, both named.

Which terms follow which is known to whoever asks, or is joined by them: found anew for
each payment, it was a third of what a fiscal year's end asks. PayoutStanding and
FollowingPayout stay as they are: pages find the terms by the enrollment. All are made of
one text.
"""

import importlib

from django.db import migrations, models

year_end = importlib.import_module("enrollment.migrations.0010_what_the_year_end_asks")
held = importlib.import_module("enrollment.migrations.0016_approved_changes_wait")


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# Of any payment and any terms: reads no enrollment.
PAYOUT_UNDER_ANY_TERMS = _replaced(
    held.AFTER,
    (
        "CREATE OR REPLACE VIEW enrollment_payoutunderterms",
        "CREATE VIEW enrollment_payoutunderanyterms",
    ),
    (
        "       e.terms_id = t.id AS is_own_year,\n",
        "       a.enrollment_id AS enrollment_id,\n",
    ),
    (
        """\
JOIN enrollment_enrollment e ON e.id = a.enrollment_id
JOIN enrollment_programterms own ON own.id = e.terms_id
JOIN enrollment_programterms t ON t.program_id = own.program_id
""",
        "CROSS JOIN enrollment_programterms t\n",
    ),
)
# What the successor of an enrollment would take over under any terms.
TAKEN_OVER_ASSIGNMENT = _replaced(
    year_end.FOLLOWING_ASSIGNMENT,
    ("enrollment_followingassignment", "enrollment_takenoverassignment"),
    ("       f.following_id AS terms_id,\n", "       x.terms_id,\n"),
    (
        """\
JOIN enrollment_followingterms f ON f.terms_id = e.terms_id
JOIN enrollment_earningtype x ON x.terms_id = f.following_id
""",
        "CROSS JOIN enrollment_earningtype x\n",
    ),
)
TAKEN_OVER_PAYOUT = _replaced(
    year_end.FOLLOWING_PAYOUT,
    (
        "CREATE VIEW enrollment_followingpayout",
        "CREATE VIEW enrollment_takenoverpayout",
    ),
    ("FROM enrollment_followingassignment", "FROM enrollment_takenoverassignment"),
    ("JOIN enrollment_payoutunderterms", "JOIN enrollment_payoutunderanyterms"),
    ("       f.enrollment_id,\n", "       f.enrollment_id,\n       f.terms_id,\n"),
)
NEW = [PAYOUT_UNDER_ANY_TERMS, TAKEN_OVER_ASSIGNMENT, TAKEN_OVER_PAYOUT]
DROP_NEW = [
    "DROP VIEW enrollment_takenoverpayout;",
    "DROP VIEW enrollment_takenoverassignment;",
    "DROP VIEW enrollment_payoutunderanyterms;",
]


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0040_an_import_says_what_it_was_weighed_of")]

    operations = [
        migrations.RunSQL(NEW, DROP_NEW),
        migrations.CreateModel(
            name="TakenOverPayout",
            fields=[
                (
                    "id",
                    models.CharField(max_length=60, primary_key=True, serialize=False),
                ),
                ("bank_gap", models.CharField(max_length=20)),
                ("currency_gap", models.CharField(max_length=20)),
                ("lasting_tax_gap", models.CharField(max_length=20)),
                ("tax_expires_on", models.DateField(null=True)),
            ],
            options={
                "db_table": "enrollment_takenoverpayout",
                "ordering": ("enrollment", "id"),
                "managed": False,
            },
        ),
    ]
