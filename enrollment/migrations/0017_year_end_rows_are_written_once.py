"""What a rehearsal wrote down stays: an approval is of exactly these rows."""

from django.db import migrations

WRITTEN_ONCE = """
CREATE TRIGGER enrollment_renewalrow_written_once
    BEFORE UPDATE OR DELETE ON enrollment_renewalrow
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_change();
CREATE TRIGGER enrollment_renewalrow_not_emptied
    BEFORE TRUNCATE ON enrollment_renewalrow
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_truncate();
"""
DROP_WRITTEN_ONCE = """
DROP TRIGGER enrollment_renewalrow_not_emptied ON enrollment_renewalrow;
DROP TRIGGER enrollment_renewalrow_written_once ON enrollment_renewalrow;
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0016_approved_changes_wait")]

    operations = [migrations.RunSQL(WRITTEN_ONCE, DROP_WRITTEN_ONCE)]
