"""Let a database role do what the portal does, and nothing to history."""

from django.core.management.base import CommandError
from django.db import ProgrammingError, connection, transaction
from django.db.backends.postgresql.psycopg_any import sql

from accounts.commands import PortalCommand

# Tables that are written once, told by the trigger that refuses the rest.
WRITTEN_ONCE = """
SELECT DISTINCT t.tgrelid::regclass::text
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.proname = 'portal_refuse_change'
ORDER BY 1
"""
# Tables that only their owner writes: by a trigger, and by migrating.
OWNERS = ("accounts_auditchain", "django_migrations")


class Command(PortalCommand):
    """Grant and revoke, the same every time; run it as the owner after each migrate.

    The role is made beforehand by whoever may: CREATE ROLE portal_web LOGIN … (T16).
    """

    help = (
        "Grant a database role what the portal needs: it can read and add to the audit "
        "trail and other history, never change, delete or empty it. Run it as the "
        "tables' owner after each migrate."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser):
        parser.add_argument("role", help="a database role that is no superuser")

    def handle(self, *, role, **options):
        with transaction.atomic(), connection.cursor() as cursor:
            _refuse_powerful(cursor, role)
            cursor.execute(WRITTEN_ONCE)
            kept = [name for (name,) in cursor.fetchall()]
            try:
                for statement in _statements(role, kept):
                    cursor.execute(statement)
            except ProgrammingError as error:
                raise CommandError(f"Nothing was granted: {error}") from error
        self.stdout.write(
            self.style.SUCCESS(
                f"{role} can run the portal; it only adds to {', '.join(kept)}."
            )
        )


def _refuse_powerful(cursor, role: str) -> None:
    """CommandError for a role that grants mean nothing to, or that is not there."""
    cursor.execute(
        "SELECT rolsuper OR pg_has_role(oid, (SELECT relowner FROM pg_class "
        "WHERE oid = 'accounts_auditevent'::regclass), 'MEMBER') "
        "FROM pg_roles WHERE rolname = %s",
        [role],
    )
    found = cursor.fetchone()
    if found is None:
        raise CommandError(f"There is no database role {role}.")
    if found[0]:
        raise CommandError(
            f"{role} is a superuser or owns the tables: no grant holds it back."
        )


def _statements(role: str, kept: list[str]) -> list[sql.Composed]:
    who = sql.Identifier(role)
    statements = [
        "GRANT USAGE ON SCHEMA {schema} TO {who}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {who}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {who}",
        (
            "REVOKE TRUNCATE, REFERENCES, TRIGGER ON ALL TABLES IN SCHEMA {schema} "
            "FROM {who}"
        ),
    ]
    made = [
        sql.SQL(statement).format(schema=_schema(), who=who) for statement in statements
    ]
    for names, lost in ((kept, "UPDATE, DELETE"), (OWNERS, "INSERT, UPDATE, DELETE")):
        made += [
            sql.SQL("REVOKE {lost} ON {table} FROM {who}").format(
                lost=sql.SQL(lost), table=sql.Identifier(name), who=who
            )
            for name in names
        ]
    return made


def _schema() -> sql.Identifier:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return sql.Identifier(cursor.fetchone()[0])
