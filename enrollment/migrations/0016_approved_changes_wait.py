"""An approved change that waits for its moment is what an enrollment waits for."""

import importlib

from django.db import migrations

before = importlib.import_module("enrollment.migrations.0010_what_the_year_end_asks")

STATUSES = "v.status IN ('pending', 'action_required', 'approved')"
WITH_HELD = (
    "v.status IN ('pending', 'cooling', 'stopped', 'action_required', 'approved')"
)


def _replacing(text: str) -> str:
    """The same view once more, over the one there is."""
    create = "CREATE VIEW enrollment_payoutunderterms"
    assert text.count(create) == 1
    return text.replace(create, create.replace("CREATE", "CREATE OR REPLACE"))


BEFORE = _replacing(before.PAYOUT_UNDER_TERMS)
# The tax profiles' part has the same list: the first one is the banks'.
assert BEFORE.count(STATUSES) == 2
AFTER = BEFORE.replace(STATUSES, WITH_HELD, 1)


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0015_people_are_told_of_expiring_tax_forms"),
        ("profiles", "0007_changes_cool_off"),
    ]

    operations = [migrations.RunSQL(AFTER, BEFORE)]
