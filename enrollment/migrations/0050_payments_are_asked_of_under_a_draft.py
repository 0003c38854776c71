"""What a payment lacks under any terms is asked of the view of 0041 by name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0049_a_file_is_given_up_while_a_worker_is_at_it"),
    ]

    operations = [
        migrations.CreateModel(
            name="PayoutUnderTerms",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "assignment_id",
                        "terms_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bank_gap", models.CharField(max_length=20)),
                ("currency_gap", models.CharField(max_length=20)),
                ("lasting_tax_gap", models.CharField(max_length=20)),
                ("tax_expires_on", models.DateField(null=True)),
            ],
            options={
                "db_table": "enrollment_payoutunderanyterms",
                "ordering": ("assignment", "terms"),
                "managed": False,
            },
        ),
    ]
