"""An invitation that lapsed can be sent anew: the history says so."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0005_agreements_end_and_imports_are_kept"),
    ]

    operations = [
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
                ],
                max_length=20,
                verbose_name="what happened",
            ),
        ),
    ]
