"""Mail that is due is found by what does not change while it leaves.

The index is built while others go on, and the one before stays until it is there. Ended
at any point, it can be run again.
"""

import uuid

from django.contrib.postgres.operations import (
    AddIndexConcurrently,
    RemoveIndexConcurrently,
)
from django.db import migrations, models

AT_ONCE = 5000
# An index that is built beside the work waits for all that was begun before it, and
# nobody waits for it. What follows gives up on locks as soon as before.
WAITING = """
SELECT set_config('portal.lock_timeout', current_setting('lock_timeout'), false),
       set_config('lock_timeout', '0', false)
"""
NOT_WAITING = """
SELECT set_config('lock_timeout', current_setting('portal.lock_timeout'), false)
"""


def set_aside(apps, _schema_editor) -> None:
    """Say of each mail that was held, stopped or given up that it is set aside."""
    mails = apps.get_model("accounts", "OutgoingEmail").objects.order_by("pk")
    last = uuid.UUID(int=0)
    while keys := list(
        mails.filter(pk__gt=last).values_list("pk", flat=True)[:AT_ONCE]
    ):
        some = mails.filter(pk__gt=last, pk__lte=keys[-1], is_set_aside=False)
        statuses = ["held", "failed", "canceled"]
        some.filter(status__in=statuses).update(is_set_aside=True)
        last = keys[-1]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("accounts", "0042_mails_set_aside_are_known")]

    operations = [
        migrations.RunSQL(WAITING, NOT_WAITING),
        migrations.RunPython(set_aside, migrations.RunPython.noop),
        # What an attempt that was ended has left.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS accounts_mail_to_leave",
            migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            model_name="outgoingemail",
            index=models.Index(
                fields=["is_bulk", "next_attempt_at", "id"],
                condition=models.Q(sent_at=None, is_set_aside=False),
                name="accounts_mail_to_leave",
            ),
        ),
        RemoveIndexConcurrently(model_name="outgoingemail", name="accounts_mail_due"),
        migrations.RunSQL(
            migrations.RunSQL.noop,
            "DROP INDEX CONCURRENTLY IF EXISTS accounts_mail_due",
        ),
        migrations.RunSQL(NOT_WAITING, WAITING),
    ]
