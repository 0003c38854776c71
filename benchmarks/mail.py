"""A campaign's mails with the real templates beside raw smtplib and django-post_office.

All send to the same sink, which takes everything. Raw is one smtplib connection with the
very messages prebuilt; ours are worker processes that claim, write, send and stamp;
post_office sends mails rendered before. What counts are the ratios of median rates.
"""

import argparse
import json
import os
import re
import smtplib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import invitations
from _pages import TEMPLATE

HERE = Path(__file__)
WAYS = ("raw", "one_worker", "two_workers", "post_office")
LEAST_ROUNDS = 3


@contextmanager
def sink():
    """A mail server of this run; yields its port and the file that counts its mails."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with tempfile.NamedTemporaryFile() as counter:
        server = subprocess.Popen(
            [sys.executable, str(HERE.parent / "_sink.py"), str(port), counter.name]
        )
        try:
            for _attempt in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port, Path(counter.name)
        finally:
            server.kill()
            server.wait()


def begin(part: str, database: str, *words, port: int, **variables) -> subprocess.Popen:
    """Start a part of the measurement as a process of its own."""
    environment = {
        "DATABASE_URL": invitations.url_of(database),
        "EMAIL_URL": f"smtp://127.0.0.1:{port}",
    }
    return subprocess.Popen(
        [sys.executable, str(HERE), "--part", part, *map(str, words)],
        env=os.environ | environment | variables,
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen) -> dict:
    """Wait for a part; one that fails ends the run."""
    out, _err = process.communicate()
    if process.returncode:
        raise SystemExit("A part of the measurement failed.")
    return json.loads(out.splitlines()[-1])


def measure(rows: int, *, rounds: int) -> dict[str, list[dict]]:
    """Let each way send all mails, in turn; what did not arrive ends the run."""
    found: dict[str, list[dict]] = {way: [] for way in WAYS}
    like_post_office = {"DJANGO_SETTINGS_MODULE": "_post_office_settings"}
    like_post_office["PYTHONPATH"] = f"{HERE.parent}:{HERE.parent.parent}"
    template = os.environ.get(TEMPLATE, "template1")
    with invitations.database("base", like=template) as base, sink() as (port, counter):
        locations = rows * invitations.LOCATIONS_OF_A_PERSON
        outcome(begin("fill", base, locations, port=port))
        outcome(begin("prebuild", base, port=port, **like_post_office))
        for number in range(rounds):
            for way in WAYS:
                with invitations.database(way, like=base) as copy:
                    before = counter.stat().st_size
                    workers = 2 if way == "two_workers" else 1
                    part = "ours" if way.endswith(("worker", "workers")) else way
                    variables = like_post_office if way == "post_office" else {}
                    parts = [
                        begin(part, copy, port=port, **variables)
                        for _ in range(workers)
                    ]
                    ends = [outcome(one) for one in parts]
                    arrived = counter.stat().st_size - before
                    if arrived != rows:
                        raise SystemExit(f"{way}: {arrived} of {rows} mails arrived.")
                # Starting Python is not sending.
                seconds = max(end["ended"] for end in ends) - min(
                    end["began"] for end in ends
                )
                facts = {"rate": rows / seconds, "mb": max(end["mb"] for end in ends)}
                found[way].append(facts)
                print(f"  round {number + 1}, {way}: {facts['rate']:.0f}/s", flush=True)
    return found


# --- Parts, each a process -----------------------------------------------------------


def fill(rows: int) -> None:
    """A campaign whose mails are in line."""
    invitations.fill(rows)
    invitations.ours()
    from datetime import timedelta

    from django.utils import timezone

    from enrollment import services
    from enrollment.models import Campaign

    campaign = Campaign.objects.get()
    at = timezone.now() + timedelta(minutes=2)
    while services.run_next_range(campaign, at=at):
        pass


def prebuild() -> None:
    """Build every mail once, in a table of its own and in post_office's."""
    from django.core.management import call_command
    from django.db import connection
    from post_office import mail as post_office
    from post_office.models import PRIORITY

    from accounts import outbox
    from accounts.models import OutgoingEmail
    from enrollment.campaign_mails import write

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE prebuilt (address text, message bytea)")
    keys = list(OutgoingEmail.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), 500):
        some = list(
            OutgoingEmail.objects.filter(pk__in=keys[start : start + 500])
            .select_related("to_user")
            .order_by("pk")
        )
        words = write(some)
        kwargs = []
        with connection.cursor() as cursor:
            for email in some:
                outbox.say(email, words[email.pk])
                message = outbox.as_message(email).message().as_bytes(linesep="\r\n")
                cursor.execute(
                    "INSERT INTO prebuilt VALUES (%s, %s)", [email.to_address, message]
                )
                kwargs.append(
                    {
                        "recipients": [email.to_address],
                        "sender": "no-reply@partners.example",
                        "subject": email.subject,
                        "message": email.text,
                        "html_message": email.html,
                        "priority": PRIORITY.medium,
                    }
                )
        post_office.send_many(kwargs)


