"""A campaign's rows beside one raw statement and bulk_create, in one run.

Every location of a program without criteria but the agreement is invited: enrollment,
event, payout, and for each person one mail, with an invitation for each location. Each
way gets its own copy of the same database; what it wrote is compared with what the raw
statements wrote. What counts are the ratios of medians.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from _pages import TEMPLATE
from psycopg2 import sql

BASE = os.environ["DATABASE_URL"]
# Of one company each; every person is Incentives admin of all of one.
LOCATIONS_OF_A_PERSON = 4
WAYS = ("raw", "bulk_create", "ours")


def url_of(name: str) -> str:
    return re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", BASE)


@contextmanager
def database(name: str, *, like: str = "template1"):
    """A database of this run, a copy of another."""
    name = f"bench_{os.getpid()}_{name}"
    _tell("CREATE DATABASE {} TEMPLATE {}", name, like)
    try:
        yield name
    finally:
        _tell("DROP DATABASE {} WITH (FORCE)", name)


def _tell(statement: str, *names: str) -> None:
    connection = psycopg2.connect(BASE)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    connection.close()


def part(name: str, database: str, *words) -> dict:
    """Do a part of the measurement in a process of its own; one that fails ends it."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", name, *map(str, words)],
        env=os.environ | {"DATABASE_URL": url_of(database)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed.")
    return json.loads(done.stdout.splitlines()[-1])


def measure(rows: int, *, rounds: int) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {way: [] for way in WAYS}
    with database("base", like=os.environ.get(TEMPLATE, "template1")) as base:
        part("fill", base, rows)
        for number in range(rounds):
            picture = None
            for way in WAYS:
                with database(way, like=base) as copy:
                    facts = part(way, copy)
                picture = picture or facts["picture"]
                if facts.pop("picture") != picture:
                    raise SystemExit(f"{way} did not write what the statements wrote.")
                found[way].append(facts)
                print(
                    f"  round {number + 1}, {way}: {facts['seconds']:.2f} s", flush=True
                )
    return found


# --- Parts, each a process -----------------------------------------------------------

FILL = """
INSERT INTO accounts_partneraccount
    (partner_id, name, legal_name, country, email_domains, must_migrate, created_at)
SELECT (5000000 + n)::text, 'Company ' || n, 'Company AB', 'SE', '{{}}', false, now()
FROM generate_series(1, {companies}) n;
INSERT INTO accounts_location
    (partner_account_id, partner_id, name, legal_name, country, street, postcode, city,
     closing_reason, created_at)
SELECT a.id, (60000000 + row_number() OVER ())::text, 'Location ' || l, 'Company AB',
       'SE', '', '', '', '', now()
FROM accounts_partneraccount a, generate_series(1, {each}) l;
INSERT INTO accounts_user
    (email, full_name, language, is_active, is_staff, is_superuser, password,
     session_epoch, date_joined)
SELECT 'person' || n || '@partner.example', 'Person Number' || n,
       CASE n % 2 WHEN 0 THEN 'en' ELSE 'sv' END, true, false, false, '!', 0, now()
FROM generate_series(1, {companies}) n;
"""


def fill(rows: int) -> None:
    """Companies of four locations, each with one person who may enroll all of them."""
    from django.core.management import call_command
    from django.db import connection

    from accounts.models import (
        Location,
        Membership,
        PartnerAccount,
        RoleAssignment,
        User,
    )
    from enrollment import services
    from enrollment.models import Agreement
    from enrollment.tests.factories import ProgramTermsFactory

    call_command("migrate", verbosity=0)
    companies = rows // LOCATIONS_OF_A_PERSON
    terms = ProgramTermsFactory(
        earning_types=[("rebate", 60), ("co_op", 40)], program__name="Cloud Solutions"
    )
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(FILL.format(companies=companies, each=LOCATIONS_OF_A_PERSON))
    accounts = list(PartnerAccount.objects.order_by("pk"))
    people = list(User.objects.order_by("pk"))
    RoleAssignment.objects.bulk_create(
        (
            RoleAssignment(
                user=person,
                partner_account=account,
                location=None,
                role="incentives_admin",
            )
            for person, account in zip(people, accounts, strict=True)
        ),
        batch_size=5000,
    )
    Membership.objects.bulk_create(
        (
            Membership(user=person, partner_account=account)
            for person, account in zip(people, accounts, strict=True)
        ),
        batch_size=5000,
    )
    Agreement.objects.bulk_create(
        (
            Agreement(partner_account=account, starts_on=terms.fiscal_year.starts_on)
            for account in accounts
        ),
        batch_size=5000,
    )
    assert Location.objects.count() == companies * LOCATIONS_OF_A_PERSON
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    campaign = services.plan_campaign(terms, by=None)
    services.confirm_campaign(campaign, people=companies, by=None)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def ours() -> float:
    """Run the campaign until the mails could leave."""
    from datetime import timedelta

    from django.utils import timezone

    from enrollment import services
    from enrollment.models import Campaign, CampaignStep

    campaign = Campaign.objects.get()
    at = timezone.now() + timedelta(minutes=2)
    began = time.perf_counter()
    while campaign.step != CampaignStep.MAILS:
        services.run_next_range(campaign, at=at)
        campaign.refresh_from_db()
    return time.perf_counter() - began


RAW = (
    """
CREATE TEMPORARY TABLE invited ON COMMIT DROP AS
WITH fresh AS (
    INSERT INTO enrollment_enrollment
        (id, location_id, partner_account_id, terms_id, status, status_since,
         invited_at, enroll_by, agreement_version, end_reason)
    SELECT gen_random_uuid(), l.id, l.partner_account_id, %(terms)s, 'invited', %(at)s, %(at)s, %(last)s,
           '', ''
    FROM accounts_location l
    JOIN enrollment_agreement a ON a.partner_account_id = l.partner_account_id
    WHERE l.closed_at IS NULL AND a.terminated_on IS NULL AND a.starts_on <= %(today)s
    RETURNING id, location_id
), told AS (
    INSERT INTO enrollment_enrollmentevent
        (enrollment_id, code, from_status, to_status, note, at)
    SELECT id, 'invited', '', 'invited', '', %(at)s FROM fresh
), paid AS (
    INSERT INTO enrollment_payoutassignment
        (enrollment_id, earning_type_id, location_id, partner_account_id, method,
         currency)
    SELECT f.id, t.id, l.id, l.partner_account_id, 'bank_transfer', ''
    FROM fresh f
    JOIN accounts_location l ON l.id = f.location_id
    JOIN enrollment_earningtype t ON t.terms_id = %(terms)s
)
SELECT f.id, l.partner_account_id
FROM fresh f JOIN accounts_location l ON l.id = f.location_id
""",
    """
WITH pairs AS MATERIALIZED (
    SELECT i.id, r.user_id AS holder
    FROM invited i
    JOIN accounts_roleassignment r ON r.partner_account_id = i.partner_account_id
    WHERE r.role = 'incentives_admin' AND r.revoked_at IS NULL
), mails AS (
    INSERT INTO accounts_outgoingemail
        (id, dedupe_key, name, to_user_id, to_address, language, subject, body_text,
         body_html, about_url, status, attempts, next_attempt_at, fence, last_error,
         created_at, is_bulk, mutes)
    SELECT gen_random_uuid(), 'raw:' || u.id, 'invitation', u.id, u.email, u.language,
           CASE u.language WHEN 'sv' THEN %(sv)s ELSE %(en)s END, '', '', '', 'held', 0,
           %(at)s, 0, '', %(at)s, true, %(mutes)s
    FROM (SELECT DISTINCT holder FROM pairs) p
    JOIN accounts_user u ON u.id = p.holder
    RETURNING id, to_user_id
), listed AS (
    INSERT INTO enrollment_campaignrecipient
        (campaign_id, user_id, email_id, locations_count)
    SELECT %(campaign)s, m.to_user_id, m.id, count(*)
    FROM mails m JOIN pairs p ON p.holder = m.to_user_id
    GROUP BY m.to_user_id, m.id
)
INSERT INTO enrollment_invitation (id, enrollment_id, user_id, email_id, created_at)
SELECT gen_random_uuid(), p.id, p.holder, m.id, %(at)s
FROM pairs p JOIN mails m ON m.to_user_id = p.holder
""",
)


def raw() -> float:
    """Write the same rows by two statements that know what the rule comes to here."""
    from django.db import connection, transaction

    facts = _facts()
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        for statement in RAW:
            cursor.execute(statement, facts)
    return time.perf_counter() - began


def in_bulk() -> float:
    """Write the same rows the usual Django way, in chunks of a thousand."""
    from accounts.models import Location, OutgoingEmail, RoleAssignment
    from enrollment.eligibility import locations_to_invite
    from enrollment.models import (
        Campaign,
        CampaignRecipient,
        Enrollment,
        EnrollmentEvent,
        Invitation,
        PayoutAssignment,
    )

    facts, campaign = _facts(), Campaign.objects.get()
    terms = campaign.terms
    began = time.perf_counter()
    keys = locations_to_invite(terms, on=facts["today"]).values("pk")
    locations = Location.objects.filter(pk__in=keys).order_by("pk")
    enrollments = Enrollment.objects.bulk_create(
        (
            Enrollment(
                location=location,
                terms=terms,
                status_since=facts["at"],
                invited_at=facts["at"],
                enroll_by=facts["last"],
            )
            for location in locations
        ),
        batch_size=1000,
    )
    EnrollmentEvent.objects.bulk_create(
        (
            EnrollmentEvent(
                enrollment=one, code="invited", to_status="invited", at=facts["at"]
            )
            for one in enrollments
        ),
        batch_size=1000,
    )
    types = list(terms.earning_types.all())
    PayoutAssignment.objects.bulk_create(
        (
            PayoutAssignment(
                enrollment=one,
                earning_type=kind,
                location=one.location,
                partner_account_id=one.location.partner_account_id,
            )
            for one in enrollments
            for kind in types
        ),
        batch_size=1000,
    )
    theirs: dict[int, list] = {}
    for one in enrollments:
        theirs.setdefault(one.location.partner_account_id, []).append(one)
    holders = list(
        RoleAssignment.objects.live()
        .filter(role="incentives_admin")
        .select_related("user")
        .order_by("pk")
    )
    mails = OutgoingEmail.objects.bulk_create(
        (
            OutgoingEmail(
                dedupe_key=f"bulk:{one.user_id}",
                name="invitation",
                to_user=one.user,
                to_address=one.user.email,
                language=one.user.language,
                subject=facts[one.user.language],
                status="held",
                next_attempt_at=facts["at"],
                is_bulk=True,
                mutes=facts["mutes"],
            )
            for one in holders
        ),
        batch_size=1000,
    )
    CampaignRecipient.objects.bulk_create(
        (
            CampaignRecipient(
                campaign=campaign,
                user=one.user,
                email=mail,
                locations_count=len(theirs[one.partner_account_id]),
            )
            for one, mail in zip(holders, mails, strict=True)
        ),
        batch_size=1000,
    )
    Invitation.objects.bulk_create(
        (
            Invitation(enrollment=enrollment, user=one.user, email=mail)
            for one, mail in zip(holders, mails, strict=True)
            for enrollment in theirs[one.partner_account_id]
        ),
        batch_size=1000,
    )
    return time.perf_counter() - began


def _facts() -> dict:
    from django.conf import settings
    from django.utils import timezone, translation

    from enrollment.emails import muting
    from enrollment.models import Campaign

    campaign, now = Campaign.objects.get(), timezone.now()
    today = campaign.terms.fiscal_year.calendar.day_at(now)
    facts = {
        "campaign": campaign.pk,
        "terms": campaign.terms_id,
        "at": now,
        "today": today,
        "last": campaign.terms.last_day_for(today),
        "mutes": muting(campaign.terms),
    }
    for language in ("en", "sv"):
        with translation.override(language):
            facts[language] = str(settings.INVITATION_SUBJECT)
    return facts


PICTURE = """
SELECT md5(string_agg(row, '' ORDER BY row)) FROM (
    SELECT concat_ws('|', 'e', location_id, terms_id, status, enroll_by, end_reason)
    FROM enrollment_enrollment
    UNION ALL SELECT concat_ws('|', 'v', e.location_id, code, from_status, to_status)
    FROM enrollment_enrollmentevent v JOIN enrollment_enrollment e
        ON e.id = v.enrollment_id
    UNION ALL SELECT concat_ws('|', 'p', location_id, partner_account_id,
        earning_type_id, method, currency)
    FROM enrollment_payoutassignment
    UNION ALL SELECT concat_ws('|', 'm', name, to_user_id, to_address, language,
        subject, status, is_bulk, mutes)
    FROM accounts_outgoingemail
    UNION ALL SELECT concat_ws('|', 'r', campaign_id, user_id, locations_count)
    FROM enrollment_campaignrecipient
    UNION ALL SELECT concat_ws('|', 'i', e.location_id, i.user_id, m.to_user_id)
    FROM enrollment_invitation i
    JOIN enrollment_enrollment e ON e.id = i.enrollment_id
    JOIN accounts_outgoingemail m ON m.id = i.email_id
) rows (row)
"""


def picture() -> str:
    """What stands in the tables, but for keys and moments; as one digest."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(PICTURE)
        return cursor.fetchone()[0]


def take_part(name: str, words: list[str]) -> dict:
    import django

    django.setup()
    if name == "fill":
        fill(*map(int, words))
        return {}
    seconds = {"raw": raw, "bulk_create": in_bulk, "ours": ours}[name]()
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024
    return {"seconds": seconds, "mb": peak, "picture": picture()}


# --- What is printed -----------------------------------------------------------------


def show(rows: int, found: dict[str, list[dict]]) -> None:
    seconds = {
        way: statistics.median(one["seconds"] for one in rounds)
        for way, rounds in found.items()
    }
    memory = {way: max(one["mb"] for one in rounds) for way, rounds in found.items()}
    print(f"\n{rows} invitations, to {rows // LOCATIONS_OF_A_PERSON} people\n")
    print("| Way | seconds | beside raw | invitations a second | memory |")
    print("|---|---|---|---|---|")
    for way in WAYS:
        print(
            f"| {way} | {seconds[way]:.2f} | {seconds[way] / seconds['raw']:.2f} "
            f"| {rows / seconds[way]:.0f} | {memory[way]} MB |"
        )
    line = {
        "benchmark": "invitations",
        "rows": rows,
        "ratios": {
            way: round(seconds[way] / seconds["raw"], 2)
            for way in ("ours", "bulk_create")
        },
        "rss_mb": memory,
    }
    print(f"\n{json.dumps(line)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, help="how many locations are invited")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *words = options.part
        print(json.dumps(take_part(name, words)))
        return
    rows = options.rows or (2_000 if options.quick else 200_000)
    rounds = 1 if options.quick else options.rounds
    show(rows, measure(rows, rounds=rounds))


if __name__ == "__main__":
    main()
