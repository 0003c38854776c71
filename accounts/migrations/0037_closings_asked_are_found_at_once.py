"""The few locations that companies want closed are not looked for among all."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("accounts", "0036_audit_of_more_time")]

    operations = [
        migrations.AddIndex(
            model_name="location",
            index=models.Index(
                fields=["closing_asked_at", "id"],
                condition=Q(closed_at=None, closing_asked_at__isnull=False),
                name="accounts_places_to_close",
            ),
        ),
    ]
