"""A bank account that its company is not paid at yet takes two operators."""

import importlib

from django.db import migrations

before = importlib.import_module("profiles.migrations.0006_a_first_account_takes_two")

# Who holds it is sealed and compared by the service; the number is compared here too.
TWO_OPERATORS = """
CREATE OR REPLACE FUNCTION profiles_refuse_lone_change() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    company bigint;
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
    IF FOUND THEN
        RETURN NEW;
    END IF;
    SELECT partner_account_id INTO company FROM profiles_bankprofile
    WHERE id = NEW.profile_id;
    IF NOT EXISTS (
        SELECT FROM profiles_bankprofileversion other
        JOIN profiles_bankprofile profile ON profile.id = other.profile_id
        WHERE other.id <> NEW.id AND other.approved_at IS NOT NULL
            AND profile.partner_account_id = company
    ) THEN
        RAISE EXCEPTION 'the first bank account of a company needs two operators'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT EXISTS (
        SELECT FROM profiles_bankprofileversion other
        JOIN profiles_bankprofile profile ON profile.id = other.profile_id
        WHERE other.id <> NEW.id AND other.status = 'approved'
            AND other.blind_index = NEW.blind_index
            AND profile.archived_at IS NULL
            AND profile.partner_account_id = company
    ) THEN
        RAISE EXCEPTION 'a further bank account of a company needs two operators'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("profiles", "0009_drafts_of_bank_profiles")]

    operations = [migrations.RunSQL(TWO_OPERATORS, before.TWO_OPERATORS)]
