"""A campaign remembers the last day of those whose mail has not left."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0028_fewer_indexes_to_write_at_a_year_end")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="last_day",
            field=models.DateField(
                blank=True, null=True, verbose_name="last day to enroll"
            ),
        ),
    ]
