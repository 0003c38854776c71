"""One enrollment as an operator decides it: what was sent, what changed, who may."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.templatetags.portal import moment
from enrollment.eligibility import (
    is_part_validated,
    note_held,
    payout_at,
    payout_of,
)
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.queues import PARTS, part_status
from profiles.checking import Check, checks
from profiles.countries import country_name
from profiles.models import BankProfileVersion, ProfileVersion, TaxProfileVersion
from profiles.review import (
    Claim,
    ComparedDetail,
    NextApproval,
    approval_of,
    claim_of,
    compared,
    end_of,
    shortened,
)
from profiles.services import (
    REVIEW,
    VALIDATE,
    Approval,
    AwaitedApproval,
    awaited_approval,
)
from profiles.states import CURRENT, ShownStatus

# Who sees which details: the second operator of bank accounts sees those alone.
SEES = {"bank": REVIEW, "tax": VALIDATE}
CONFIRMED = {
    "bank": EnrollmentEvent.Code.BANK_CONFIRMED,
    "tax": EnrollmentEvent.Code.TAX_CONFIRMED,
}
# What tells one profile from another; the rest is on the version's own page.
SECTIONS = {"bank": "account", "tax": "company"}


@dataclass(frozen=True)
class Fact:
    """One answer of the partner; numbers are masked (R59)."""

    label: Promise | str
    value: str
    is_number: bool


@dataclass(frozen=True)
class ReviewedVersion:
    """A profile version as this enrollment uses it.

    Without the right to see them (SEES), no details: then `facts` and what follows are empty.
    """

    version: ProfileVersion
    country: str
    earning_types: list[str]
    currencies: list[str]
    in_force: ProfileVersion | None
    facts: list[Fact]
    changes: list[ComparedDetail]
    checks: list[Check]
    # Which approval it waits for, while it is pending.
    awaited: AwaitedApproval | None

    @property
    def is_seconded(self) -> bool:
        """Whether a change of an account in force has its first approval."""
        return self.version.is_pending and bool(
            getattr(self.version, "seconded_by_id", None)
        )


@dataclass(frozen=True)
class Decision:
    """What pressing a part's button does, and the same with going on afterwards."""

    label: str
    label_and_next: str


@dataclass(frozen=True)
class PartReview:
    """The bank or the tax panel: a button to decide it, or a sentence instead."""

    part: str
    name: Promise
    status: ShownStatus
    is_validated: bool
    validated_by: User | None
    validated_at: datetime | None
    versions: list[ReviewedVersion]
    sees_details: bool
    action: Decision | None
    sentence: str

    @property
    def seen(self) -> list[UUID]:
        """The versions on the page, which the decision is about."""
        return [row.version.pk for row in self.versions]


@dataclass(frozen=True)
class EnrollmentReview:
    """The page of one enrollment."""

    enrollment: Enrollment
    is_overdue: bool
    pays_in: str
    pays_to: str
    parts: list[PartReview]
    events: list[EnrollmentEvent]
    # Who is at it; somebody else before the reader.
    claim: Claim | None

    @property
    def claimable(self) -> list[ProfileVersion]:
        """The versions that wait: a claim of the enrollment is one of each."""
        return [
            row.version
            for part in self.parts
            if not part.is_validated
            for row in part.versions
        ]

    @property
    def first_to_decide(self) -> str:
        """The part whose button is the page's primary one; "" when there is none."""
        return next((part.part for part in self.parts if part.action), "")

    @property
    def is_last_decision(self) -> bool:
        """Whether one part is left, so that one goes on to the next after it."""
        return sum(not part.is_validated for part in self.parts) == 1


def review_enrollment(
    enrollment: Enrollment, *, by: User, at: datetime
) -> EnrollmentReview:
    """Return what the page of one enrollment shows to one operator."""
    enrollment = (
        Enrollment.objects.for_pages()
        .select_related("submitted_by")
        .get(pk=enrollment.pk)
    )
    note_held([enrollment])
    events = list(enrollment.events.select_related("by").order_by("-at", "-pk"))
    parts = []
    if enrollment.submitted_at is not None:
        today = enrollment.terms.fiscal_year.calendar.day_at(at)
        rows = payout_of([enrollment], on=today)[enrollment.pk]
        for part in PARTS:
            versions = _reviewed_versions(rows, part, by=by, on=today)
            parts.append(_reviewed_part(enrollment, rows, part, versions, events, by))
    claims = [
        claim_of(row.version, by=by, at=at)
        for part in parts
        if not part.is_validated
        for row in part.versions
    ]
    claims = sorted(filter(None, claims), key=lambda claim: claim.is_own)
    return EnrollmentReview(
        enrollment=enrollment,
        claim=claims[0] if claims else None,
        is_overdue=enrollment.is_overdue(at),
        pays_in=_pays_in(enrollment.terms),
        pays_to=_pays_to(enrollment.terms),
        parts=parts,
        events=events,
    )


