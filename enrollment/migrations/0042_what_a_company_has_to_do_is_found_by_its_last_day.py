"""What a company has to answer or to submit is found by its last day."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0041_payments_are_asked_of_by_terms")]

    operations = [
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(
                fields=["partner_account", "enroll_by", "status_since", "id"],
                include=["location"],
                condition=Q(status__in=["action_required", "invited"]),
                name="enrollment_to_do",
            ),
        ),
    ]
