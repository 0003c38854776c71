"""A location's default bank profile is its own company's; sent versions stay as sent."""

from django.db import migrations

COMPOSITE_KEYS = """
ALTER TABLE profiles_defaultbankprofile
    ADD CONSTRAINT profiles_defaultbankprofile_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT profiles_defaultbankprofile_bank_of_company
    FOREIGN KEY (bank_profile_id, partner_account_id)
    REFERENCES profiles_bankprofile (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
DROP_COMPOSITE_KEYS = """
ALTER TABLE profiles_defaultbankprofile
    DROP CONSTRAINT profiles_defaultbankprofile_location_of_company,
    DROP CONSTRAINT profiles_defaultbankprofile_bank_of_company;
"""

# What was sent for validation is what was validated: only re-encryption under a newer
# key may touch the details, and it cannot change what they say.
SENT_STAYS = """
CREATE FUNCTION profiles_refuse_edit() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'versions of profiles are kept'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.profile_id, NEW.number, NEW.country, NEW.last4, NEW.blind_index,
        NEW.submitted_by_id, NEW.submitted_at)
        IS DISTINCT FROM
       (OLD.profile_id, OLD.number, OLD.country, OLD.last4, OLD.blind_index,
        OLD.submitted_by_id, OLD.submitted_at)
    THEN
        RAISE EXCEPTION 'a version that was sent is not edited'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER profiles_bankprofileversion_sent_stays
    BEFORE UPDATE OR DELETE ON profiles_bankprofileversion
    FOR EACH ROW EXECUTE FUNCTION profiles_refuse_edit();
CREATE TRIGGER profiles_taxprofileversion_sent_stays
    BEFORE UPDATE OR DELETE ON profiles_taxprofileversion
    FOR EACH ROW EXECUTE FUNCTION profiles_refuse_edit();
"""
DROP_SENT_STAYS = """
DROP TRIGGER profiles_bankprofileversion_sent_stays ON profiles_bankprofileversion;
DROP TRIGGER profiles_taxprofileversion_sent_stays ON profiles_taxprofileversion;
DROP FUNCTION profiles_refuse_edit();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0001_initial"),
        ("accounts", "0002_audit_chain_and_scopes"),
    ]

    operations = [
        migrations.RunSQL(COMPOSITE_KEYS, DROP_COMPOSITE_KEYS),
        migrations.RunSQL(SENT_STAYS, DROP_SENT_STAYS),
    ]
