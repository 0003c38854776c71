"""An enrollment can end because its location was closed."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0015_locations_close"),
        ("enrollment", "0008_steps_are_not_emptied"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="enrollment",
            name="enrollment_enrollment_reason_only_at_the_end",
        ),
        migrations.AlterField(
            model_name="enrollment",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("not_answered", "it was not submitted in time"),
                    ("program_ended", "the program ended"),
                    ("location_closed", "the location was closed"),
                ],
                max_length=20,
                verbose_name="ended because",
            ),
        ),
        migrations.AlterField(
            model_name="enrollmentevent",
            name="code",
            field=models.CharField(
                choices=[
                    ("invited", "Invited"),
                    ("started", "Enrollment started"),
                    ("invited_anew", "Invited anew"),
                    ("accepted", "Invitation accepted"),
                    ("declined", "Invitation declined"),
                    ("reconsidered", "Decline taken back"),
                    ("profiles_chosen", "Payout details chosen"),
                    ("details_asked", "Continued to missing details"),
                    ("submitted", "Submitted"),
                    ("recalled", "Submission recalled"),
                    ("bank_confirmed", "Bank profile validated"),
                    ("tax_confirmed", "Tax profile validated"),
                    ("profile_changed", "A profile was changed"),
                    ("returned", "A profile was returned"),
                    ("profile_expired", "A tax profile expired"),
                    ("enrolled", "Enrolled"),
                    ("lapsed", "Invitation lapsed"),
                    ("discontinued", "Program discontinued"),
                    ("location_closed", "Location closed"),
                ],
                max_length=20,
                verbose_name="what happened",
            ),
        ),
        migrations.AddConstraint(
            model_name="enrollment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("end_reason", ""),
                    ("status__in", ["expired", "discontinued", "inactive"]),
                    _connector="OR",
                ),
                name="enrollment_enrollment_reason_only_at_the_end",
            ),
        ),
    ]
