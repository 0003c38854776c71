"""The demo's story: everything its files say, done through the portal's services."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts import outbox
from accounts import services as accounts
from accounts.models import (
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
)
from enrollment import services
from enrollment.management.demo import under_way
from enrollment.management.demo.cast import Cast
from enrollment.management.demo.clock import NEWS
from enrollment.management.demo.files import entries, rows
from enrollment.management.demo.papers import documents_of
from enrollment.models import Enrollment, FiscalYear, ProgramTerms
from profiles import services as profiles
from profiles.models import Profile

MANAGER = "mina.okafor@partners.example"
ADDRESS = ("street", "postcode", "city")
BETWEEN_STEPS = timedelta(minutes=4)
# So many steps.
COUNTED_AFTER = 250
# A role that ends when all else has happened; others end at an offset.
AT_LAST = "yes"


@transaction.atomic
def tell(*, password: str) -> bool:
    """Load the demo, all of it or nothing; say whether it was loaded.

    Where one of its companies is, it was loaded before: then nothing is done, so that
    what people changed since stays.
    """
    companies = [row["partner_id"] for row in rows("companies")]
    if PartnerAccount.objects.filter(partner_id__in=companies).exists():
        return False
    cast = Cast(now=timezone.now())
    Story(cast).happen()
    accounts.share_demo_password(cast.people.values(), password=password)
    return True


@dataclass(frozen=True)
class Step:
    """Something that happens at a moment; `is_news` while its mail is worth sending."""

    at: datetime
    do: Callable[..., Any]
    is_news: bool


class Story:
    """The steps of the demo, in the order in which they happened."""

    def __init__(self, cast: Cast):
        self.cast = cast
        self.clock = cast.clock
        self.steps: list[Step] = []

    def happen(self) -> None:
        """Plan every step, take them in the order of their moments, end roles."""
        self.plan_measurements()
        self.plan_bank_profiles()
        self.plan_tax_profiles()
        self.plan_invitations()
        self.plan_enrollments()
        self.plan_recoveries()
        self.plan_rehearsals()
        under_way.plan_campaigns(self.cast, plan=self.plan, by=MANAGER)
        under_way.plan_imports(self.cast, plan=self.plan, by=MANAGER)
        under_way.plan_colleagues(self.cast, plan=self.plan)
        self.plan_ends_of_roles()
        steps = sorted(self.steps, key=lambda step: step.at)
        for number, step in enumerate(steps):
            # All of it is one transaction: nothing else has counted its rows yet. Nobody
            # else counts or vacuums them until it is over.
            if number % COUNTED_AFTER == 0:
                _count_rows()
            with nullcontext() if step.is_news else outbox.as_sent_at(step.at):
                step.do(at=step.at)
        for row in rows("roles"):
            if row["ended"] == AT_LAST:
                self.end_roles(row)

    def plan(
        self,
        offset: str,
        do: Callable[..., Any],
        *,
        year: FiscalYear | None = None,
        after: int = 0,
    ) -> None:
        """Let something happen at an offset, a few minutes after so many others."""
        wait = after * BETWEEN_STEPS
        told = self.clock.ago(offset, year=year, wait=wait)
        at = self.clock.moment(offset, year=year, wait=wait)
        self.steps.append(Step(at, do, is_news=told <= NEWS))

    def plan_ends_of_roles(self) -> None:
        for row in rows("roles"):
            if row["ended"] not in ("", AT_LAST):
                self.plan(row["ended"], partial(self.end_roles, row))

    def end_roles(self, row: dict[str, str], *, at: datetime | None = None) -> None:
        held = RoleAssignment.objects.live().filter(
            user=self.cast.people[row["email"]],
            role=row["role"],
            partner_account=self.cast.companies[row["company"]],
        )
        if row["locations"]:
            held = held.filter(location__partner_id__in=row["locations"].split())
        for assignment in held:
            accounts.revoke_role(assignment, by=None)

    def plan_measurements(self) -> None:
        """Import the values of each day as a file that came on that day."""
        files = defaultdict(list)
        for row in rows("measured_values"):
            for offset in row["measured_on"].split():
                day = self.clock.day(offset).isoformat()
                files[offset] += [
                    row | {"measured_on": day, "partner_id": key}
                    for key in row["partner_id"].split()
                ]
        for offset, lines in files.items():
            name = f"values-{self.clock.day(offset)}.csv"
            by = self.cast.people[MANAGER]
            self.plan(offset, partial(under_way.bring_file, name, lines, by=by))

    def plan_bank_profiles(self) -> None:
        for entry in entries("bank_profiles"):
            company = self.cast.companies[entry["company"]]
            find = partial(company.bank_profiles.get, name=entry["name"])
            create = partial(profiles.create_bank_profile, company, name=entry["name"])
            self.plan_versions(
                entry["versions"],
                find=find,
                create=create,
                revise=profiles.revise_bank_profile,
            )
            if entry.get("default_of"):
                first = entry["versions"][0]
                set_default = partial(
                    _set_default,
                    [self.cast.locations[key] for key in entry["default_of"]],
                    find=find,
                    currency=entry["currency"],
                    by=self.cast.people[first["by"]],
                )
                self.plan(first["submitted"], set_default, after=1)

    def plan_tax_profiles(self) -> None:
        for entry in entries("tax_profiles"):
            for key in entry.get("locations") or [entry["location"]]:
                location = self.cast.locations[key]
                name = entry.get("name", location.name)
                self.plan_versions(
                    entry["versions"],
                    find=partial(location.tax_profiles.get, name=name),
                    create=partial(profiles.create_tax_profile, location, name=name),
                    revise=profiles.revise_tax_profile,
                    location=location,
                )

    def plan_versions(
        self,
        versions: list[dict[str, Any]],
        *,
        find: Callable[[], Profile],
        create: Callable[..., Profile],
        revise: Callable[..., Profile],
        location: Location | None = None,
    ) -> None:
        """Send each version of a profile, then decide about it."""
        for number, version in enumerate(versions):
            # What is left out of a location's tax details is its own address.
            place = {name: getattr(location, name) for name in ADDRESS if location}
            facts = {
                "country": version["country"],
                "details": place | version["details"],
                "by": self.cast.people[version["by"]],
            }
            if "expires_on" in version:
                facts["expires_on"] = self.clock.day(version["expires_on"])
            if "documents" in version:
                facts["setup"] = version["setup"]
                facts["documents"] = documents_of(
                    version["documents"],
                    location=location,
                    clock=self.clock,
                    by=facts["by"],
                )
            send = partial(_revise, revise, find=find) if number else create
            self.plan(version["submitted"], partial(send, **facts))
            for after, decision in enumerate(version.get("approved", [])):
                offset, email = decision.split()
                approve = partial(_approve, find=find, by=self.cast.people[email])
                self.plan(offset, approve, after=after)
            if offset := version.get("stopped"):
                # By the contact so far, through the link in the mail.
                self.plan(offset, partial(_stop, find=find))
            if returned := version.get("returned"):
                send_back = partial(
                    _return,
                    find=find,
                    returned=returned["reasons"],
                    by=self.cast.people[returned["by"]],
                )
                self.plan(returned["at"], send_back)

    def plan_invitations(self) -> None:
        manager = self.cast.people[MANAGER]
        for entry in entries("programs"):
            for name in entry["years"]:
                terms = self.cast.terms[entry["code"], name]
                events = {
                    "invites": partial(services.invite_locations, terms, by=manager),
                    "lapses": partial(_lapse, terms),
                    "discontinued": partial(
                        services.discontinue_program, terms.program, by=manager
                    ),
                }
                for event, do in events.items():
                    if offset := entry.get(event, {}).get(name):
                        self.plan(offset, do, year=terms.fiscal_year)

    def plan_enrollments(self) -> None:
        """Take each step whose column says when; an empty column did not happen."""
        for row in rows("enrollments"):
            by, validator = (
                self.cast.people[row["by"]],
                self.cast.people.get(row["validator"]),
            )
            terms = self.cast.terms[row["program"], row["year"]]
            find = partial(
                Enrollment.objects.get,
                location=self.cast.locations[row["location"]],
                terms=terms,
            )
            bank, currency = row["bank_profile"], row["currency"]
            accepted = row["accepted"]
            steps = (
                (accepted, partial(services.accept_enrollment, by=by)),
                (bank and accepted, partial(_choose_bank, name=bank, by=by)),
                (
                    currency and accepted,
                    partial(services.choose_currency, currency=currency, by=by),
                ),
                (row["continued"], partial(services.ask_for_details, by=by)),
                (row["submitted"], partial(services.submit_enrollment, by=by)),
                (
                    row["tax_confirmed"],
                    partial(services.confirm_payout, part="tax", by=validator),
                ),
                (
                    row["bank_confirmed"],
                    partial(services.confirm_payout, part="bank", by=validator),
                ),
                (
                    row["declined"],
                    partial(services.decline_enrollment, reason=row["reason"], by=by),
                ),
            )
            for after, (offset, service) in enumerate(steps):
                if offset:
                    self.plan(
                        offset,
                        partial(_take, service, find=find),
                        year=terms.fiscal_year,
                        after=after,
                    )

    def plan_recoveries(self) -> None:
        """Let people ask for an admin, and operators check what they show."""
        for row in rows("recoveries"):
            company = self.cast.companies[row["company"]]
            ask = partial(
                accounts.request_recovery,
                company,
                reason=row["reason"],
                by=self.cast.people[row["email"]],
            )
            self.plan(row["asked"], ask)
            if row["checked"]:
                check = partial(
                    _check_recovery,
                    company,
                    evidence=row["evidence"],
                    by=self.cast.people[row["checked_by"]],
                )
                self.plan(row["checked"], check)

    def plan_rehearsals(self) -> None:
        """Rehearse the coming year end twice, so that the second shows what changed."""
        year = self.cast.years["july", "next"]
        by = self.cast.people[MANAGER]
        for offset in ("-11d", "-3h"):
            self.plan(offset, partial(services.rehearse_renewals, year, by=by))


def _check_recovery(
    company: PartnerAccount, *, evidence: str, by: User, at: datetime
) -> None:
    accounts.review_recovery(
        company.recovery_requests.get(), evidence=evidence, by=by, at=at
    )


def _count_rows() -> None:
    """Tell PostgreSQL how many rows there are: it plans by what it knows of them.

    Of the portal's tables alone: others are shared with the server's other databases,
    and stay locked until the story is told.
    """
    tables = connection.introspection.django_table_names(include_views=False)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(map(connection.ops.quote_name, tables))}")


def _set_default(
    locations: list[Location],
    *,
    find: Callable[[], Profile],
    currency: str,
    by: User,
    at: datetime,
) -> None:
    # A further account becomes a default when its waiting time is over.
    profiles.set_default_bank_profile(
        locations,
        bank_profile=find(),
        currency=currency,
        by=by,
        at=at + profiles.cooling_off(),
    )


def _revise(
    revise: Callable[..., Profile], *, find: Callable[[], Profile], **facts: Any
) -> None:
    revise(find(), **facts)


def _approve(*, find: Callable[[], Profile], by: User, at: datetime) -> None:
    profiles.approve_version(find().current_version, by=by, at=at)


def _return(
    *,
    find: Callable[[], Profile],
    returned: list[dict[str, str]],
    by: User,
    at: datetime,
) -> None:
    profiles.return_version(find().current_version, returned=returned, by=by, at=at)


def _stop(*, find: Callable[[], Profile], at: datetime) -> None:
    profiles.stop_change(find().candidate, by=None, at=at)


def _lapse(terms: ProgramTerms, *, at: datetime) -> None:
    services.lapse_invitations(at=at)


def _take(
    service: Callable[..., Enrollment],
    *,
    find: Callable[[], Enrollment],
    at: datetime,
) -> None:
    service(find(), at=at)


def _choose_bank(enrollment: Enrollment, *, name: str, by: User, at: datetime) -> None:
    company = enrollment.location.partner_account
    services.choose_bank_profile(
        enrollment, bank_profile=company.bank_profiles.get(name=name), by=by, at=at
    )