def outcome_of(enrollment: Enrollment, *, part: str, by: User, at: datetime) -> str:
    """Say what came of `by` approving a part, or who had decided it already."""
    names = {
        "location": enrollment.location.name,
        "program": enrollment.terms.program.name,
    }
    if enrollment.is_enrolled:
        return _("%(location)s is enrolled in %(program)s.") % names
    if enrollment.is_action_required:
        return _("%(location)s needs the partner again: Action required.") % names
    rows = payout_at([enrollment], at=at)[enrollment.pk]
    if not all(is_part_validated(row, part) for row in rows):
        banks = [row.bank_profile for row in rows if part == "bank"]
        newest = [bank.current_version for bank in banks if bank]
        if cooling := next((one for one in newest if one.is_cooling), None):
            return _(
                "Approved: %(name)s of %(company)s. It is in force from %(moment)s."
            ) % {
                "name": cooling.profile.name,
                "company": cooling.profile.account.name,
                "moment": moment(cooling.usable_from),
            }
        return _(
            "Your approval is the first of two. Another operator has to approve it too."
        )
    validated = (
        enrollment.events.filter(code=CONFIRMED[part])
        .select_related("by")
        .order_by("-at", "-pk")
        .first()
    )
    if validated and validated.by_id not in (None, by.pk):
        return _("%(name)s already decided this, %(moment)s.") % {
            "name": validated.by.full_name,
            "moment": moment(validated.at),
        }
    if part == "bank":
        return _("The bank profile is validated. The tax profile is left.")
    return _("The tax profile is validated. The bank profile is left.")


def _pays_in(terms: ProgramTerms) -> str:
    codes = {"codes": ", ".join(terms.currencies)}
    if not terms.pays_local_currency:
        return _("The program pays in %(codes)s.") % codes
    if not terms.currencies:
        return _("The program pays in the bank's own currency.")
    return _("The program pays in %(codes)s and the bank's own currency.") % codes


def _pays_to(terms: ProgramTerms) -> str:
    if terms.bank_countries:
        return _("The program pays to banks in %(names)s.") % {
            "names": _names(terms.bank_countries)
        }
    if terms.bank_countries_refused:
        return _("The program pays to banks everywhere but in %(names)s.") % {
            "names": _names(terms.bank_countries_refused)
        }
    return _("The program pays to banks everywhere.")


def _names(codes: list[str]) -> str:
    return ", ".join(country_name(code) for code in codes)


def _reviewed_part(
    enrollment: Enrollment,
    rows: list[PayoutAssignment],
    part: str,
    versions: list[ReviewedVersion],
    events: list[EnrollmentEvent],
    by: User,
) -> PartReview:
    seconded = {row.version.pk for row in versions if row.is_seconded}
    is_validated = all(is_part_validated(row, part) for row in rows)
    validated_by, validated_at = _who_validated(versions, CONFIRMED[part], events)
    action, sentence = None, ""
    if not is_validated and enrollment.is_validating:
        action, sentence = _decision(enrollment, versions, part=part, by=by)
    return PartReview(
        part=part,
        name=PARTS[part],
        status=part_status(
            rows,
            part,
            seconded=seconded,
            asked={row.version.pk for row in versions if row.version.is_asked},
        ),
        is_validated=is_validated,
        validated_by=validated_by if is_validated else None,
        validated_at=validated_at if is_validated else None,
        versions=versions,
        sees_details=by.has_perm(SEES[part]),
        action=action,
        sentence=sentence,
    )


def _who_validated(
    versions: list[ReviewedVersion], code: str, events: list[EnrollmentEvent]
) -> tuple[User | None, datetime | None]:
    """By whom and when a part was validated for this enrollment."""
    for event in events:
        if event.code == code:
            return event.by, event.at
    for row in versions:
        if row.version.decided_at is not None:
            return row.version.decided_by, row.version.decided_at
    return None, None


def _decision(
    enrollment: Enrollment, versions: list[ReviewedVersion], *, part: str, by: User
) -> tuple[Decision | None, str]:
    """Return what `by` may decide, if anything, and a sentence."""
    submitters = {row.version.submitted_by_id for row in versions}
    if by.pk in submitters | {enrollment.submitted_by_id}:
        return None, _("You submitted this. Somebody else has to decide it.")
    held = next((row.version for row in versions if row.version.is_held), None)
    if held is not None:
        return None, _why_held(held)
    pending = [row for row in versions if row.version.is_pending]
    for row in pending:
        waited_for = approval_of(row.version, awaited=row.awaited, by=by)
        if waited_for.kind != Approval.ONLY:
            return _decision_of_two(waited_for)
    if not by.has_perm(VALIDATE):
        return None, _("A validator decides this.")
    if pending:
        if part == "bank":
            return Decision(_("Approve bank"), _("Approve bank and next")), ""
        return Decision(_("Approve tax"), _("Approve tax and next")), ""
    sentence = _("Approved before. Confirm it for this enrollment.")
    if part == "bank":
        return Decision(_("Confirm bank"), _("Confirm bank and next")), sentence
    return Decision(_("Confirm tax"), _("Confirm tax and next")), sentence


