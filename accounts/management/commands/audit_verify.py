"""Recompute every chain of the audit trail; say where it was tampered with."""

import json
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection

from accounts.commands import PortalCommand

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

# What an exported head says, held against the event in its place today.
BROKEN_HEADS = """
SELECT told.chain, told.seq, e.id,
       CASE WHEN e.id IS NULL
            THEN 'it is gone: the exported head says it was there'
            ELSE 'it is not what it was when its head was exported'
       END AS fault
FROM json_to_recordset(%s::json) AS told(chain text, seq bigint, hash text)
LEFT JOIN accounts_auditevent e ON e.chain = told.chain AND e.seq = told.seq
WHERE e.hash IS DISTINCT FROM told.hash
ORDER BY told.chain, told.seq
LIMIT 1
"""

# Whether whoever is connected could write over the trail, as the portal should not.
MAY_REWRITE = """
SELECT current_user
WHERE has_table_privilege('accounts_auditevent', 'UPDATE, DELETE, TRUNCATE')
   OR has_table_privilege('accounts_auditchain', 'INSERT, UPDATE, DELETE, TRUNCATE')
"""

HEADS = "SELECT chain, seq, hash FROM accounts_auditchain ORDER BY chain"

BROKEN, UNREADABLE = 1, 2


class Command(PortalCommand):
    """Exit with 1 at the first broken link; else print every chain's head.

    Whoever can switch triggers off can also rewrite a whole chain, or cut its end and
    mend its head. That is found only with --head, by comparing with heads that
    audit_head exported before and that were kept outside this machine (T16).
    """

    help = (
        "Recompute the audit trail's chains. Exit status: 0 intact, 1 tampered with, "
        "2 could not be checked against the heads given."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument(
            "--head",
            type=Path,
            action="append",
            default=[],
            dest="files",
            metavar="FILE",
            help="heads that audit_head exported before; may be given more than once",
        )

    def handle(self, *, files, **options):
        told = [head for file in files for head in _heads_in(file)]
        with connection.cursor() as cursor:
            cursor.execute(BROKEN_LINKS)
            broken = cursor.fetchone()
            if broken is None and told:
                cursor.execute(BROKEN_HEADS, [json.dumps(told)])
                broken = cursor.fetchone()
            cursor.execute(HEADS)
            heads = cursor.fetchall()
            cursor.execute(MAY_REWRITE)
            powerful = cursor.fetchone()
        if powerful:
            self.stderr.write(
                f"Note: the database role {powerful[0]} may rewrite the trail. "
                "docs/audit.md says how the portal runs with one that may not."
            )
        if broken:
            chain, seq, event_id, fault = broken
            event = f"event {seq} (id {event_id})" if event_id else f"event {seq}"
            raise CommandError(
                f"{chain} is broken at {event}: {fault}.", returncode=BROKEN
            )
        for chain, seq, head in heads:
            self.stdout.write(f"{chain} {seq} {head}")
        compared = f", {len(told)} exported heads found again" if files else ""
        self.stdout.write(
            self.style.SUCCESS(f"Intact: {len(heads)} chains recomputed{compared}.")
        )


def _heads_in(file: Path) -> list[dict]:
    """Return the heads in a file that audit_head wrote; CommandError if it did not."""
    try:
        heads = json.loads(file.read_text())["heads"]
        return [
            {
                "chain": str(head["chain"]),
                "seq": int(head["seq"]),
                "hash": str(head["hash"]),
            }
            for head in heads
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CommandError(
            f"{file} holds no exported heads: {error!r}.", returncode=UNREADABLE
        ) from error
