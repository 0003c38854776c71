"""That every tax version says whose it is is looked up while others read and write.

What was looked up need not be looked through again for the column to be required.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("profiles", "0022_tax_versions_there_say_whose_they_are")]

    operations = [
        ValidateConstraint(
            "taxprofileversion", "profiles_taxprofileversion_says_whose"
        ),
        migrations.AlterField(
            model_name="taxprofileversion",
            name="partner_account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.partneraccount",
                verbose_name="company",
            ),
        ),
        migrations.RemoveConstraint(
            "taxprofileversion", "profiles_taxprofileversion_says_whose"
        ),
    ]
