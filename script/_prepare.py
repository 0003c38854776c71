"""Brings the demo's database up to date, in one process; run by script/server.

usage: script/_prepare.py PEOPLE   (the file that becomes the table of demo people)
"""

import sys

import django
from django.core.management import call_command


def main(people: str) -> None:
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("load_demo", if_empty=True)
    with open(people, "w") as table:
        call_command("load_demo", people=True, stdout=table)


if __name__ == "__main__":
    main(*sys.argv[1:])
