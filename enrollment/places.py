"""What the location pages show: who can enroll, what is missing, what is under way."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Coverage, Location, PartnerAccount
from accounts.prepared import Given, given_if, planned_for
from accounts.reach import ShownCoverage, shown_coverage
from accounts.roles import Permission
from accounts.scoping import HeldRoles, reaches_all
from enrollment.eligibility import (
    GAPS,
    Gap,
    gaps_of,
    payout_at,
    with_next_gaps,
)
from enrollment.models import Enrollment
from enrollment.states import EDITABLE, EnrollmentStatus
from profiles.models import BankProfile

PARTS = {
    "role": _("role"),
    "bank": _("bank"),
    "tax": _("tax"),
    "currency": _("currency"),
}
# How what is missing is mended, in the words of the link that leads there.
_MEND = {
    "bank_missing": _("Choose a bank profile"),
    "bank_archived": _("Choose a bank profile"),
    "bank_returned": _("Fix the bank profile"),
    "bank_country": _("Choose a bank profile"),
    "method_refused": _("See the enrollment"),
    "tax_missing": _("Add a tax profile"),
    "tax_archived": _("Choose a tax profile"),
    "tax_returned": _("Fix the tax profile"),
    "tax_expired": _("Renew the tax profile"),
    "tax_incomplete": _("Add what is missing"),
    "currency_missing": _("Choose a currency"),
    "currency_refused": _("Choose a currency"),
}
# Before anything is begun the next enrollment would start with the default.
_NO_DEFAULT = _("No bank profile is its default yet.")
_NOBODY = _("Nobody can enroll it.")
_SOME_PROGRAMS = _("It can be enrolled in some programs only.")


@dataclass(frozen=True)
class ReadyItem:
    """One of the four things an enrollment needs; what mends it, if it is missing."""

    code: str
    is_ok: bool
    sentence: Promise | str = ""
    url: str = ""
    way: Promise | str = ""
    gap: str = ""

    @property
    def label(self) -> Promise:
        return PARTS[self.code]


@dataclass(frozen=True)
class Readiness:
    """How many of the four a location has, and which are missing."""

    items: list[ReadyItem]
    # What waiting enrollments or the next one lack, each named.
    missing: list[ReadyItem]

    @property
    def ready(self) -> int:
        return sum(item.is_ok for item in self.items)

    @property
    def total(self) -> int:
        return len(self.items)

    @property
    def is_whole(self) -> bool:
        """Whether bank, tax and currency are told too, not the role alone."""
        return self.total > 1


@dataclass(frozen=True)
class PlaceRow:
    """A location for one reader."""

    location: Location
    coverage: ShownCoverage
    readiness: Readiness
    # Enrollments of the reader's scope: under way or in force, and in force.
    open: int
    enrolled: int


def readiness(
    gaps: Iterable[Gap],
    *,
    enrollment: Enrollment | None = None,
    role: ReadyItem = ReadyItem("role", is_ok=True),
) -> Readiness:
    """Say what an enrollment needs, each in place or missing: the one rule of it.

    Without a bank profile there is no currency either; with one that was returned there
    is. What is missing leads to the page of `enrollment` that mends it.
    """
    return _of_four(
        role,
        [
            ReadyItem(
                gap.part,
                is_ok=False,
                sentence=gap.sentence,
                url=_page_of(enrollment, gap) if enrollment else "",
                way=_MEND[gap.code],
                gap=gap.code,
            )
            for gap in gaps
        ],
    )


def _of_four(role: ReadyItem, lacking: list[ReadyItem]) -> Readiness:
    parts = {item.code for item in lacking}
    if any(one.code == "bank" and one.gap != "bank_returned" for one in lacking):
        parts.add("currency")
    return Readiness(
        items=[role]
        + [ReadyItem(part, is_ok=part not in parts) for part in [*PARTS][1:]],
        missing=([] if role.is_ok else [role]) + lacking,
    )


def place_rows(locations: Iterable[Location], *, user, at: datetime) -> list[PlaceRow]:
    """Return what one reader sees of locations; annotated by with_coverage().

    Bank, tax and currency are said where the reader may see profiles (C3, C5): of the
    enrollments to finish, asked where Submit asks; where none is begun, of what the
    next one would begin with. Everybody else reads of the role.
    """
    locations = list(locations)
    lacking = _lacking(locations, user=user, at=at)
    counts = {
        row["location"]: row
        for row in Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_VIEW)
        .filter(location__in=locations)
        .open()
        .order_by()
        .values("location")
        .annotate(
            total=Count("pk"),
            enrolled=Count("pk", filter=Q(status=EnrollmentStatus.ENROLLED)),
        )
    }
    rows = []
    for location in locations:
        role = _role_at(location)
        counted = counts.get(location.pk, {"total": 0, "enrolled": 0})
        rows.append(
            PlaceRow(
                location=location,
                coverage=shown_coverage(location.coverage),
                readiness=(
                    _of_four(role, lacking[location.pk])
                    if location.pk in lacking
                    else Readiness([role], [] if role.is_ok else [role])
                ),
                open=counted["total"],
                enrolled=counted["enrolled"],
            )
        )
    return rows


def places_not_ready(
    held: HeldRoles, *, location: Location | None = None, at: datetime, most: int
) -> list[tuple[Location, Readiness]]:
    """Return the first locations whose next enrollment would lack something.

    Those of a company whose profiles the reader may change by the roles they hold; an
    enrollment that is begun there is said where enrollments are.
    """
    asked = _not_ready(
        held.shape, given_if("location", location), timezone.localdate(at), most
    )
    found = []
    for row in asked.ask(**held.given, location=location and location.pk):
        facts = dict(zip(_NOT_READY, row, strict=True))
        own = {name: facts.pop(name) for name in ("pk", "name", "partner_id")}
        found.append(Location(**own, partner_account=held.account))
        vars(found[-1]).update(facts)
    has_banks = _companies_with_banks(found)
    role = ReadyItem("role", is_ok=True)
    return [(one, _of_four(role, _next_lacking(one, has_banks))) for one in found]


# What is said of each: of the location, and what its next enrollment begins with.
_NOT_READY = (
    "pk",
    "name",
    "partner_id",
    "next_bank",
    "next_tax",
    "next_bank_gap",
    "next_tax_gap",
    "next_currency_gap",
)


@planned_for("company", where=reaches_all(Permission.PROFILE_EDIT))
def _not_ready(
    held: HeldRoles, location: Given | None, on: date, most: int
) -> QuerySet[Location]:
    places = Location.objects.where_held(held, Permission.PROFILE_EDIT).active()
    if location is not None:
        places = places.filter(pk=location)
    begun = Enrollment.objects.of_company(held.account).filter(status__in=EDITABLE)
    return (
        with_next_gaps(places, on=on)
        # All of them once, by their index, not each location's.
        .exclude(pk__in=begun.order_by().values("location"))
        .exclude(next_bank_gap="", next_tax_gap="", next_currency_gap="")
        .order_by("name", "pk")
        .values_list(*_NOT_READY)[:most]
    )


def _role_at(location: Location) -> ReadyItem:
    if location.coverage >= Coverage.ONE_PERSON:
        return ReadyItem("role", is_ok=True)
    is_nobody = location.coverage == Coverage.NOBODY
    return ReadyItem(
        "role", is_ok=False, sentence=_NOBODY if is_nobody else _SOME_PROGRAMS
    )


def _lacking(
    locations: list[Location], *, user, at: datetime
) -> dict[int, list[ReadyItem]]:
    """What is missing of bank, tax and currency; no key where it is not the reader's."""
    enrollments = list(
        Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_EDIT)
        .filter(location__in=locations, status__in=EDITABLE)
        .select_related("terms__fiscal_year__calendar", "terms__program")
        .order_by("enroll_by", "pk")
    )
    payouts = payout_at(enrollments, at=at)
    found: dict[int, dict[str, ReadyItem]] = {}
    for enrollment in enrollments:
        known = found.setdefault(enrollment.location_id, {})
        for gap in gaps_of(payouts[enrollment.pk]):
            (item,) = readiness([gap], enrollment=enrollment).missing
            known.setdefault(gap.code, item)
    seen = (
        Location.objects.where_user_may(user, Permission.PROFILE_VIEW)
        .active()
        .filter(pk__in=[one.pk for one in locations if one.pk not in found])
    )
    others = list(
        with_next_gaps(seen, on=timezone.localdate(at)).select_related(
            "partner_account"
        )
    )
    has_banks = _companies_with_banks(others)
    return {
        key: [known[code] for code in GAPS if code in known]
        for key, known in found.items()
    } | {one.pk: _next_lacking(one, has_banks) for one in others}


