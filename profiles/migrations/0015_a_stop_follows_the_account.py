"""The account of a stopped change is stopped from the start when it is sent again."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("profiles", "0014_changes_of_bank_profiles_are_drafted")]

    operations = [
        migrations.AddField(
            model_name="bankchangestop",
            name="follows",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="profiles.bankchangestop",
                verbose_name="follows",
            ),
        ),
    ]
