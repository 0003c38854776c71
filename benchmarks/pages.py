"""Home, Overview, queue, campaigns and records of a large partner and a large owner.

One connection asks for one page after the other, the same pages each round, from the
portal as its image runs it, beside a bare signed-in view. What counts are the ratios of
medians of one run.
"""

import argparse
import json
import os

import _pages
import django
from django.core.management import call_command

# Of the other companies ten locations have some 99 enrollments.
ENROLLMENTS_OF_TEN = 99
MOST_QUERIES = 15


def measure(*, locations: int, enrollments: int, rounds: int, is_quick: bool) -> None:
    """Fill the database, check what the pages say and ask, time them, print it."""
    # Importable once the settings know their database.
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from accounts.models import IncentiveProgram
    from accounts.tests import cast
    from enrollment.models import ProgramAtLocation
    from enrollment.tests.sizes import fill_overviews

    if _pages.TEMPLATE not in os.environ:
        call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    others = max(enrollments // ENROLLMENTS_OF_TEN - locations // 10, 0) * 10
    person = fill_overviews(locations=locations, others=others)
    clients = {}
    for name, user in (("partner", person), ("owner", cast.mina())):
        clients[name] = Client()
        clients[name].force_login(user)
    program = IncentiveProgram.objects.order_by("name").first().name

    overview, records = (
        reverse("enrollment:overview"),
        reverse("admin:enrollment_enrollment_changelist"),
    )
    late = (
        ProgramAtLocation.objects.of_company(person.memberships.get().partner_account)
        .order_by("-program_name", "-location_name", "-pk")
        .select_related("location")[min(60, locations)]
    )
    asked = {
        "bare": ("partner", "/bare/", ""),
        "home": ("partner", reverse("home"), program),
        "overview": ("partner", overview, program),
        "overview_deep": ("partner", f"{overview}?after={late.pk}", "Branch"),
        "overview_turn": ("partner", f"{overview}?turn=you", "Branch"),
        "overview_status": ("partner", f"{overview}?status=validating", "Branch"),
        "overview_sorted": ("partner", f"{overview}?sort=status", "Branch"),
        "overview_places": ("partner", f"{overview}?view=location", "Branch"),
        "overview_found": ("partner", f"{overview}?q=program+03", "Program 03"),
        "matrix": ("partner", f"{overview}?view=matrix", program),
        "matrix_deep": (
            "partner",
            f"{overview}?view=matrix&after={late.location_id}",
            "Branch",
        ),
        "today": ("owner", reverse("ops:today"), ""),
        "queue": ("owner", reverse("ops:validation"), ""),
        "invitations": ("owner", reverse("ops:invitations"), program),
        "programs": ("owner", reverse("ops:programs"), program),
        "campaigns": ("owner", reverse("ops:campaigns"), ""),
        "admin": ("owner", records, ""),
        "admin_deep": ("owner", f"{records}?p=100" if not is_quick else records, ""),
    }
    queries = {}
    for name, (who, path, _words) in asked.items():
        if name == "bare":
            continue
        clients[who].get(path)
        with CaptureQueriesContext(connection) as captured:
            clients[who].get(path)
        queries[name] = len(captured)
    connection.close()

    pages = {}
    for name, (who, path, _words) in asked.items():
        key = clients[who].cookies[settings.SESSION_COOKIE_NAME].value
        pages[name] = (path, f"{settings.SESSION_COOKIE_NAME}={key}")
    with _pages.web_server(workers=1 if is_quick else 2) as (port, server):
        for name, (_who, path, words) in asked.items():
            body = _pages.fetch(port, path, pages[name][1])
            if words not in body:
                raise SystemExit(f"{path} does not say {words!r}.")
        warm_up = 0 if is_quick else _pages.WARM_UP
        seconds = _pages.time_in_turn(port, pages, rounds=rounds, warm_up=warm_up)
        memory = _pages.peak_memory(server)
    _print(seconds, queries, locations=locations, rows=enrollments, memory=memory)


def _print(seconds, queries, *, locations, rows, memory) -> None:
    bare = _pages.median_ms(seconds["bare"])
    print(
        f"{locations} locations x 12, {rows} enrollments; rounds: {len(seconds['bare'])}"
    )
    print("\n| Page | median ms | 10 % - 90 % | queries | beside bare |")
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
    line = {"benchmark": "pages", "rows": rows, "ratios": ratios, "queries": queries}
    print(f"\n{json.dumps(line | {'rss_mb': {'worker': memory}})}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, help="enrollments of the program owner")
    parser.add_argument("--locations", type=int, help="of the large partner")
    parser.add_argument("--rounds", type=int, help="how often each page is asked for")
    options = parser.parse_args()
    with _pages.own_database():
        django.setup()
        measure(
            locations=options.locations or (20 if options.quick else 4_000),
            enrollments=options.rows or (300 if options.quick else 1_000_000),
            rounds=options.rounds or (2 if options.quick else 30),
            is_quick=options.quick,
        )


if __name__ == "__main__":
    main()
