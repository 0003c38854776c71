"""Events say whom and where they are about, and where they come from; it is hashed."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# A location is one of the event's company.
COMPOSITE_KEY = """
ALTER TABLE accounts_auditevent
    ADD CONSTRAINT accounts_auditevent_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
DROP_COMPOSITE_KEY = """
ALTER TABLE accounts_auditevent
    DROP CONSTRAINT accounts_auditevent_location_of_company;
"""

# What an event of before does not have is not hashed, so that hashes stay as they are.
AUDIT_HASH = """
CREATE OR REPLACE FUNCTION accounts_audit_hash(event accounts_auditevent) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(
        json_build_array(
            event.prev_hash, event.chain, event.seq,
            extract(epoch FROM event.at)::text, event.partner_account_id,
            event.actor_id, event.action, event.object_type, event.object_id,
            event.before::text, event.after::text, event.reason, event.request_id
        )::text
        || CASE WHEN event.actor_name = '' THEN ''
                ELSE json_build_array(event.actor_name)::text END
        || CASE WHEN event.on_behalf_of_id IS NULL AND event.person_id IS NULL
                     AND event.location_id IS NULL AND event.door = ''
                     AND event.door_name = '' AND event.place = ''
                     AND event.device = '' AND event.session_hash = '' THEN ''
                ELSE json_build_object(
                    'on_behalf_of', event.on_behalf_of_id,
                    'person', event.person_id,
                    'location', event.location_id,
                    'door', event.door,
                    'door_name', event.door_name,
                    'place', event.place,
                    'device', event.device,
                    'session', event.session_hash
                )::text END,
        'UTF8')), 'hex')
$$;
"""
AUDIT_HASH_BEFORE = """
CREATE OR REPLACE FUNCTION accounts_audit_hash(event accounts_auditevent) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(
        json_build_array(
            event.prev_hash, event.chain, event.seq,
            extract(epoch FROM event.at)::text, event.partner_account_id,
            event.actor_id, event.action, event.object_type, event.object_id,
            event.before::text, event.after::text, event.reason, event.request_id
        )::text
        || CASE WHEN event.actor_name = '' THEN ''
                ELSE json_build_array(event.actor_name)::text END,
        'UTF8')), 'hex')
$$;
"""

# The trigger writes the heads with its owner's rights, so that the role the portal runs
# with needs none on them. Temporary tables come last: nobody slips one under a name.
AS_OWNER = """
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION accounts_chain_audit_event() SECURITY DEFINER '
        'SET search_path = %I, pg_temp', current_schema());
END $$;
"""
AS_CALLER = """
ALTER FUNCTION accounts_chain_audit_event() SECURITY INVOKER RESET search_path;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_history_is_not_emptied"),
    ]

    operations = [
        migrations.AddField(
            model_name="auditevent",
            name="device",
            field=models.CharField(
                blank=True, db_default="", max_length=60, verbose_name="device"
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="door",
            field=models.CharField(
                blank=True,
                choices=[
                    ("web", "the portal"),
                    ("task", "a scheduled task"),
                    ("command", "a command of the operators"),
                ],
                db_default="",
                max_length=10,
                verbose_name="came by",
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="door_name",
            field=models.CharField(
                blank=True, db_default="", max_length=80, verbose_name="task or command"
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="location",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.location",
                verbose_name="location",
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="on_behalf_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="on behalf of",
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="person",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="place",
            field=models.CharField(
                blank=True, db_default="", max_length=43, verbose_name="from"
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="session_hash",
            field=models.CharField(
                blank=True, db_default="", max_length=16, verbose_name="session"
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["chain", "at"], name="accounts_audit_chain_at"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                fields=["chain", "action"], name="accounts_audit_chain_kind"
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["at"], name="accounts_audit_at"),
        ),
        migrations.RunSQL(COMPOSITE_KEY, DROP_COMPOSITE_KEY),
        migrations.RunSQL(AUDIT_HASH, AUDIT_HASH_BEFORE),
        migrations.RunSQL(AS_OWNER, AS_CALLER),
    ]
