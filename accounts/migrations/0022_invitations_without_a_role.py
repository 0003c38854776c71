"""An invitation may offer no role: to belong to the company only (C1)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0021_audit_of_undone_year_ends")]

    operations = [
        migrations.RemoveConstraint(
            model_name="colleagueinvitation",
            name="accounts_colleagueinvitation_role_is_known",
        ),
        migrations.AlterField(
            model_name="colleagueinvitation",
            name="role",
            field=models.CharField(
                blank=True,
                choices=[
                    ("global_admin", "Global admin"),
                    ("account_admin", "Account admin"),
                    ("user_admin", "User management admin"),
                    ("mpn_admin", "MPN partner admin"),
                    ("incentives_admin", "Incentives admin"),
                    ("incentives_user", "Incentives user"),
                ],
                max_length=20,
                verbose_name="role",
            ),
        ),
        migrations.AddConstraint(
            model_name="colleagueinvitation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "role__in",
                        [
                            "",
                            "global_admin",
                            "account_admin",
                            "user_admin",
                            "mpn_admin",
                            "incentives_admin",
                            "incentives_user",
                        ],
                    )
                ),
                name="accounts_colleagueinvitation_role_is_known",
            ),
        ),
    ]
