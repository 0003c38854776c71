"""Indexes of the lists of large companies: people and places by name, who enrolls where."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0019_lost_second_factors"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="roleassignment",
            name="accounts_live_role",
        ),
        migrations.AddIndex(
            model_name="location",
            index=models.Index(
                fields=["partner_account", "name", "id"], name="accounts_places_by_name"
            ),
        ),
        migrations.AddIndex(
            model_name="roleassignment",
            index=models.Index(
                condition=models.Q(("revoked_at", None)),
                fields=["partner_account", "role", "location", "user"],
                include=("program", "ends_on"),
                name="accounts_live_role_at",
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["full_name", "id"], name="accounts_by_name"),
        ),
    ]
