"""How often in a row a worker started on a file and nothing came of it.

Counted before the work, so that what ends its worker is counted, too.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0047_imports_count_what_was_written")]

    operations = [
        migrations.AddField(
            model_name="valueimport",
            name="starts",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, editable=False
            ),
        ),
    ]
