"""Invitations are handed over to colleagues."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        (
            "accounts",
            "0033_asked_for_a_colleague",
        ),
        ("enrollment", "0024_many_enrollments_at_once"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="invitation",
            name="handed_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="handed over at"
            ),
        ),
        migrations.AddField(
            model_name="invitation",
            name="handed_to",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invitations_taken_over",
                to=settings.AUTH_USER_MODEL,
                verbose_name="handed to",
            ),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("handed_at", None), ("handed_to", None)),
                    models.Q(
                        ("handed_at__isnull", False),
                        ("handed_to__isnull", False),
                        models.Q(("handed_to", models.F("user")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="enrollment_invitation_handed_to_somebody_else",
            ),
        ),
    ]
