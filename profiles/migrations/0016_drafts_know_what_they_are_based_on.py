"""A change that was begun knows the version that it was begun on.

What was begun before does not: it is begun anew.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("profiles", "0015_a_stop_follows_the_account")]

    operations = [
        migrations.AddField(
            model_name=f"{part}profiledraft",
            name="based_on",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=f"profiles.{part}profileversion",
                verbose_name="based on",
            ),
        )
        for part in ("bank", "tax")
    ] + [
        migrations.AddField(
            model_name=f"{part}profiledraft",
            name="is_mending",
            field=models.BooleanField(
                default=False, verbose_name="mends what was returned"
            ),
        )
        for part in ("bank", "tax")
    ]
