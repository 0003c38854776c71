"""Invitations that nobody answered are listed in their order, not all of them sorted."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0043_what_the_next_enrollment_begins_with")]

    operations = [
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(
                fields=["-status_since", "id"],
                condition=Q(status="expired", end_reason="not_answered"),
                name="enrollment_lapsed",
            ),
        ),
    ]
