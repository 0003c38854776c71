"""Each state of a mail on its way is written to four indexes, not to seven.

A person's mails are found by the index that begins with the person; a key of an event is
compared as a whole; who was written to is asked of mails that are of no campaign.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0037_closings_asked_are_found_at_once")]

    operations = [
        migrations.RemoveIndex(
            model_name="outgoingemail", name="accounts_mail_address"
        ),
        migrations.AlterField(
            model_name="outgoingemail",
            name="dedupe_key",
            field=models.CharField(max_length=200),
        ),
        migrations.AddConstraint(
            model_name="outgoingemail",
            constraint=models.UniqueConstraint(
                fields=["dedupe_key"], name="accounts_outgoingemail_told_once"
            ),
        ),
        migrations.AlterField(
            model_name="outgoingemail",
            name="to_user",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="emails",
                to=settings.AUTH_USER_MODEL,
                verbose_name="to",
            ),
        ),
        migrations.AddIndex(
            model_name="outgoingemail",
            index=models.Index(
                condition=models.Q(is_bulk=False),
                fields=["to_address", "name", "created_at"],
                name="accounts_mail_address",
            ),
        ),
    ]
