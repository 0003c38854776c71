"""A changed account is usable after its cooling-off, never while it is stopped."""

from django.db import migrations

# What waited when this came: the account differs from the one that was last in force.
BACKFILL = """
ALTER TABLE profiles_bankprofileversion
    DISABLE TRIGGER profiles_bankprofileversion_sent_stays;
UPDATE profiles_bankprofileversion waiting
SET usable_from = submitted_at + interval '72 hours'
WHERE status = 'pending' AND blind_index <> (
    SELECT blind_index FROM profiles_bankprofileversion
    WHERE profile_id = waiting.profile_id AND id <> waiting.id
        AND approved_at IS NOT NULL
    ORDER BY number DESC LIMIT 1
);
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE profiles_bankprofileversion
    ENABLE TRIGGER profiles_bankprofileversion_sent_stays;
"""

# The clock is the database's: no moment that is passed in makes it later.
NOT_EARLY = """
CREATE FUNCTION profiles_refuse_early_change() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    before text;
    is_stopped boolean;
BEGIN
    is_stopped := EXISTS (
        SELECT FROM profiles_bankchangestop
        WHERE version_id = NEW.id AND released_at IS NULL
    );
    IF NEW.status IN ('pending', 'cooling') AND is_stopped THEN
        RAISE EXCEPTION 'a stopped change is released by two operators'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.status <> 'approved' THEN
        RETURN NEW;
    END IF;
    IF is_stopped THEN
        RAISE EXCEPTION 'a stopped change comes into force for nobody'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.usable_from > clock_timestamp() THEN
        RAISE EXCEPTION 'a changed account is not usable before its cooling-off is over'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.usable_from IS NULL THEN
        SELECT blind_index INTO before FROM profiles_bankprofileversion
        WHERE profile_id = NEW.profile_id AND id <> NEW.id AND approved_at IS NOT NULL
        ORDER BY number DESC LIMIT 1;
        IF FOUND AND before <> NEW.blind_index THEN
            RAISE EXCEPTION 'a changed account has a cooling-off'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER profiles_bankprofileversion_not_early
    BEFORE UPDATE OF status ON profiles_bankprofileversion
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION profiles_refuse_early_change();
CREATE TRIGGER profiles_bankprofileversion_not_added_early
    BEFORE INSERT ON profiles_bankprofileversion
    FOR EACH ROW WHEN (NEW.status = 'approved')
    EXECUTE FUNCTION profiles_refuse_early_change();
"""
DROP_NOT_EARLY = """
DROP TRIGGER profiles_bankprofileversion_not_early ON profiles_bankprofileversion;
DROP TRIGGER profiles_bankprofileversion_not_added_early ON profiles_bankprofileversion;
DROP FUNCTION profiles_refuse_early_change();
"""

# Who stopped, checked and released stays as it was written.
STOPS_STAY = """
CREATE FUNCTION profiles_refuse_edited_stop() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    later text[] := ARRAY[
        'checked_at', 'checked_by_id', 'evidence', 'released_at', 'released_by_id'
    ];
    sender bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'stops of changes are kept'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT submitted_by_id INTO sender FROM profiles_bankprofileversion
    WHERE id = NEW.version_id;
    IF sender IN (NEW.checked_by_id, NEW.released_by_id) THEN
        RAISE EXCEPTION 'who sent a change releases it for nobody'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND (
        to_jsonb(NEW) - later IS DISTINCT FROM to_jsonb(OLD) - later
        OR OLD.released_at IS NOT NULL
        OR (OLD.checked_at IS NOT NULL
            AND (NEW.checked_at, NEW.checked_by_id, NEW.evidence)
                IS DISTINCT FROM (OLD.checked_at, OLD.checked_by_id, OLD.evidence))
    ) THEN
        RAISE EXCEPTION 'stops of changes are not edited'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER profiles_bankchangestop_stays
    BEFORE INSERT OR UPDATE ON profiles_bankchangestop
    FOR EACH ROW EXECUTE FUNCTION profiles_refuse_edited_stop();
CREATE TRIGGER profiles_bankchangestop_is_kept
    BEFORE DELETE ON profiles_bankchangestop
    FOR EACH ROW EXECUTE FUNCTION profiles_refuse_edited_stop();
CREATE TRIGGER profiles_bankchangestop_not_emptied
    BEFORE TRUNCATE ON profiles_bankchangestop
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
"""
DROP_STOPS_STAY = """
DROP TRIGGER profiles_bankchangestop_stays ON profiles_bankchangestop;
DROP TRIGGER profiles_bankchangestop_is_kept ON profiles_bankchangestop;
DROP TRIGGER profiles_bankchangestop_not_emptied ON profiles_bankchangestop;
DROP FUNCTION profiles_refuse_edited_stop();
"""


class Migration(migrations.Migration):
    dependencies = [("profiles", "0007_changes_cool_off")]

    operations = [
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        migrations.RunSQL(NOT_EARLY, DROP_NOT_EARLY),
        migrations.RunSQL(STOPS_STAY, DROP_STOPS_STAY),
    ]
