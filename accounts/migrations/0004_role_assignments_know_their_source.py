"""Roles know whether people or a directory gave them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_audit_discontinued_programs"),
    ]

    operations = [
        migrations.AddField(
            model_name="roleassignment",
            name="source",
            field=models.CharField(
                choices=[
                    ("manual", "Given here"),
                    ("entra", "Microsoft Entra ID, at sign-in"),
                    ("scim", "Microsoft Entra ID, by provisioning"),
                ],
                default="manual",
                max_length=10,
                verbose_name="source",
            ),
        ),
        migrations.AddConstraint(
            model_name="roleassignment",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["manual", "entra", "scim"])),
                name="accounts_roleassignment_source_is_known",
            ),
        ),
    ]
