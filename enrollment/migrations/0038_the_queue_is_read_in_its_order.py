"""The validation queue is read in its order, a page of it and no more."""

from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Greatest


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0037_an_enrollment_says_whose_it_is")]

    operations = [
        migrations.RemoveIndex(model_name="enrollment", name="enrollment_waiting"),
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(
                Greatest("promised_from", "status_since"),
                F("id"),
                condition=Q(status="validating", asked_at=None),
                name="enrollment_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(
                Greatest("promised_from", "status_since"),
                F("id"),
                condition=Q(status="validating", asked_at__isnull=False),
                name="enrollment_asked",
            ),
        ),
    ]
