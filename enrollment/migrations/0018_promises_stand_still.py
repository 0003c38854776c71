"""The promise of an enrollment stands still while the partner is asked."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0017_year_end_rows_are_written_once"),
    ]

    operations = [
        migrations.AddField(
            model_name="enrollment",
            name="asked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="asked at"),
        ),
        migrations.AddField(
            model_name="enrollment",
            name="promised_from",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="promised from"
            ),
        ),
    ]
