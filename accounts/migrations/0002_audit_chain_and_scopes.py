"""What the database guarantees of roles and the audit trail; the shared cache table."""

from django.db import migrations

COMPOSITE_KEY = """
ALTER TABLE accounts_roleassignment
    ADD CONSTRAINT accounts_roleassignment_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
DROP_COMPOSITE_KEY = """
ALTER TABLE accounts_roleassignment
    DROP CONSTRAINT accounts_roleassignment_location_of_company;
"""

# A PartnerID names a company or a location, never both (R17).
PARTNER_IDS = """
CREATE FUNCTION accounts_refuse_taken_partner_id() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('accounts.partner_id'));
    IF TG_TABLE_NAME = 'accounts_location' THEN
        PERFORM 1 FROM accounts_partneraccount WHERE partner_id = NEW.partner_id;
    ELSE
        PERFORM 1 FROM accounts_location WHERE partner_id = NEW.partner_id;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION 'this PartnerID is taken by a company or location'
            USING ERRCODE = 'unique_violation',
                  CONSTRAINT = 'accounts_partner_id_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_partner_id_once
    BEFORE INSERT OR UPDATE OF partner_id ON accounts_location
    FOR EACH ROW EXECUTE FUNCTION accounts_refuse_taken_partner_id();
CREATE TRIGGER accounts_partner_id_once
    BEFORE INSERT OR UPDATE OF partner_id ON accounts_partneraccount
    FOR EACH ROW EXECUTE FUNCTION accounts_refuse_taken_partner_id();
"""
DROP_PARTNER_IDS = """
DROP TRIGGER accounts_partner_id_once ON accounts_location;
DROP TRIGGER accounts_partner_id_once ON accounts_partneraccount;
DROP FUNCTION accounts_refuse_taken_partner_id();
"""

# One chain per company, so that companies do not wait for each other.
AUDIT_CHAIN = """
CREATE FUNCTION accounts_audit_hash(event accounts_auditevent) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(
        json_build_array(
            event.prev_hash, event.chain, event.seq,
            extract(epoch FROM event.at)::text, event.partner_account_id,
            event.actor_id, event.action, event.object_type, event.object_id,
            event.before::text, event.after::text, event.reason, event.request_id
        )::text, 'UTF8')), 'hex')
$$;
CREATE FUNCTION accounts_chain_audit_event() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    head accounts_auditchain;
BEGIN
    INSERT INTO accounts_auditchain (chain, seq, hash)
        VALUES (NEW.chain, 0, '') ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM accounts_auditchain
        WHERE chain = NEW.chain FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.at := clock_timestamp();
    NEW.prev_hash := head.hash;
    NEW.hash := accounts_audit_hash(NEW);
    UPDATE accounts_auditchain SET seq = NEW.seq, hash = NEW.hash
        WHERE chain = NEW.chain;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_auditevent_chained
    BEFORE INSERT ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION accounts_chain_audit_event();
CREATE FUNCTION portal_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history in % is written once', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER accounts_auditevent_written_once
    BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_change();
"""
DROP_AUDIT_CHAIN = """
DROP TRIGGER accounts_auditevent_written_once ON accounts_auditevent;
DROP TRIGGER accounts_auditevent_chained ON accounts_auditevent;
DROP FUNCTION portal_refuse_change();
DROP FUNCTION accounts_chain_audit_event();
DROP FUNCTION accounts_audit_hash(accounts_auditevent);
"""

# Django's database cache: rate limits that hold across processes.
CACHE = """
CREATE TABLE IF NOT EXISTS portal_cache (
    cache_key varchar(255) NOT NULL PRIMARY KEY,
    value text NOT NULL,
    expires timestamp with time zone NOT NULL
);
CREATE INDEX IF NOT EXISTS portal_cache_expires ON portal_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(COMPOSITE_KEY, DROP_COMPOSITE_KEY),
        migrations.RunSQL(PARTNER_IDS, DROP_PARTNER_IDS),
        migrations.RunSQL(AUDIT_CHAIN, DROP_AUDIT_CHAIN),
        migrations.RunSQL(CACHE, "DROP TABLE portal_cache;"),
    ]
