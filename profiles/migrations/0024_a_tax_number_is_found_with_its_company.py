"""A tax number is found with its company; the index is built while others go on.

The one before stays until it is there. Ended at any point, it can be run again.
"""

from django.contrib.postgres.operations import (
    AddIndexConcurrently,
    RemoveIndexConcurrently,
)
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("profiles", "0023_every_tax_version_says_whose_it_is")]

    operations = [
        # What an attempt that was ended has left.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS profiles_tax_number_of_company",
            migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            model_name="taxprofileversion",
            index=models.Index(
                fields=["blind_index", "partner_account"],
                name="profiles_tax_number_of_company",
            ),
        ),
        RemoveIndexConcurrently(
            model_name="taxprofileversion", name="profiles_tax_blind_index"
        ),
    ]
