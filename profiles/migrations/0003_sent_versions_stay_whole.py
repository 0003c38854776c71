"""Nothing that was sent is edited, whichever column says it."""

from django.db import migrations

# Details may be sealed anew under another key, and only then: what they say is bound to
# the row by the seal itself.
WHOLE = """
CREATE OR REPLACE FUNCTION profiles_refuse_edit() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    may_change text[] := ARRAY[
        'status', 'decided_at', 'decided_by_id', 'returned', 'seconded_at',
        'seconded_by_id', 'details'
    ];
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'versions of profiles are kept'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF to_jsonb(NEW) - may_change IS DISTINCT FROM to_jsonb(OLD) - may_change
        OR (NEW.details IS DISTINCT FROM OLD.details
            AND split_part(NEW.details, ':', 2) = split_part(OLD.details, ':', 2))
        OR (OLD.status = 'replaced' AND NEW.returned IS DISTINCT FROM OLD.returned)
    THEN
        RAISE EXCEPTION 'a version that was sent is not edited'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""
PARTLY = """
CREATE OR REPLACE FUNCTION profiles_refuse_edit() RETURNS trigger
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
"""


class Migration(migrations.Migration):
    dependencies = [("profiles", "0002_one_company")]

    operations = [migrations.RunSQL(WHOLE, PARTLY)]
