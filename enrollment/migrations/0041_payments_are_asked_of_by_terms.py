"""What a payment lacks and takes over is asked of it and of terms, both named.

Which terms follow which is known to whoever asks, or is joined by them: found anew for
each payment, it was a third of what a fiscal year's end asks.
"""

import importlib

import django.db.models.deletion
from django.db import migrations, models

year_end = importlib.import_module("enrollment.migrations.0010_what_the_year_end_asks")
held = importlib.import_module("enrollment.migrations.0016_approved_changes_wait")

VIEWS = ("followingpayout", "followingassignment", "payoutstanding", "payoutunderterms")
DROP = [f"DROP VIEW enrollment_{view};" for view in VIEWS]
DROP_NEW = [
    "DROP VIEW enrollment_takenoverpayout;",
    "DROP VIEW enrollment_takenoverassignment;",
]


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


BEFORE = [
    held.AFTER,
    year_end.PAYOUT_STANDING,
    year_end.FOLLOWING_ASSIGNMENT,
    year_end.FOLLOWING_PAYOUT,
]
# Of any payment and any terms: only that of its own year reads its enrollment.
PAYOUT_UNDER_TERMS = _replaced(
    held.AFTER,
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
PAYOUT_STANDING = _replaced(
    year_end.PAYOUT_STANDING,
    (
        "FROM enrollment_payoutunderterms\nWHERE is_own_year;\n",
        """\
FROM enrollment_payoutunderterms u
JOIN enrollment_enrollment e ON e.id = u.enrollment_id AND e.terms_id = u.terms_id;
""",
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
    ("       f.enrollment_id,\n", "       f.enrollment_id,\n       f.terms_id,\n"),
)
# Workers of the former version ask these while both are at work.
OF_FOLLOWING_TERMS = """\
JOIN enrollment_enrollment e ON e.id = o.enrollment_id
JOIN enrollment_followingterms f
    ON f.terms_id = e.terms_id AND f.following_id = o.terms_id;
"""
FOLLOWING_ASSIGNMENT = f"""
CREATE VIEW enrollment_followingassignment AS
SELECT o.* FROM enrollment_takenoverassignment o
{OF_FOLLOWING_TERMS}"""
FOLLOWING_PAYOUT = f"""
CREATE VIEW enrollment_followingpayout AS
SELECT o.* FROM enrollment_takenoverpayout o
{OF_FOLLOWING_TERMS}"""
AFTER = [
    PAYOUT_UNDER_TERMS,
    PAYOUT_STANDING,
    TAKEN_OVER_ASSIGNMENT,
    TAKEN_OVER_PAYOUT,
    FOLLOWING_ASSIGNMENT,
    FOLLOWING_PAYOUT,
]


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0040_an_import_says_what_it_was_weighed_of")]

    operations = [
        migrations.RunSQL([*DROP, *AFTER], [*DROP[:2], *DROP_NEW, *DROP[2:], *BEFORE]),
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
