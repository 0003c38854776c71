"""The validation queue is read in its order; the same tax number elsewhere by an index."""

from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    dependencies = [("profiles", "0017_parts_are_prepared_for_admins")]

    operations = [
        migrations.AddIndex(
            model_name="taxprofileversion",
            index=models.Index(fields=["blind_index"], name="profiles_tax_blind_index"),
        ),
        migrations.RemoveIndex(
            model_name="bankprofileversion", name="profiles_bank_pending"
        ),
        migrations.AddIndex(
            model_name="bankprofileversion",
            index=models.Index(
                Coalesce("promised_from", "submitted_at"),
                F("id"),
                condition=Q(status="pending"),
                name="profiles_bank_pending",
            ),
        ),
        migrations.RemoveIndex(
            model_name="taxprofileversion", name="profiles_tax_pending"
        ),
        migrations.AddIndex(
            model_name="taxprofileversion",
            index=models.Index(
                Coalesce("promised_from", "submitted_at"),
                F("id"),
                condition=Q(status="pending"),
                name="profiles_tax_pending",
            ),
        ),
    ]