def _why_held(version: ProfileVersion) -> str:
    """A change that waits for no decision here (docs/adr/0010)."""
    if version.is_stopped:
        return _("This change was stopped. Two operators release it after checking.")
    return _(
        "Approved. It changes the account, so it is in force from %(moment)s by itself."
    ) % {"moment": moment(version.usable_from)}


def _decision_of_two(waited_for: NextApproval) -> tuple[Decision | None, str]:
    """A bank account the company is not paid at yet takes two (domain.md §10.7)."""
    if waited_for.refusal:
        return None, waited_for.refusal
    decision = Decision(waited_for.label, waited_for.label_and_next)
    if waited_for.kind == Approval.FIRST:
        return decision, waited_for.sentence
    signed = _("%(name)s gave the first approval.") % {
        "name": waited_for.first.seconded_by.full_name
    }
    return decision, f"{signed} {waited_for.sentence}"


def _reviewed_versions(
    rows: list[PayoutAssignment], part: str, *, by: User, on: date
) -> list[ReviewedVersion]:
    """The versions that the earning types are paid through, in the types' order."""
    uses: dict[UUID, list[PayoutAssignment]] = {}
    for row in rows:
        key = getattr(row, f"newest_{part}_version")
        if key is not None:
            uses.setdefault(key, []).append(row)
    loaded = {version.pk: version for version in _loaded(rows, part)}
    in_force = {
        version.profile_id: version
        for version in loaded.values()
        if version.is_approved and version.pk not in uses
    }
    sees_details = by.has_perm(SEES[part])
    return [
        _reviewed_version(
            loaded[key],
            uses[key],
            in_force=in_force.get(loaded[key].profile_id),
            sees_details=sees_details,
            on=on,
        )
        for key in uses
    ]


def _loaded(rows: list[PayoutAssignment], part: str) -> QuerySet:
    """The current versions of the profiles used: the newest and the one in force."""
    profiles = {getattr(row, f"used_{part}") for row in rows}
    if part == "bank":
        versions = BankProfileVersion.objects.select_related(
            "profile__partner_account",
            "submitted_by",
            "decided_by",
            "seconded_by",
            "claimed_by",
        )
    else:
        versions = TaxProfileVersion.objects.select_related(
            "profile__location__partner_account",
            "submitted_by",
            "decided_by",
            "claimed_by",
        )
    return versions.filter(profile__in=profiles, status__in=CURRENT).order_by("pk")


def _reviewed_version(
    version: ProfileVersion,
    uses: list[PayoutAssignment],
    *,
    in_force: ProfileVersion | None,
    sees_details: bool,
    on: date,
) -> ReviewedVersion:
    changes = compared(version, in_force) if sees_details and in_force else []
    awaited = awaited_approval(version) if version.is_pending else None
    return ReviewedVersion(
        version=version,
        country=country_name(version.country),
        earning_types=[str(row.earning_type) for row in uses],
        currencies=sorted({row.used_currency for row in uses if row.used_currency}),
        in_force=in_force,
        facts=_facts(version) if sees_details else [],
        changes=[shortened(row) for row in changes if row.is_changed],
        checks=(
            [
                *checks(version, in_force, on=on, awaited=awaited),
                *program_checks(version, uses),
            ]
            if sees_details
            else []
        ),
        awaited=awaited,
    )


def _facts(version: ProfileVersion) -> list[Fact]:
    schema = version.schema
    facts = []
    for field in schema.section(SECTIONS[version.part]) if schema else ():
        value = version.details.get(field.key, "")
        if value:
            shown = end_of(value) if field.is_secret else field.shown(value)
            facts.append(Fact(field.label, shown, field.is_secret))
    return facts


def program_checks(
    version: ProfileVersion, uses: list[PayoutAssignment]
) -> list[Check]:
    """What this program asks beyond what every profile has to fulfil."""
    gaps = {
        gap for row in uses for gap in (row.bank_gap, row.currency_gap, row.tax_gap)
    }
    if version.part == "tax":
        if "tax_incomplete" in gaps:
            return [Check(False, _("Details that this program asks for are missing."))]
        return [Check(True, _("Every detail that this program asks for is there."))]
    country = {"country": country_name(version.country)}
    return [
        Check(False, _("This program cannot pay to banks in %(country)s.") % country)
        if "bank_country" in gaps
        else Check(True, _("This program pays to banks in %(country)s.") % country),
        Check(False, _("This program or the bank does not accept the currency."))
        if gaps & {"currency_refused", "currency_missing"}
        else Check(True, _("This program and the bank accept the currency.")),
    ]
