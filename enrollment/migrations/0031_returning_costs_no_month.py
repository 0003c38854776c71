"""What is returned and sent again keeps the moment it was sent first."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0030_imports_know_the_last_event"),
    ]

    operations = [
        migrations.AddField(
            model_name="enrollment",
            name="first_submitted_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="first submitted at"
            ),
        ),
        migrations.AddConstraint(
            model_name="enrollment",
            constraint=models.CheckConstraint(
                condition=Q(("first_submitted_at", None))
                | Q(("submitted_at__isnull", False)),
                name="enrollment_enrollment_first_submitted_is_submitted",
            ),
        ),
    ]
