"""A company's first bank account takes two operators; the first approval is of something."""

import importlib

from django.db import migrations, models
from django.db.models import Q

before = importlib.import_module("profiles.migrations.0004_approved_for_good")

WITH_DIGEST = before.WITH_APPROVAL.replace(
    "'seconded_by_id', ", "'seconded_by_id', 'seconded_digest', "
)

# What was signed before there were signatures is signed anew.
LAPSED = """
UPDATE profiles_bankprofileversion
SET seconded_at = NULL, seconded_by_id = NULL WHERE status = 'pending';
"""

TWO_OPERATORS = """
CREATE OR REPLACE FUNCTION profiles_refuse_lone_change() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    before text;
BEGIN
    IF NEW.seconded_by_id IS NOT NULL THEN
        RETURN NEW;
    END IF;
    SELECT blind_index INTO before FROM profiles_bankprofileversion
    WHERE profile_id = NEW.profile_id AND id <> NEW.id AND approved_at IS NOT NULL
    ORDER BY number DESC LIMIT 1;
    IF FOUND AND before <> NEW.blind_index THEN
        RAISE EXCEPTION 'a change of a bank account needs two operators'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT FOUND AND NOT EXISTS (
        SELECT FROM profiles_bankprofileversion other
        JOIN profiles_bankprofile profile ON profile.id = other.profile_id
        WHERE other.id <> NEW.id AND other.approved_at IS NOT NULL
            AND profile.partner_account_id = (
                SELECT partner_account_id FROM profiles_bankprofile
                WHERE id = NEW.profile_id
            )
    ) THEN
        RAISE EXCEPTION 'the first bank account of a company needs two operators'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""
ONLY_CHANGES = before.TWO_OPERATORS.partition("CREATE TRIGGER")[0].replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)


class Migration(migrations.Migration):
    dependencies = [("profiles", "0005_versions_are_not_emptied")]

    operations = [
        migrations.AlterModelOptions(
            name="bankprofileversion",
            options={
                "abstract": False,
                "ordering": ("profile", "-number"),
                "permissions": [
                    (
                        "review_profiles",
                        "Can see bank details that wait for a decision",
                    ),
                    ("validate_profiles", "Can validate bank and tax profiles"),
                    (
                        "approve_bank_accounts",
                        "Can give the second approval of bank accounts",
                    ),
                ],
                "verbose_name": "bank profile version",
                "verbose_name_plural": "bank profile versions",
            },
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="seconded_digest",
            field=models.CharField(
                blank=True, db_default="", editable=False, max_length=64
            ),
        ),
        migrations.RunSQL(WITH_DIGEST, before.WITH_APPROVAL),
        migrations.RunSQL(LAPSED, migrations.RunSQL.noop),
        # What was changed is settled before the table is altered.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE;", migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=~Q(status="pending", seconded_by__isnull=False)
                | Q(seconded_digest__regex="^[0-9a-f]{64}$"),
                name="profiles_bankprofileversion_first_approval_of_something",
            ),
        ),
        migrations.RunSQL(TWO_OPERATORS, ONLY_CHANGES),
    ]
