"""Tax forms are found by their last day, not looked for at each location."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("profiles", "0018_the_queue_is_read_in_its_order")]

    operations = [
        migrations.AddIndex(
            model_name="taxprofileversion",
            index=models.Index(
                fields=["expires_on", "id"],
                condition=Q(status="approved", expires_on__isnull=False),
                name="profiles_tax_expiring",
            ),
        ),
    ]
