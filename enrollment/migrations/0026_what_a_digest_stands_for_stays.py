"""What an approval is of stays: a plan's digest, and the companies of its ranges."""

from django.db import migrations

STAYS = """
CREATE TRIGGER enrollment_renewalplan_digest_stays
    BEFORE UPDATE ON enrollment_renewalplan
    FOR EACH ROW
    WHEN (
        OLD.digest <> ''
        AND (NEW.digest, NEW.into_id, NEW.known_on)
            IS DISTINCT FROM (OLD.digest, OLD.into_id, OLD.known_on)
    )
    EXECUTE FUNCTION portal_refuse_change();
CREATE TRIGGER enrollment_renewalrange_stays
    BEFORE UPDATE ON enrollment_renewalrange
    FOR EACH ROW
    WHEN (
        OLD.rehearsed_at IS NOT NULL
        AND (NEW.plan_id, NEW.number, NEW.first_company, NEW.last_company, NEW.digest)
            IS DISTINCT FROM (
                OLD.plan_id, OLD.number, OLD.first_company, OLD.last_company, OLD.digest
            )
    )
    EXECUTE FUNCTION portal_refuse_change();
"""
DROP_STAYS = """
DROP TRIGGER enrollment_renewalrange_stays ON enrollment_renewalrange;
DROP TRIGGER enrollment_renewalplan_digest_stays ON enrollment_renewalplan;
"""


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0025_invitations_are_handed_over")]

    operations = [migrations.RunSQL(STAYS, DROP_STAYS)]
