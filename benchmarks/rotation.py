"""The rotation of field keys: killed ten times on its way, then measured in one go.

Beside it the least it could cost (open and seal, without a database) and the naive way
(load, assign and save one row after the other). What counts are values a second.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import _pages
import django
from django.core.management import call_command

KEYS = {
    "k1": "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "k2": "k2:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=",
    "k3": "k3:emFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDEyMzQ=",
    "k4": "k4:eXphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM=",
}
DEATHS = 10
LONGEST_BATCH = 0.4
# Every so-many-th value is opened after each death; all of them at the end.
SAMPLE = 97


def ring(*names: str) -> str:
    return ",".join(KEYS[name] for name in names)


def fill(rows: int) -> dict:
    """As many bank versions as asked, every one with an account of its own."""
    from accounts.tests.factories import PartnerAccountFactory, UserFactory
    from profiles.models import BankProfile, BankProfileVersion

    company, person = PartnerAccountFactory(), UserFactory()
    said = {}
    for start in range(0, rows, 5_000):
        numbers = range(start, min(start + 5_000, rows))
        profiles = [
            BankProfile(
                partner_account=company, name=f"Account {number}", created_by=person
            )
            for number in numbers
        ]
        BankProfile.objects.bulk_create(profiles)
        versions = [
            BankProfileVersion(
                profile=profile,
                number=1,
                country="SE",
                details={"iban": f"SE{number:022}", "account_holder": "Nordvik IT AB"},
                bank_name="Testbanken",
                local_currency="SEK",
                submitted_by=person,
            )
            for number, profile in zip(numbers, profiles, strict=True)
        ]
        BankProfileVersion.objects.bulk_create(versions)
        said |= {
            version.pk: f"SE{number:022}"
            for number, version in zip(numbers, versions, strict=True)
        }
    return said


def check(said: dict, *, every: int = 1) -> int:
    """Open values; SystemExit at the first that says something else."""
    from profiles.models import BankProfileVersion

    opened = 0
    for version in BankProfileVersion.objects.order_by("pk").iterator():
        opened += 1
        if opened % every == 0 and version.details["iban"] != said[version.pk]:
            raise SystemExit("A value is not what it was.")
    if opened != len(said):
        raise SystemExit(f"{opened} values of {len(said)} are left.")
    return opened


def die_on_the_way(column, rows: int, said: dict) -> int:
    """Kill rotation after rotation by SIGKILL; between them everything opens."""
    command = [sys.executable, "manage.py", "rotate_field_keys"]
    environment = os.environ | {"FIELD_ENCRYPTION_KEYS": ring("k2", "k1")}
    deaths = 0
    while deaths < DEATHS:
        runner = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        due = (deaths + 1) * rows // (DEATHS + 2)
        while column.values_by_key()["k2"] < due and runner.poll() is None:
            time.sleep(0.02)
        # Anywhere in the batch at work, or between two.
        time.sleep(random.uniform(0, LONGEST_BATCH))
        runner.send_signal(signal.SIGKILL)
        if runner.wait() != -signal.SIGKILL:
            raise SystemExit("A rotation ended before it could be killed.")
        deaths += 1
        by_key = column.values_by_key()
        if by_key.total() != rows or by_key["k1"] == 0:
            raise SystemExit(f"After death {deaths} the keys are {by_key}.")
        check(said, every=SAMPLE)
        print(f"death {deaths}: {by_key['k2']} of {rows} are sealed anew")
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return deaths


def measure(*, rows: int) -> None:
    from django.conf import settings
    from django.db import transaction

    from accounts.field_keys import SealedColumn
    from accounts.services import finish_rotation, seal_next_batch
    from profiles.models import BankProfileVersion

    call_command("migrate", verbosity=0)
    settings.FIELD_ENCRYPTION_KEYS = ring("k1")
    said = fill(rows)
    column = SealedColumn(BankProfileVersion, "details")
    settings.FIELD_ENCRYPTION_KEYS = ring("k2", "k1")
    deaths = die_on_the_way(column, rows, said)
    settings.FIELD_ENCRYPTION_KEYS = ring("k2")
    readable = check(said)
    if column.values_by_key() != Counter(k2=rows):
        raise SystemExit("The old key still seals values.")

    rates = {}
    settings.FIELD_ENCRYPTION_KEYS = ring("k3", "k2")
    began, last = time.perf_counter(), None
    while (batch := seal_next_batch(column, after=last)) is not None:
        last = batch.last
    if not finish_rotation(column):
        raise SystemExit("Something was left.")
    rates["ours"] = rows / (time.perf_counter() - began)

    settings.FIELD_ENCRYPTION_KEYS = ring("k4", "k3")
    with transaction.atomic():
        few = column.lock_stale(after=None, most=5_000)
    began = time.perf_counter()
    for value in few:
        column.sealed_anew(value)
    rates["seal_only"] = len(few) / (time.perf_counter() - began)

    versions = BankProfileVersion.objects.filter(pk__in=[one.pk for one in few])
    began = time.perf_counter()
    for version in versions.iterator():
        version.details = dict(version.details)
        version.save(update_fields=["details"])
    rates["save_each"] = len(few) / (time.perf_counter() - began)
    _print(rates, rows=rows, deaths=deaths, readable=readable)


def _print(rates: dict, *, rows: int, deaths: int, readable: int) -> None:
    print(f"\n{rows} values, {deaths} deaths, {readable} opened after them\n")
    print("| Way | values a second | beside ours |")
    print("|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} | {rate / rates['ours']:.2f} |")
    line = {
        "benchmark": "rotation",
        "rows": rows,
        "deaths": deaths,
        "ratios": {
            "values_per_second": round(rates["ours"]),
            "seal_only": round(rates["seal_only"] / rates["ours"], 2),
            "save_each": round(rates["save_each"] / rates["ours"], 2),
        },
    }
    print(f"\n{json.dumps(line)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, help="how many values are sealed")
    options = parser.parse_args()
    with _pages.own_database():
        django.setup()
        measure(rows=options.rows or (20_000 if options.quick else 100_000))


if __name__ == "__main__":
    main()
