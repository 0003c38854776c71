"""Who is invited anew is reminded anew: a reminder is of one last day."""

from django.db import migrations, models

OF_ITS_DAY = """
UPDATE enrollment_reminder r SET last_day = e.enroll_by
FROM enrollment_enrollment e WHERE e.id = r.enrollment_id
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0031_returning_costs_no_month")]

    operations = [
        migrations.AddField(
            model_name="reminder",
            name="last_day",
            field=models.DateField(null=True, verbose_name="last day"),
        ),
        migrations.RunSQL(OF_ITS_DAY, migrations.RunSQL.noop),
        migrations.RemoveConstraint(
            model_name="reminder", name="enrollment_reminder_once_per_step"
        ),
        migrations.AddConstraint(
            model_name="reminder",
            constraint=models.UniqueConstraint(
                fields=["enrollment", "user", "days_before", "last_day"],
                name="enrollment_reminder_once_per_step",
            ),
        ),
    ]
