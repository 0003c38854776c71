"""A part that was asked for is said to be asked for, not to be filled in already."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0020_a_tax_version_says_whose_it_is"),
    ]

    operations = [
        migrations.AlterField(
            model_name="preparedpart",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "Asked for, not handed in"),
                    ("filled", "To be checked"),
                    ("used", "Gone on with"),
                    ("ended", "Put aside"),
                    ("expired", "Expired"),
                ],
                default="open",
                max_length=8,
                verbose_name="state",
            ),
        ),
    ]
