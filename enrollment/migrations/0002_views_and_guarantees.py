"""Views the rules are asked through; keys that tie a payout to one company."""

from django.db import migrations

COMPOSITE_KEYS = """
ALTER TABLE enrollment_payoutassignment
    ADD CONSTRAINT enrollment_payoutassignment_enrollment_at_location
    FOREIGN KEY (enrollment_id, location_id)
    REFERENCES enrollment_enrollment (id, location_id)
    DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT enrollment_payoutassignment_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT enrollment_payoutassignment_bank_of_company
    FOREIGN KEY (bank_profile_id, partner_account_id)
    REFERENCES profiles_bankprofile (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT enrollment_payoutassignment_tax_of_location
    FOREIGN KEY (tax_profile_id, location_id)
    REFERENCES profiles_taxprofile (id, location_id)
    DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT enrollment_payoutassignment_version_of_bank
    FOREIGN KEY (bank_version_id, bank_profile_id)
    REFERENCES profiles_bankprofileversion (id, profile_id)
    DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT enrollment_payoutassignment_version_of_tax
    FOREIGN KEY (tax_version_id, tax_profile_id)
    REFERENCES profiles_taxprofileversion (id, profile_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
DROP_COMPOSITE_KEYS = """
ALTER TABLE enrollment_payoutassignment
    DROP CONSTRAINT enrollment_payoutassignment_enrollment_at_location,
    DROP CONSTRAINT enrollment_payoutassignment_location_of_company,
    DROP CONSTRAINT enrollment_payoutassignment_bank_of_company,
    DROP CONSTRAINT enrollment_payoutassignment_tax_of_location,
    DROP CONSTRAINT enrollment_payoutassignment_version_of_bank,
    DROP CONSTRAINT enrollment_payoutassignment_version_of_tax;
"""

HISTORY = """
CREATE TRIGGER enrollment_enrollmentevent_written_once
    BEFORE UPDATE OR DELETE ON enrollment_enrollmentevent
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_change();
"""
DROP_HISTORY = """
DROP TRIGGER enrollment_enrollmentevent_written_once ON enrollment_enrollmentevent;
"""

# Every requirement of every program's year, held against every location. A value has
# days it is good for; whether it is met is said here and nowhere else.
REQUIREMENT_CHECK = """
CREATE VIEW enrollment_requirementcheck AS
SELECT r.terms_id || '-' || l.id || '-' || r.id AS id,
       l.id AS location_id,
       r.terms_id,
       r.id AS requirement_id,
       c.id AS criterion_id,
       r.position + 1 AS position,
       r.at_least AS needed,
       m.value,
       m.value >= r.at_least AS is_met,
       m.measured_on AS valid_from,
       m.measured_on + c.max_age_days::integer AS valid_until,
       COALESCE(m.source, '') AS source
FROM accounts_location l
CROSS JOIN enrollment_requirement r
JOIN enrollment_criterion c ON c.id = r.criterion_id
LEFT JOIN enrollment_measuredvalue m
       ON m.location_id = l.id AND m.criterion_id = c.id
UNION ALL
SELECT t.id || '-' || l.id || '-agreement' AS id,
       l.id AS location_id,
       t.id AS terms_id,
       NULL::bigint AS requirement_id,
       NULL::bigint AS criterion_id,
       0 AS position,
       NULL::numeric AS needed,
       NULL::numeric AS value,
       a.id IS NOT NULL AND a.terminated_on IS NULL AS is_met,
       a.starts_on AS valid_from,
       a.ends_on AS valid_until,
       '' AS source
FROM accounts_location l
CROSS JOIN enrollment_programterms t
LEFT JOIN LATERAL (
    SELECT id, starts_on, ends_on, terminated_on
    FROM enrollment_agreement
    WHERE partner_account_id = l.partner_account_id
    ORDER BY terminated_on IS NULL DESC, ends_on DESC NULLS FIRST, starts_on DESC
    LIMIT 1
) a ON true
WHERE t.needs_agreement;
"""

# Every program's year at every location that may see it, enrolled or not.
PROGRAM_AT_LOCATION = """
CREATE VIEW enrollment_programatlocation AS
SELECT t.id || '-' || l.id AS id,
       l.id AS location_id,
       t.program_id,
       t.id AS terms_id,
       t.fiscal_year_id,
       e.id AS enrollment_id
FROM accounts_location l
CROSS JOIN enrollment_programterms t
JOIN accounts_incentiveprogram p ON p.id = t.program_id
LEFT JOIN enrollment_enrollment e ON e.location_id = l.id AND e.terms_id = t.id
WHERE e.id IS NOT NULL
   OR (l.closed_at IS NULL
       AND p.discontinued_at IS NULL
       AND (t.is_open_to_all OR t.is_listed)
       AND (t.countries = '{}' OR l.country = ANY (t.countries)));
"""


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0001_initial"),
        ("profiles", "0002_one_company"),
        ("accounts", "0002_audit_chain_and_scopes"),
    ]

    operations = [
        migrations.RunSQL(COMPOSITE_KEYS, DROP_COMPOSITE_KEYS),
        migrations.RunSQL(HISTORY, DROP_HISTORY),
        migrations.RunSQL(REQUIREMENT_CHECK, "DROP VIEW enrollment_requirementcheck;"),
        migrations.RunSQL(
            PROGRAM_AT_LOCATION, "DROP VIEW enrollment_programatlocation;"
        ),
    ]
