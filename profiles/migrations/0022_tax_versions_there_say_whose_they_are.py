"""Tax versions that are there already say whose they are, while others read and write.

Ended at any point, it goes on from there when it is run again.
"""

import uuid

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

AT_ONCE = 1000


def say_whose(apps, _schema_editor) -> None:
    """Have the database say it of those that say nothing, some at a time."""
    versions = apps.get_model("profiles", "TaxProfileVersion").objects
    silent = versions.filter(partner_account__isnull=True).order_by("pk")
    last = uuid.UUID(int=0)
    while some := list(
        silent.filter(pk__gt=last).values_list("pk", flat=True)[:AT_ONCE]
    ):
        # Whatever is written here, the trigger writes the location's company.
        versions.filter(pk__in=some).update(partner_account=None)
        last = some[-1]


class Migration(migrations.Migration):
    # What is filled in already stays so, whatever ends this.
    atomic = False

    dependencies = [("profiles", "0021_what_is_asked_for_is_not_being_filled_in")]

    operations = [
        migrations.RunPython(say_whose, migrations.RunPython.noop),
        AddConstraintNotValid(
            model_name="taxprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("partner_account__isnull", False)),
                name="profiles_taxprofileversion_says_whose",
            ),
        ),
    ]