def raw() -> tuple[float, float]:
    """Hand prebuilt messages over one connection."""
    from django.conf import settings
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT address, message FROM prebuilt")
        mails = [(address, bytes(message)) for address, message in cursor.fetchall()]
    server = smtplib.SMTP(settings.EMAIL_HOST, settings.EMAIL_PORT)
    server.ehlo()
    began = time.time()
    for address, message in mails:
        server.sendmail("no-reply@partners.example", [address], message)
    ended = time.time()
    server.quit()
    return began, ended


def ours() -> tuple[float, float]:
    """Do what a worker does until nothing is left."""
    from django.core.checks import run_checks

    from accounts import outbox
    from incentives_portal.celery import get_ready

    # Celery does so when a worker starts: every address and form is loaded by then.
    run_checks()
    get_ready()
    began = time.time()
    while outbox.deliver().claimed:
        pass
    return began, time.time()


def post_office() -> tuple[float, float]:
    """Let post_office send what is queued, in one process."""
    from post_office.mail import get_queued, send_queued

    began = time.time()
    while get_queued():
        send_queued(processes=1, log_level=0)
    return began, time.time()


def take_part(name: str, words: list[str]) -> dict:
    import django

    django.setup()
    if name == "fill":
        fill(*map(int, words))
        return {}
    if name == "prebuild":
        prebuild()
        return {}
    began, ended = {"raw": raw, "ours": ours, "post_office": post_office}[name]()
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024
    return {"began": began, "ended": ended, "mb": peak}


# --- What is printed -----------------------------------------------------------------


def show(rows: int, found: dict[str, list[dict]]) -> None:
    rates = {
        way: statistics.median(one["rate"] for one in rounds)
        for way, rounds in found.items()
    }
    memory = {way: max(one["mb"] for one in rounds) for way, rounds in found.items()}
    print(f"\n{rows} mails of {invitations.LOCATIONS_OF_A_PERSON} locations each\n")
    print("| Way | mails a second | beside raw | memory |")
    print("|---|---|---|---|")
    for way in WAYS:
        beside = rates[way] / rates["raw"]
        print(f"| {way} | {rates[way]:.0f} | {beside:.2f} | {memory[way]} MB |")
    line = {
        "benchmark": "mail",
        "rows": rows,
        "ratios": {
            way: round(rates[way] / rates["raw"], 2) for way in WAYS if way != "raw"
        },
        "rss_mb": memory,
    }
    print(f"\n{json.dumps(line)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, help="how many mails are sent")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="each way")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *words = options.part
        print(json.dumps(take_part(name, words)))
        return
    rows = options.rows or (500 if options.quick else 20_000)
    rounds = 1 if options.quick else options.rounds
    show(rows, measure(rows, rounds=rounds))


if __name__ == "__main__":
    main()
