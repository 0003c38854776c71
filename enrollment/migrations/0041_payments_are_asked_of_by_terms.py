"""What a payment lacks and takes over is asked of it and of terms, both named.

Which terms follow which is known to whoever asks, or is joined by them: found anew for
each payment, it was a third of what a fiscal year's end asks.
"""

import importlib

import django.db.models.deletion
from django.db import migrations, models

year_end = importlib.import_module("enrollment.migrations.0010_what_the_year_end_asks")
held = importlib.import_module("enrollment.migrations.0016_approved_changes_wait")


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# Of any payment and any terms: only that of its own year reads its enrollment.
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


def _over(view: str) -> str:
    """The same view once more, over the one there is: who may read it still may."""
    return _replaced(view, ("CREATE VIEW", "CREATE OR REPLACE VIEW"))


# As before, over the new ones. Workers of the former version ask the last two while both
# versions are at work.
OF_FOLLOWING_TERMS = """\
JOIN enrollment_enrollment e ON e.id = o.enrollment_id
JOIN enrollment_followingterms f
    ON f.terms_id = e.terms_id AND f.following_id = o.terms_id;
"""
OLD_OVER_NEW = [
    _replaced(
        _over(year_end.PAYOUT_STANDING),
        (
            "FROM enrollment_payoutunderterms\nWHERE is_own_year;\n",
            """\
FROM enrollment_payoutunderanyterms u
JOIN enrollment_enrollment e ON e.id = u.enrollment_id AND e.terms_id = u.terms_id;
""",
        ),
    ),
    f"""
CREATE OR REPLACE VIEW enrollment_followingassignment AS
SELECT o.id, o.enrollment_id, o.terms_id, o.earning_type_id, o.assignment_id
FROM enrollment_takenoverassignment o
{OF_FOLLOWING_TERMS}""",
    f"""
CREATE OR REPLACE VIEW enrollment_followingpayout AS
SELECT o.id, o.enrollment_id, o.earning_type_id, o.assignment_id, o.used_bank,
       o.used_tax, o.used_currency, o.bank_gap, o.currency_gap, o.lasting_tax_gap,
       o.tax_expires_on
FROM enrollment_takenoverpayout o
{OF_FOLLOWING_TERMS}""",
    "DROP VIEW enrollment_payoutunderterms;",
]
AS_BEFORE = [
    held.AFTER,
    _over(year_end.PAYOUT_STANDING),
    _over(year_end.FOLLOWING_ASSIGNMENT),
    _over(year_end.FOLLOWING_PAYOUT),
]


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0040_an_import_says_what_it_was_weighed_of")]

    operations = [
        migrations.RunSQL([*NEW, *OLD_OVER_NEW], [*AS_BEFORE, *DROP_NEW]),
        migrations.AlterModelTable(
            name="followingpayout", table="enrollment_takenoverpayout"
        ),
        migrations.AddField(
            model_name="followingpayout",
            name="terms",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="following_payouts",
                to="enrollment.programterms",
            ),
        ),
    ]
