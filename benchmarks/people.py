"""People and Gaps of a large and a small company, beside a bare signed-in view.

One connection asks for one page after the other, the same pages each round, from the
portal as its image runs it. What counts are the ratios of medians of one run.
"""

import argparse
import json
import os

import _pages
import django
from django.core.management import call_command


def measure(*, rows: int, rounds: int, is_quick: bool) -> None:
    """Fill two companies, check what the pages say, time them, print it."""
    # Importable once the settings know their database.
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from accounts.models import PartnerAccount
    from accounts.tests.sizes import fill

    if _pages.TEMPLATE not in os.environ:
        call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    locations = rows * 2 // 5
    sizes = {"large": (rows, locations), "small": (10, 4)}
    clients, users = {}, {}
    for number, (size, (people, places)) in enumerate(sizes.items()):
        company = PartnerAccount.objects.create(
            partner_id=f"{5_000_000 + number}",
            name=f"A {size} company",
            legal_name=f"A {size} company",
            country="SE",
            email_domains=["partner.example"],
        )
        users[size] = fill(company, people=people, locations=places, number=number)
        clients[size] = Client()
        clients[size].force_login(users[size][0])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    people, gaps = reverse("accounts:people"), reverse("accounts:gaps")
    before_last = users["large"][max(rows - 26, 0)].pk
    deep_gaps = -(-locations // 25)
    asked = {
        "bare": ("large", "/bare/", ""),
        "people_small": ("small", people, "Person 00009 of 1"),
        "people": ("large", people, "Person 00024 of 0"),
        "people_deep": (
            "large",
            f"{people}?after={before_last}",
            f"Person {rows - 1:05} of 0",
        ),
        "people_found": ("large", f"{people}?q=person+00007", "Person 00007 of 0"),
        "people_filtered": (
            "large",
            f"{people}?role=incentives_admin&place=Branch+0007",
            "Branch 0007",
        ),
        "gaps_small": ("small", gaps, "Branch 0000"),
        "gaps": ("large", gaps, "Branch 0010"),
        "gaps_deep": ("large", f"{gaps}?page={deep_gaps}", "Branch"),
        "gaps_found": ("large", f"{gaps}?q=branch+0007", "Branch 0007"),
        "assign": ("large", reverse("accounts:assign"), "Person 00019 of 0"),
    }
    queries = {}
    for name, (size, path, _words) in asked.items():
        if name == "bare":
            continue
        clients[size].get(path)
        with CaptureQueriesContext(connection) as captured:
            clients[size].get(path)
        queries[name] = len(captured)
    connection.close()

    pages = {}
    for name, (size, path, _words) in asked.items():
        key = clients[size].cookies[settings.SESSION_COOKIE_NAME].value
        pages[name] = (path, f"{settings.SESSION_COOKIE_NAME}={key}")
    with _pages.web_server(workers=1 if is_quick else 2) as (port, server):
        for name, (_size, path, words) in asked.items():
            body = _pages.fetch(port, path, pages[name][1])
            if words not in body:
                raise SystemExit(f"{path} does not say {words!r}.")
        warm_up = 0 if is_quick else _pages.WARM_UP
        seconds = _pages.time_in_turn(port, pages, rounds=rounds, warm_up=warm_up)
        memory = _pages.peak_memory(server)
    _print(seconds, queries, rows=rows, locations=locations, memory=memory)


def _print(seconds, queries, *, rows, locations, memory) -> None:
    bare = _pages.median_ms(seconds["bare"])
    print(f"{rows} people, {locations} locations; {len(seconds['bare'])} rounds\n")
    print("| Page | median ms | 10 % - 90 % | queries | beside bare |")
    print("|---|---|---|---|---|")
    ratios = {}
    for name, taken in seconds.items():
        low, high = _pages.spread_ms(taken)
        median = _pages.median_ms(taken)
        if name != "bare":
            ratios[name] = round(median / bare, 2)
        print(
            f"| {name} | {median:.1f} | {low:.1f} - {high:.1f} "
            f"| {queries.get(name, '')} | {median / bare:.1f} |"
        )
    line = {"benchmark": "people", "rows": rows, "ratios": ratios}
    print(f"\n{json.dumps(line | {'rss_mb': {'worker': memory}})}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, help="people; locations are 2 in 5 of them")
    parser.add_argument("--rounds", type=int, help="how often each page is asked for")
    options = parser.parse_args()
    rows = options.rows or (50 if options.quick else 10_000)
    with _pages.own_database():
        django.setup()
        measure(
            rows=rows,
            rounds=options.rounds or (2 if options.quick else 60),
            is_quick=options.quick,
        )


if __name__ == "__main__":
    main()
