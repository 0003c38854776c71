"""Recompute every chain of the audit trail and report the first broken link."""

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

# Every event held against its own hash, the one before it, and its place in the row;
# then every chain's end against its head. What is changed, taken out, put in or cut
# off shows as the first row that does not fit.
BROKEN_LINKS = """
WITH links AS (
    SELECT e.id, e.chain, e.seq, e.hash, e.prev_hash,
           accounts_audit_hash(e) AS computed,
           lag(e.hash, 1, '') OVER chain AS hash_before,
           row_number() OVER chain AS place
    FROM accounts_auditevent e
    WINDOW chain AS (PARTITION BY e.chain ORDER BY e.seq, e.id)
),
ends AS (
    SELECT DISTINCT ON (chain) chain, seq, hash
    FROM accounts_auditevent
    ORDER BY chain, seq DESC
)
SELECT chain, seq, id,
       CASE
           WHEN seq <> place THEN 'an event is missing before it'
           WHEN prev_hash <> hash_before THEN 'it does not follow the one before it'
           ELSE 'it was changed'
       END AS fault
FROM links
WHERE seq <> place OR prev_hash <> hash_before OR hash <> computed
UNION ALL
SELECT coalesce(h.chain, e.chain), coalesce(e.seq, 0), NULL,
       'the end was cut or added to: the head says event ' || coalesce(h.seq, 0)
FROM accounts_auditchain h
FULL JOIN ends e ON e.chain = h.chain
WHERE h.seq IS DISTINCT FROM e.seq OR h.hash IS DISTINCT FROM e.hash
ORDER BY 1, 2, 3 NULLS LAST
LIMIT 1
"""

HEADS = "SELECT chain, seq, hash FROM accounts_auditchain ORDER BY chain"


class Command(BaseCommand):
    """Exit with 1 at the first broken link; else print every chain's head.

    Keep the heads outside this machine: whoever can rewrite a whole chain and its head
    is found only by comparing with an older head (security.md T16).
    """

    help = "Recompute the audit trail's chains; exit 1 at the first broken link."
    requires_migrations_checks = True

    def handle(self, **options):
        with connection.cursor() as cursor:
            cursor.execute(BROKEN_LINKS)
            broken = cursor.fetchone()
            cursor.execute(HEADS)
            heads = cursor.fetchall()
        if broken:
            chain, seq, event_id, fault = broken
            event = f"event {seq} (id {event_id})" if event_id else f"event {seq}"
            raise CommandError(f"{chain} is broken at {event}: {fault}.")
        for chain, seq, head in heads:
            self.stdout.write(f"{chain} {seq} {head}")
        self.stdout.write(
            self.style.SUCCESS(f"Intact: {len(heads)} chains recomputed.")
        )
