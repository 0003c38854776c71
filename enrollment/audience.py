"""Whom a campaign invites and writes to, who is left out, and why; nothing changes.

Each is a question about locations or people, so that one row and a million are the
same question, and the page, the count that is confirmed and the run ask the same.
"""

import re
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import (
    Location,
    MailStatus,
    PartnerAccount,
    UndeliverableAddress,
    User,
)
from accounts.roles import Permission, roles_with
from accounts.scoping import holds_now
from accounts.time_limits import at_length
from enrollment.eligibility import (
    continuing,
    eligible_locations,
    is_offered_in,
    locations_to_invite,
)
from enrollment.models import (
    Campaign,
    CampaignStatus,
    Enrollment,
    Invitation,
    ProgramTerms,
)

# What operators may write of a recipient, and what it says.
VARIABLES: dict[str, Promise] = {
    "name": _("the person's first name"),
    "company": _("the company, or the companies"),
    "program": _("the program"),
    "year": _("the fiscal year"),
    "enroll_by": _("the last day to enroll"),
}
_BRACED = re.compile(r"\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class UnknownVariable:
    """Something in braces that no mail can fill in."""

    line: int
    text: str


def unknown_variables(words: str) -> list[UnknownVariable]:
    """Return what stands in braces and is none of VARIABLES, with its line."""
    return [
        UnknownVariable(number, found[0])
        for number, line in enumerate(words.splitlines(), start=1)
        for found in _BRACED.finditer(line)
        if found[1] not in VARIABLES
    ]


def problems_of_words(campaign: Campaign) -> list[str]:
    """Say which variables of a campaign's words are unknown, by language and line."""
    return [
        gettext("%(language)s, line %(line)d: %(text)s is unknown.")
        % {"language": gettext(name), "line": one.line, "text": one.text}
        for code, name in settings.LANGUAGES
        for one in unknown_variables(campaign.words(code))
    ]


def filled_in(words: str, values: dict[str, str]) -> list[str]:
    """Return an operator's words as paragraphs, with the variables' values."""
    paragraphs = re.split(r"\n\s*\n", words.replace("\r\n", "\n").strip())
    return [
        _BRACED.sub(lambda found: values.get(found[1] or "", found[0]), one)
        for one in paragraphs
        if one.strip()
    ]


def chosen(locations: QuerySet[Location], campaign: Campaign) -> QuerySet[Location]:
    """Narrow locations to those that a campaign's filters choose."""
    return locations.filter(_choice(campaign))


def _choice(campaign: Campaign) -> Q:
    """What a campaign's filters ask of a location; nothing where it has none."""
    choice = Q()
    if campaign.countries:
        choice &= Q(country__in=campaign.countries)
    if campaign.partner_ids:
        # By key: asked row by row, a list of companies costs a join of everything.
        companies = PartnerAccount.objects.filter(partner_id__in=campaign.partner_ids)
        choice &= Q(partner_id__in=campaign.partner_ids) | Q(
            partner_account__in=list(companies.values_list("pk", flat=True))
        )
    return choice


def audience(campaign: Campaign, *, on: date) -> QuerySet[Location]:
    """Return the locations a campaign would invite on a day (R18, R28, R29)."""
    return chosen(locations_to_invite(campaign.terms, on=on), campaign)


def audience_to_write(
    campaign: Campaign, *, on: date, after: int, upto: int | None
) -> QuerySet[Location]:
    """Return audience() of a range of keys, with those that are enrolled already.

    For writing in ranges, where a constraint keeps what is there: asking "and has none
    yet" in every range reads everything written before, again and again.
    """
    terms = campaign.terms
    eligible = eligible_locations(terms, on=on, after=after, upto=upto)
    if ProgramTerms.objects.filter(succession__following=terms).exists():
        within = {"gt": after} if upto is None else {"gt": after, "lte": upto}
        eligible = eligible.exclude(Exists(continuing(terms.pk, within=within)))
    return chosen(eligible, campaign)


def end_of_range(campaign: Campaign, *, after: int, size: int) -> int | None:
    """Return the last key of so many locations that a campaign asks; None: the rest."""
    asked = chosen(Location.objects.active(), campaign).filter(pk__gt=after)
    return asked.order_by("pk").values_list("pk", flat=True)[size - 1 : size].first()


def with_holders(
    locations: QuerySet[Location], terms: ProgramTerms
) -> QuerySet[Location]:
    """Return one row for each location and role that may enroll it, with `holder`."""
    assignment = "partner_account__role_assignments"
    return locations.annotate(
        holder=F(f"{assignment}__user"),
        _assignment=F(assignment),
        _only_location=F(f"{assignment}__location"),
        _only_program=F(f"{assignment}__program"),
    ).filter(
        Q(_only_location=None) | Q(_only_location=F("pk")),
        Q(_only_program=None) | Q(_only_program=terms.program_id),
        holds_now("_assignment", roles=roles_with(Permission.ENROLLMENT_EDIT)),
    )


def not_told(campaign: Campaign, *, on: date) -> QuerySet[Enrollment]:
    """Return what a campaign that was stopped invited, and what still can be answered.

    Whoever may enroll there and got no mail of it is written to by the next one.
    """
    stopped = Campaign.objects.filter(
        terms=campaign.terms_id,
        status=CampaignStatus.STOPPED,
        began_at=OuterRef("invited_at"),
    )
    asked = chosen(Location.objects.active(), campaign).order_by()
    return Enrollment.objects.to_answer().filter(
        Exists(stopped),
        terms=campaign.terms_id,
        enroll_by__gte=on,
        location__in=asked.values("pk"),
    )


def mailed() -> QuerySet[Invitation]:
    """Return the invitations whose mail was not canceled before it left."""
    return Invitation.objects.exclude(email__status=MailStatus.CANCELED)


def _holders_not_told(campaign: Campaign, *, on: date) -> QuerySet[Location]:
    """Return one row for each location of not_told() and who waits for a mail of it."""
    left = not_told(campaign, on=on)
    told = mailed().filter(
        enrollment__terms=campaign.terms_id,
        enrollment__location=OuterRef("pk"),
        user=OuterRef("holder"),
    )
    locations = Location.objects.filter(pk__in=left.order_by().values("location"))
    return with_holders(locations, campaign.terms).exclude(Exists(told))


def people_of(campaign: Campaign, *, on: date) -> QuerySet[User]:
    """Return whom a campaign would write to on a day: one mail each."""
    return User.objects.filter(pk__in=_holders_of(campaign, on=on))


def count_people(campaign: Campaign, *, on: date) -> int:
    """Count people_of(), without a look at each: joined with everybody, PostgreSQL
    takes them for few and compares each with each.
    """
    return _holders_of(campaign, on=on).count()


def _holders_of(
    campaign: Campaign, *, on: date, among: list[int] | None = None
) -> QuerySet:
    theirs = Q() if among is None else Q(holder__in=among)
    pairs = with_holders(audience(campaign, on=on), campaign.terms).filter(theirs)
    holders = pairs.order_by().values("holder")
    if not campaign.follows_a_stopped_one:
        return holders.distinct()
    left = _holders_not_told(campaign, on=on).filter(theirs).order_by()
    return holders.union(left.values("holder"))


def locations_of(campaign: Campaign, person: User, *, on: date) -> QuerySet[Location]:
    """Return the locations that the mail to one person would list, in its order."""
    covered = with_holders(Location.objects.active(), campaign.terms)
    # By key: taken for an average company's ten, PostgreSQL holds each of a large one's
    # thousands against everything.
    keys = list(
        covered.filter(holder=person.pk).order_by().values_list("pk", flat=True)
    )
    theirs = audience(campaign, on=on).filter(pk__in=keys).order_by().values("pk")
    if campaign.follows_a_stopped_one:
        left = _holders_not_told(campaign, on=on).filter(holder=person.pk)
        theirs = theirs.union(left.order_by().values("pk"))
    return in_their_order(Location.objects.filter(pk__in=theirs))


def in_their_order(locations: QuerySet[Location]) -> QuerySet[Location]:
    """Put locations in the order in which mails and pages list them."""
    return locations.select_related("partner_account").order_by(
        "partner_account__name", "name", "pk"
    )


# --- Who is left out, and why ----------------------------------------------------------

REASONS: dict[str, Promise] = {
    "nobody": _("Invited, but nobody can enroll there: the admins are told instead"),
    "filter": _("Eligible, but not chosen by the campaign's filters"),
    "enrolled": _("Invited or enrolled already"),
    "continues": _("Continues from the year before, once the year end has run"),
    "requirements": _("Does not meet a requirement of the program"),
    "country": _("The program is not offered in that country"),
}


def left_out(campaign: Campaign, reason: str, *, on: date) -> QuerySet[Location]:
    """Return the locations that get no mail for one of REASONS; each has one."""
    terms = campaign.terms
    if reason == "country":
        return Location.objects.active().exclude(Exists(_here(terms)))
    if reason == "requirements":
        eligible = eligible_locations(terms, on=on).filter(pk=OuterRef("pk"))
        return _offered(terms).exclude(Exists(eligible))
    enrolled = Enrollment.objects.filter(terms=terms, location=OuterRef("pk"))
    if reason == "enrolled":
        found = eligible_locations(terms, on=on).filter(Exists(enrolled))
        if campaign.follows_a_stopped_one:
            left = _holders_not_told(campaign, on=on).order_by().values("pk")
            keys = found.order_by().values("pk").difference(left)
            found = Location.objects.filter(pk__in=keys)
        return found
    if reason == "continues":
        return eligible_locations(terms, on=on).filter(
            ~Exists(enrolled), Exists(continuing(terms.pk))
        )
    to_invite = locations_to_invite(terms, on=on)
    if reason == "filter":
        choice = _choice(campaign)
        return to_invite.exclude(choice) if choice else to_invite.none()
    # As a join: looking each up in a list of all the others takes their number squared.
    covered = with_holders(Location.objects.active(), terms).filter(pk=OuterRef("pk"))
    return audience(campaign, on=on).exclude(Exists(covered))


def _offered(terms: ProgramTerms) -> QuerySet[Location]:
    return Location.objects.active().filter(Exists(_here(terms)))


def _here(terms: ProgramTerms) -> QuerySet[ProgramTerms]:
    return ProgramTerms.objects.filter(is_offered_in(OuterRef("country")), pk=terms.pk)


def comes_back(mail: str = "") -> Exists:
    """Whether mail comes back from the address that a mail's reader has now.

    `mail` is the path to the mail.
    """
    return Exists(
        UndeliverableAddress.objects.filter(address=OuterRef(f"{mail}to_user__email"))
    )


@dataclass(frozen=True)
class Reach:
    """How many a campaign would reach on a day, and how many not."""

    locations: int
    people: int
    left_out: dict[str, int]
    # Invited by a campaign that was stopped: who got no mail of it is in `people`.
    locations_not_told: int
    # People whose address mail came back from: they are counted, and get none.
    unreachable: int


@at_length()
def reach_of(campaign: Campaign, *, on: date) -> Reach:
    """Count a campaign's audience, and who is left out by reason.

    Counts what left_out() and people_of() list. Not one count a reason: each would ask
    anew what is measured of every location. What changes while it counts shows as one
    fewer or more, never as less than none.
    """
    terms = campaign.terms
    offered = _offered(terms).order_by().count()
    found = _counted_eligible(campaign, on=on)
    eligible, locations = sum(found.values()), found.get("", 0)
    told = with_holders(audience(campaign, on=on), terms).aggregate(
        people=Count("holder", distinct=True), locations=Count("pk", distinct=True)
    )
    people, not_told = told["people"], 0
    if campaign.follows_a_stopped_one:
        people = count_people(campaign, on=on)
        left = _holders_not_told(campaign, on=on).order_by()
        not_told = left.values("pk").distinct().count()
        found["enrolled"] = left_out(campaign, "enrolled", on=on).order_by().count()
    active = Location.objects.active().order_by().count()
    return Reach(
        locations=locations,
        people=people,
        left_out={
            "nobody": max(0, locations - told["locations"]),
            "filter": found.get("filter", 0),
            "enrolled": found.get("enrolled", 0),
            "continues": found.get("continues", 0),
            "requirements": max(0, offered - eligible),
            "country": max(0, active - offered),
        },
        locations_not_told=not_told,
        unreachable=_count_unreachable(campaign, on=on),
    )


def _counted_eligible(campaign: Campaign, *, on: date) -> dict[str, int]:
    """Count the eligible locations by why they get no mail; "" of those it is for."""
    terms = campaign.terms
    enrolled = Enrollment.objects.filter(terms=terms, location=OuterRef("pk"))
    choice = _choice(campaign)
    not_chosen = [When(~choice, then=Value("filter"))] if choice else []
    why = Case(
        When(Exists(enrolled), then=Value("enrolled")),
        When(Exists(continuing(terms.pk)), then=Value("continues")),
        *not_chosen,
        default=Value(""),
    )
    eligible = eligible_locations(terms, on=on).order_by()
    counted = eligible.values_list(why).annotate(number=Count("pk"))
    return dict(counted)


def _count_unreachable(campaign: Campaign, *, on: date) -> int:
    """Count people_of() to whom no mail gets; they are few among all, and asked for first."""
    bad = UndeliverableAddress.objects.filter(address=OuterRef("email"))
    people = list(User.objects.filter(Exists(bad)).values_list("pk", flat=True))
    return _holders_of(campaign, on=on, among=people).count() if people else 0
