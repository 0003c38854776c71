"""The database role the portal runs with: it adds to history and changes nothing in it."""

import os
from io import StringIO
from runpy import run_path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django.urls import reverse

from accounts.models import AuditAction, AuditChain, AuditEvent, RoleAssignment
from accounts.services import record_audit_event

pytestmark = pytest.mark.django_db

ROLE = f"portal_web_{os.getpid()}"


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def role(db):
    """A role of its own; it goes with the test's transaction."""
    execute(f"CREATE ROLE {ROLE} LOGIN")
    return ROLE


@pytest.fixture
def granted(role):
    """The role with what the portal needs."""
    call_command("grant_role", role, stdout=StringIO())
    return role


@pytest.fixture
def connected(granted):
    """Go on as that role, as if it had signed in to the database."""
    connection.check_constraints()
    execute(f"SET SESSION AUTHORIZATION {granted}")
    yield granted
    execute("RESET SESSION AUTHORIZATION")


def write(company) -> AuditEvent:
    return record_audit_event(
        company, action=AuditAction.COMPANY_ADDED, by=None, partner_account=company
    )


TAMPERING = [
    "UPDATE accounts_auditevent SET reason = 'x'",
    "DELETE FROM accounts_auditevent",
    "TRUNCATE accounts_auditevent",
    "TRUNCATE accounts_auditevent CASCADE",
    "SELECT * FROM accounts_auditevent FOR UPDATE",
    "ALTER TABLE accounts_auditevent DISABLE TRIGGER USER",
    "DROP TRIGGER accounts_auditevent_written_once ON accounts_auditevent",
    (
        "CREATE TRIGGER mine BEFORE INSERT ON accounts_auditevent "
        "FOR EACH ROW EXECUTE FUNCTION portal_refuse_change()"
    ),
    "UPDATE accounts_auditchain SET seq = 0",
    "INSERT INTO accounts_auditchain VALUES ('x', 0, '')",
    "DELETE FROM accounts_auditchain",
    "TRUNCATE accounts_auditchain",
    (
        "CREATE OR REPLACE FUNCTION accounts_audit_hash(event accounts_auditevent) "
        "RETURNS text LANGUAGE sql AS $$ SELECT '' $$"
    ),
    "SET session_replication_role = replica",
    "UPDATE enrollment_enrollmentevent SET note = ''",
    "DELETE FROM enrollment_enrollmentevent",
    "TRUNCATE enrollment_enrollmentevent",
    "DELETE FROM django_migrations",
]


@pytest.mark.parametrize("statement", TAMPERING)
def test_it_cannot_tamper_with_history(nordvik, connected, statement):
    # T16: not refused by a trigger that could be switched off, but by not being allowed.
    write(nordvik)

    with (
        pytest.raises(ProgrammingError, match="permission denied|must be owner"),
        transaction.atomic(),
    ):
        execute(statement)

    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize("statement", TAMPERING[:2])
def test_without_the_grants_it_would_be_let_to_the_trigger(
    nordvik, role, granted, statement
):
    """The control of the test above: what stands between is the grant."""
    write(nordvik)
    connection.check_constraints()
    execute(f"GRANT ALL ON accounts_auditevent TO {role}")
    execute(f"SET SESSION AUTHORIZATION {role}")

    try:
        with pytest.raises(Exception, match="written once"), transaction.atomic():
            execute(statement)
    finally:
        execute("RESET SESSION AUTHORIZATION")


def test_it_runs_the_portal_and_its_events_are_chained(
    client_of, greta, ida, connected
):
    assignment = RoleAssignment.objects.get(user=ida)

    client = client_of(greta)
    ended = client.post(reverse("accounts:revoke", args=[assignment.pk]))
    page = client.get(reverse("activity:list"))

    assert ended.status_code == 302
    assert page.status_code == 200
    event = AuditEvent.objects.get(action=AuditAction.ROLE_REVOKED)
    head = AuditChain.objects.get(chain=event.chain)
    assert (head.seq, head.hash) == (event.seq, event.hash)


def test_it_verifies_the_trail(nordvik, connected):
    write(nordvik)
    out, err = StringIO(), StringIO()

    call_command("audit_verify", stdout=out, stderr=err)

    assert "Intact: 1 chains" in out.getvalue()
    assert err.getvalue() == ""


def test_whoever_may_rewrite_the_trail_is_told(nordvik):
    err = StringIO()

    call_command("audit_verify", stdout=StringIO(), stderr=err)

    assert "may rewrite the trail" in err.getvalue()


def test_a_table_slipped_under_the_heads_name_is_not_taken(nordvik, connected):
    execute("CREATE TEMP TABLE accounts_auditchain (chain text, seq bigint, hash text)")
    execute(
        "INSERT INTO pg_temp.accounts_auditchain VALUES ('company:1', 41, 'forged')"
    )

    event = write(nordvik)

    execute("DROP TABLE pg_temp.accounts_auditchain")
    event.refresh_from_db()
    assert (event.seq, event.prev_hash) == (1, "")


def test_the_demo_makes_its_role_once_and_grants_it_no_more_than_that():
    path = settings.BASE_DIR / "script" / "_prepare.py"
    prepare = run_path(str(path))

    for password in ("first", "sec%40nd"):
        prepare["make_role"](f"postgres://{ROLE}:{password}@127.0.0.1:5432/postgres")

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, "
            "has_table_privilege(rolname, 'accounts_auditevent', 'INSERT'), "
            "has_table_privilege(rolname, 'accounts_auditevent', 'UPDATE') "
            "FROM pg_roles WHERE rolname = %s",
            [ROLE],
        )
        assert cursor.fetchall() == [(True, False, False, False, True, False)]


def test_granting_again_changes_nothing(granted):
    call_command("grant_role", granted, stdout=StringIO())


def test_grants_mean_nothing_to_a_superuser():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (powerful,) = cursor.fetchone()

    with pytest.raises(CommandError, match="no grant holds it back"):
        call_command("grant_role", powerful)


def test_a_role_that_is_not_there_is_said():
    with pytest.raises(CommandError, match="There is no database role nobody"):
        call_command("grant_role", "nobody")
