"""Mail about a program can come from a name of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0029_audit_of_program_editing"),
    ]

    operations = [
        migrations.AddField(
            model_name="outgoingemail",
            name="sender_name",
            field=models.CharField(
                blank=True, db_default="", editable=False, max_length=80
            ),
        ),
    ]
