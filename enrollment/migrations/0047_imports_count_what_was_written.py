"""An import knows how often values had been written when its reading began.

Moments do not tell it: another import is dated to its beginning and seen at its end.
What is on its way has no number, and is read once more before it counts.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0046_a_companys_rows_are_read_by_their_terms")]

    operations = [
        migrations.AddField(
            model_name="valueimport",
            name="writings_known",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
    ]
