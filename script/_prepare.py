"""Brings the demo's database and static files up to date, in one process.

usage: script/_prepare.py STAMP PEOPLE   (STAMP remembers which static files were
collected; PEOPLE becomes the table of the demo's people). Run by script/server.
"""

import hashlib
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect_static(stamp: Path) -> None:
    """Run collectstatic unless the very same files were collected last time."""
    files = hashlib.sha256(django.__version__.encode())
    for finder in get_finders():
        for name, storage in finder.list(ignore_patterns=None):
            facts = os.stat(storage.path(name))
            files.update(f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    root = Path(settings.STATIC_ROOT)
    manifest = root / "staticfiles.json"
    digest = f"{root} {files.hexdigest()}"
    if manifest.exists() and stamp.exists() and stamp.read_text() == digest:
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(digest)


def main(stamp: str, people: str) -> None:
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    call_command("load_demo", if_empty=True)
    collect_static(Path(stamp))
    with open(people, "w") as table:
        call_command("load_demo", people=True, stdout=table)


if __name__ == "__main__":
    main(*sys.argv[1:])