def _companies_with_banks(locations: list[Location]) -> set[int]:
    """Of which companies there is a bank profile that could become the default."""
    if not any(one.next_bank_gap for one in locations):
        return set()
    companies = {one.partner_account_id for one in locations}
    return set(
        BankProfile.objects.in_use()
        .filter(partner_account__in=companies)
        .order_by()
        .values_list("partner_account", flat=True)
    )


def _next_lacking(location: Location, has_banks: set[int]) -> list[ReadyItem]:
    """What the next enrollment would lack, of a location with_next_gaps()."""
    company = location.partner_account
    lacking = []
    for code in (
        location.next_bank_gap,
        location.next_tax_gap,
        location.next_currency_gap,
    ):
        if not code:
            continue
        way, sentence = _MEND[code], GAPS[code].sentence
        if code == "bank_missing" and location.partner_account_id in has_banks:
            way, sentence = _("Set a default"), _NO_DEFAULT
        elif code == "bank_missing":
            way = _("Add a bank profile")
        lacking.append(
            ReadyItem(
                GAPS[code].part,
                is_ok=False,
                sentence=sentence,
                url=_address(code, location, company, has_banks),
                way=way,
                gap=code,
            )
        )
    return lacking


def _address(
    code: str, location: Location, company: PartnerAccount, has_banks: set[int]
) -> str:
    """Where a profile or a default is added or mended; it leads back to the location."""
    query = {"next": location.get_absolute_url()}
    if code == "bank_missing" and company.pk not in has_banks:
        path = reverse("profiles:new_bank")
    elif code in ("bank_missing", "currency_refused"):
        path, query = reverse("profiles:defaults"), {}
    elif code == "bank_returned":
        # Whoever may not change it reads there who can.
        path = reverse("profiles:bank", kwargs={"pk": location.next_bank})
    elif code == "tax_missing":
        path = reverse("profiles:new_tax")
        query = {"location": location.pk} | query
    else:
        path = reverse("profiles:change_tax", kwargs={"pk": location.next_tax})
    return f"{path}?{urlencode(query)}" if query else path


def _page_of(enrollment: Enrollment, gap: Gap) -> str:
    """Where an enrollment's gap is mended: its page, from the first step on."""
    if not enrollment.is_accepted or gap.code == "method_refused":
        return enrollment.get_absolute_url()
    page = reverse("enrollment:profiles", kwargs={"pk": enrollment.pk})
    return f"{page}#{gap.part}"
