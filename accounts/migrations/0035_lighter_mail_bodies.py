"""Pack the bodies of mails in a quarter of the time, where PostgreSQL can.

What is stored stays as it is; a server without lz4 goes on as before.
"""

from django.db import migrations

PACK = """
DO $$
BEGIN
    ALTER TABLE accounts_outgoingemail
        ALTER COLUMN body_text SET COMPRESSION {method},
        ALTER COLUMN body_html SET COMPRESSION {method};
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'mails are packed with pglz';
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0034_audit_of_prepared_parts")]

    operations = [
        migrations.RunSQL(PACK.format(method="lz4"), PACK.format(method="pglz"))
    ]
