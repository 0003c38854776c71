"""Brings the demo's database up to date, in one process; run by script/server.

usage: script/_prepare.py PEOPLE   (the file that becomes the table of demo people)
Connects as the owner of the tables. WEB_DATABASE_URL, an address, names the role that the portal
itself runs with afterwards: it is made if need be, and granted what the portal needs.
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import django
from django.core.management import call_command
from django.db import connection
from psycopg2 import sql

from _migrating import draw_up_what_changes_only


def main(people: str) -> None:
    django.setup()
    draw_up_what_changes_only()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("load_demo", if_empty=True)
    with open(people, "w") as table:
        call_command("load_demo", people=True, stdout=table)
    if address := os.environ.get("WEB_DATABASE_URL"):
        make_role(address)


def make_role(address: str) -> None:
    """Make the role of an address, with its password and nothing but the grants."""
    parts = urlsplit(address)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        statement = sql.SQL(
            "{verb} ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE "
            "PASSWORD {password}"
        ).format(
            verb=sql.SQL(verb),
            name=sql.Identifier(name),
            password=sql.Literal(password),
        )
        cursor.execute(statement)
    with open(os.devnull, "w") as nowhere:
        call_command("grant_role", name, stdout=nowhere)


if __name__ == "__main__":
    main(*sys.argv[1:])
