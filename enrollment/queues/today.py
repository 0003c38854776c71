"""The queues of the Today page: how many wait in each, and since when."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import (
    Count,
    DateTimeField,
    Exists,
    Min,
    OuterRef,
    QuerySet,
    Value,
)
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.kept import kept
from accounts.models import (
    TIME_TO_OBJECT,
    TIME_TO_STOP,
    FactorReset,
    Location,
    OutgoingEmail,
    RecoveryRequest,
    RecoveryState,
    ResetState,
    TenantRoleMapping,
)
from accounts.roles import Role
from accounts.scoping import live_assignments
from enrollment import services
from enrollment.eligibility import (
    why_not_inviting,
)
from enrollment.models import (
    Campaign,
    ExtensionRequest,
    RenewalPlan,
    RenewalPlanStatus,
    RequirementDispute,
    SetAside,
    ValueImport,
)
from enrollment.queues.invitations import (
    counted_to_invite,
    day_of,
    invited_without_holder,
    running_terms,
)
from enrollment.queues.waiting import MOST_WAITING, validation_queue
from enrollment.queues.words import age
from enrollment.renewal import years_ending
from profiles.models import (
    BankChangeStop,
    BankProfileVersion,
    ReviewQuestion,
)
from profiles.services import REVIEW

# So often Today asks whether a location is to be invited to a program.
MOST_ASKED = 5_000


@dataclass(frozen=True)
class Queue:
    """One queue of the Today page: how many, since when, where to.

    Without a `count`, its page counts; more than MOST_WAITING is one more than that, and
    since when is told only where the oldest is known.
    """

    name: Promise
    count: int | None
    oldest: datetime | None
    age: str
    url: str
    turn: str

    @property
    def has_more(self) -> bool:
        """Whether there are more than are counted."""
        return self.count is not None and self.count > MOST_WAITING


@dataclass(frozen=True)
class _Asked:
    """A queue whose rows are counted together with those of the others, in one query."""

    name: Promise
    rows: QuerySet
    # The column that says since when; "" where nothing does.
    since: str
    url: str
    turn: str = "you"


# What the queues of Today are told apart by: whoever holds the same sees the same.
TODAYS_RIGHTS = (
    "enrollment.view_enrollment",
    REVIEW,
    "accounts.view_recoveryrequest",
    "accounts.view_companytenant",
    "accounts.view_factorreset",
    "accounts.view_outgoingemail",
    "enrollment.view_programterms",
    "accounts.view_location",
    "enrollment.view_valueimport",
    "enrollment.view_renewalplan",
)


def queues_today(
    at: datetime, *, may: Callable[[str], bool]
) -> tuple[list[Queue], datetime | None]:
    """Return the queues whose page a person may open, and as of when their numbers are.

    `may` answers permissions. Where more waits than is counted they are kept a minute.
    """
    rights = [one for one in TODAYS_RIGHTS if may(one)]
    queues, as_of = kept(
        "today:" + "".join(f"{one in rights:d}" for one in TODAYS_RIGHTS),
        lambda: _queues_of(rights, at),
        at=at,
        is_large=lambda found: any(one.has_more for one in found),
    )
    if as_of is None:
        return queues, None
    # How long something has waited is told now, in the reader's language.
    return [
        replace(one, age=age(one.oldest, at) if one.oldest else "") for one in queues
    ], as_of


def _queues_of(rights: Collection[str], at: datetime) -> list[Queue]:
    may = rights.__contains__
    queues: list[Queue | _Asked] = []
    if may("enrollment.view_enrollment"):
        queues += _validation_queues(at)
    if may(REVIEW):
        queues += _review_queues()
    if may("accounts.view_recoveryrequest"):
        queues += _recovery_queues(at)
    if may("accounts.view_companytenant"):
        queues.append(
            _Asked(
                _("App roles that wait for a second operator"),
                TenantRoleMapping.objects.waiting(),
                "mapped_at",
                reverse("ops:sign_ins"),
            )
        )
    if may("accounts.view_factorreset"):
        # One person vouched for each; the time to stop it is over.
        vouched = FactorReset.objects.open().filter(
            state=ResetState.VOUCHED, asked_at__lte=at - TIME_TO_STOP
        )
        queues.append(
            _Asked(
                _("Lost second factors that wait for a second person"),
                vouched,
                "vouched_at",
                reverse("ops:recoveries"),
            )
        )
    if may("accounts.view_outgoingemail"):
        queues.append(
            _Asked(
                _("Undelivered mail"),
                OutgoingEmail.objects.undelivered(),
                "created_at",
                reverse("ops:mail"),
                "stop",
            )
        )
    if may("enrollment.view_programterms"):
        queues += _invitation_queues(at)
    if may("accounts.view_location"):
        queues.append(
            _Asked(
                _("Locations to close"),
                Location.objects.closing_asked(),
                "closing_asked_at",
                reverse("ops:locations"),
            )
        )
    if may("enrollment.view_valueimport"):
        queues += _eligibility_queues()
    if may("enrollment.view_renewalplan"):
        queues += _year_end_queues(at)
    return _counted(queues, at)


def _counted(queues: list[Queue | _Asked], at: datetime) -> list[Queue]:
    """Count in one query what has not been counted, in the order of the queues."""
    kinds = [
        one.rows.order_by()
        .annotate(place=Value(place))
        .values("place")
        .annotate(
            number=Count("pk"),
            oldest=Min(one.since)
            if one.since
            else Value(None, output_field=DateTimeField()),
        )
        .values_list("place", "number", "oldest")
        for place, one in enumerate(queues)
        if isinstance(one, _Asked)
    ]
    if not kinds:
        return queues
    first, *others = kinds
    found = {
        place: (number, oldest)
        for place, number, oldest in first.union(*others, all=True)
    }
    return [
        _queue(one.name, *found.get(place, (0, None)), one.url, one.turn, at)
        if isinstance(one, _Asked)
        else one
        for place, one in enumerate(queues)
    ]


def _eligibility_queues() -> list[_Asked]:
    """What partners dispute, and files that wait for somebody."""
    return [
        _Asked(
            _("Disputed requirements"),
            RequirementDispute.objects.open(),
            "asked_at",
            reverse("ops:disputes"),
        ),
        _Asked(
            _("Files of measured values that wait"),
            ValueImport.objects.waiting_for_people(),
            "imported_at",
            reverse("ops:imports"),
        ),
    ]


def _validation_queues(at: datetime) -> list[Queue]:
    url = reverse("ops:validation")
    waiting = validation_queue(at).first_some()
    late = validation_queue(at, is_overdue=True)
    are_many = len(waiting) > MOST_WAITING
    overdue = late.first_some() if are_many else late[: MOST_WAITING + 1]
    found = []
    for title, some, address, turn in (
        (_("Overdue for validation"), overdue, f"{url}?overdue=on", "stop"),
        (_("Waiting for validation"), waiting, url, "them"),
    ):
        oldest = some[0][2] if some else None
        found.append(_queue(title, len(some), oldest, address, turn, at))
    return found


def _review_queues() -> list[_Asked]:
    """Second signatures, what was escalated, and changes that somebody stopped."""
    stops = BankChangeStop.objects.open().filter(
        version__in=BankProfileVersion.objects.stopped()
    )
    return [
        _Asked(
            _("Bank accounts that wait for a second operator"),
            BankProfileVersion.objects.signed_once(),
            "seconded_at",
            reverse("ops:second_approvals"),
        ),
        _Asked(
            _("Escalated reviews"),
            ReviewQuestion.objects.open().escalated(),
            "asked_at",
            reverse("ops:escalations"),
        ),
        _Asked(
            _("Bank changes that were stopped"),
            stops,
            "stopped_at",
            reverse("ops:stopped_changes"),
            "stop",
        ),
    ]


def _recovery_queues(at: datetime) -> list[_Asked]:
    """Companies without an admin: for evidence, and for the operator who appoints."""
    asked = RecoveryRequest.objects.open()
    url = reverse("ops:recoveries")
    return [
        _Asked(
            _("Companies that ask for an admin"),
            asked.filter(state=RecoveryState.WAITING),
            "asked_at",
            url,
        ),
        _Asked(
            _("Companies without an admin that wait for a second operator"),
            asked.filter(
                state=RecoveryState.REVIEWED, asked_at__lte=at - TIME_TO_OBJECT
            ),
            "reviewed_at",
            url,
        ),
    ]


def _invitation_queues(at: datetime) -> list[Queue | _Asked]:
    url, campaigns = reverse("ops:invitations"), reverse("ops:campaigns")
    return [
        _nobody_can_enroll(at, url=url),
        _to_invite(at, url=url),
        _Asked(
            _("Campaigns under way"),
            Campaign.objects.under_way(),
            "confirmed_at",
            campaigns,
            "them",
        ),
        _Asked(
            _("Campaigns to confirm anew"),
            Campaign.objects.to_confirm_anew(),
            "",
            campaigns,
        ),
        _Asked(
            _("Requests for more time"),
            ExtensionRequest.objects.open(),
            "asked_at",
            reverse("ops:extensions"),
        ),
    ]


def _nobody_can_enroll(at: datetime, *, url: str) -> Queue:
    """Invited locations that nobody can answer for, looked for where somebody may lack.

    Who holds the role in a whole company covers each location of it.
    """
    whole = live_assignments().filter(
        role=Role.INCENTIVES_ADMIN, location=None, program=None
    )
    uncovered = invited_without_holder().order_by()
    some = list(
        Location.objects.active()
        .exclude(partner_account__in=whole.order_by().values("partner_account"))
        .filter(Exists(uncovered.filter(location=OuterRef("pk"))))
        .order_by()
        .values_list("pk", flat=True)[: MOST_WAITING + 1]
    )
    oldest = None
    if 0 < len(some) <= MOST_WAITING:
        here = uncovered.filter(location__in=some)
        oldest = here.aggregate(oldest=Min("status_since"))["oldest"]
    name = _("Invited locations that nobody can enroll")
    return _queue(name, len(some), oldest, url, "you", at)


def _to_invite(at: datetime, *, url: str) -> Queue:
    """Eligible locations to invite, counted where that is no more than a moment's work.

    Each location is asked for each program: of many the Invitations page counts, program
    by program. Nothing tells since when a location has been eligible.
    """
    running = running_terms(at)
    inviting = [
        terms for terms in running if not why_not_inviting(terms, on=day_of(terms, at))
    ]
    count: int | None = 0
    if inviting:
        most = MOST_ASKED // len(inviting)
        is_much = Location.objects.active().order_by()[: most + 1].count() > most
        count = None if is_much else sum(counted_to_invite(inviting, at).values())
    name = _("Eligible locations to invite")
    return _queue(name, count, None, url, "new", at)


def _year_end_queues(at: datetime) -> list[Queue | _Asked]:
    """What the year end waits for: an approval, an answer to it, decisions."""
    url = reverse("ops:renewals")
    years = years_ending(at, ahead=services.AHEAD, behind=services.BEHIND)
    in_force = years and set(
        RenewalPlan.objects.in_force()
        .filter(into__in=years)
        .order_by()
        .values_list("into", flat=True)
    )
    waiting = [year for year in years if year.pk not in in_force]
    past = [year.begins_at for year in waiting if year.begins_at <= at]
    return [
        _queue(
            _("Year ends without an approved plan"),
            len(waiting),
            min(past, default=None),
            url,
            "stop" if past else "you",
            at,
        ),
        _Asked(
            _("Year-end plans waiting for approval"),
            RenewalPlan.objects.filter(status=RenewalPlanStatus.PROPOSED),
            "proposed_at",
            url,
            "them",
        ),
        _Asked(
            _("Enrollments set aside at the year end"),
            SetAside.objects.undecided(),
            "plan__started_at",
            url,
        ),
        *(_under_way(plan, url=url, at=at) for plan in _running_plans()),
    ]


def _running_plans() -> QuerySet[RenewalPlan]:
    at_work = [RenewalPlanStatus.RUNNING, RenewalPlanStatus.PAUSED]
    return RenewalPlan.objects.filter(status__in=at_work).order_by("started_at")


def _under_way(plan: RenewalPlan, *, url: str, at: datetime) -> Queue:
    left = plan.rows_count - services.renewal_progress(plan).done
    return _queue(
        _("Enrollments left in the year end that is paused")
        if plan.is_paused
        else _("Enrollments left in the year end that runs"),
        max(left, 0),
        plan.started_at,
        plan.get_absolute_url(),
        "stop" if plan.is_paused else "them",
        at,
    )


def _queue(
    name: Promise,
    count: int | None,
    oldest: datetime | None,
    url: str,
    turn: str,
    at: datetime,
) -> Queue:
    oldest = oldest if count else None
    return Queue(
        name=name,
        count=count,
        oldest=oldest,
        age=age(oldest, at) if oldest else "",
        url=url,
        turn="done" if count == 0 else turn,
    )
