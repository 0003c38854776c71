"""An import knows the newest event when it was applied: what came after, it may have caused."""

from django.db import migrations, models

# Only what can be undone still.
KNOWN = """
UPDATE enrollment_valueimport i
SET last_event = (
    SELECT max(v.id) FROM enrollment_enrollmentevent v WHERE v.at <= i.applied_at
)
WHERE i.status = 'applied' AND i.applied_at > now() - interval '25 hours'
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0029_days_to_answer_begin_with_the_mail")]

    operations = [
        migrations.AddField(
            "valueimport",
            "last_event",
            models.BigIntegerField(
                blank=True,
                null=True,
                verbose_name="newest event of an enrollment when applied",
            ),
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
    ]
