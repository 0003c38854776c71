"""What an import would turn is written without asking each time whether the import is there.

Whatever writes one holds its import locked, and imports are never deleted.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0044_what_lapsed_is_listed_in_its_order"),
    ]

    operations = [
        migrations.AlterField(
            model_name="importeffect",
            name="value_import",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="effects",
                to="enrollment.valueimport",
                verbose_name="import",
            ),
        ),
    ]
