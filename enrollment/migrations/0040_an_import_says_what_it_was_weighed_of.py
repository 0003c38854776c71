"""A file that counts is not weighed a second time where nothing changed since."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0039_calendars_are_named_in_swedish_too")]

    operations = [
        migrations.AddField(
            model_name="valueimport",
            name="weighed",
            field=models.JSONField(blank=True, default=dict, editable=False),
        ),
    ]
