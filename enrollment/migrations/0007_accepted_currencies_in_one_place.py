"""Which currencies a payment accepts is said by the view that says whether one is."""

import importlib

import django.contrib.postgres.fields
from django.db import migrations, models

standing = importlib.import_module("enrollment.migrations.0003_payout_standing")

BEFORE = standing.PAYOUT_STANDING
GAP = """\
           WHEN bank.takes_only_local AND used.currency <> bank.local_currency
               THEN 'currency_refused'
           WHEN used.currency = ANY (t.currencies)
               OR (t.pays_local_currency AND used.currency = bank.local_currency)
               THEN ''
           ELSE 'currency_refused'
       END AS currency_gap,
"""
GAP_BY_LIST = """\
           WHEN used.currency = ANY (accepted.currencies) THEN ''
           ELSE 'currency_refused'
       END AS currency_gap,
"""
LAST_COLUMN = """\
       END AS lasting_tax_gap
"""
WITH_LIST = """\
       END AS lasting_tax_gap,
       accepted.currencies AS accepted_currencies
"""
END = ") tax ON true;\n"
# The bank's own currency comes first; a bank that takes only its own leaves that or
# nothing.
LIST = """\
) tax ON true
CROSS JOIN LATERAL (
    SELECT CASE
               WHEN t.pays_local_currency AND bank.local_currency <> ALL (t.currencies)
                   THEN array_prepend(bank.local_currency, t.currencies)
               ELSE t.currencies
           END AS of_program
) paid
CROSS JOIN LATERAL (
    SELECT CASE
               WHEN NOT bank.takes_only_local OR bank.id IS NULL THEN paid.of_program
               WHEN bank.local_currency = ANY (paid.of_program)
                   THEN ARRAY[bank.local_currency]
               ELSE '{}'::varchar(3)[]
           END AS currencies
) accepted;
"""


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


AFTER = _replaced(BEFORE, (GAP, GAP_BY_LIST), (LAST_COLUMN, WITH_LIST), (END, LIST))
DROP = "DROP VIEW enrollment_payoutstanding;"


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0006_word_of_invitations_sent_anew")]

    operations = [
        migrations.RunSQL([DROP, AFTER], [DROP, BEFORE]),
        migrations.AddField(
            model_name="payoutstanding",
            name="accepted_currencies",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=3), default=list, size=None
            ),
            preserve_default=False,
        ),
    ]
