"""What a page says that says no: which role is missing where, who has it, who gives it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.db.models import Exists, Max, Model, OuterRef, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.holders import (
    appointers,
    needs_recovery,
    operators_with,
    people_with,
    place_of,
    roles_given_by,
)
from accounts.models import (
    IncentiveProgram,
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.operators import groups_with
from accounts.request_forms import AccessRequestForm
from accounts.roles import (
    COMPANY_WIDE_ROLES,
    INCENTIVE_ROLES,
    Permission,
    Role,
    role_to_ask_for,
    roles_that_grant,
    roles_with,
)
from accounts.scoping import live_assignments

# People in one list; the rest is a number.
MOST_NAMED = 10
# So long links in mails and bookmarks lead to what a role was for; a page that is not
# there much later is rather an address that was typed wrong.
LATELY = timedelta(days=90)


@dataclass(frozen=True)
class Named:
    """Some people in a sentence's list, and how many more there are."""

    sentence: str
    people: list[User]
    more: int = 0


@dataclass(frozen=True)
class Refusal:
    """A refusal in words: what is missing, and the people to turn to."""

    sentence: str
    lists: list[Named]
    # Where the reader can give the missing role, to somebody or to themselves.
    assign_url: str = ""
    # Where the reader asks for it, filled in as far as it is known.
    ask_url: str = ""
    # Where the reader asks the program owner, when nobody in the company can give it.
    recovery_url: str = ""


def refusal_for(
    reader: User, permission: Permission, *, company: PartnerAccount, row: Model | None
) -> Refusal:
    """Say which role is missing for which location, who has it and who can give it.

    Without a row only admins are named: who gives the role, and who has what is about
    people and the company (R15). On a row that the reader knows of, everybody (R7).
    """
    wanted = sorted(roles_with(permission), key=list(Role).index)
    location, program = place_of(row) if row is not None else (None, None)
    lists = []
    holders = _holders(permission, wanted, company=company, row=row)
    if holders:
        lists.append(_named(_("These people have it:"), holders))
    elif row is not None:
        lists.append(Named(_("Nobody has it there yet."), []))
    givers = [one for one in _givers(wanted, company) if one != reader]
    if givers:
        lists.append(_named(_("These people can give it:"), givers))
    elif not roles_given_by(reader, company).intersection(wanted):
        nobody = (
            _("Nobody in your company can give it.")
            if holders
            else _("Nobody in your company can give it. The program owner helps you.")
        )
        lists.append(Named(nobody, []))
    # Whoever has it can do it: nobody asks for papers to look at a page.
    recovery_url = (
        reverse("accounts:recovery")
        if not holders and needs_recovery(reader, company)
        else ""
    )
    assign_url = _assign_url(reader, wanted, company=company, location=location)
    ask_url = _ask_url(permission, company=company, location=location, program=program)
    return Refusal(
        sentence=_missing(wanted, company=company, location=location, program=program),
        lists=lists,
        assign_url=assign_url,
        ask_url="" if assign_url or not givers else ask_url,
        recovery_url="" if assign_url or givers else recovery_url,
    )


@dataclass(frozen=True)
class EndedRoles:
    """Roles the reader had, a sentence each, and what would bring them back."""

    sentences: list[str]
    refusal: Refusal


def ended_roles(
    reader: User, permission: Permission, *, on: type[Model], company: PartnerAccount
) -> EndedRoles | None:
    """Say which of the reader's roles that showed them rows ended lately; or None.

    Only the reader's own roles are looked at, not whether there is such a row: the
    answer is the same for one of the company, of another one, and of nobody (R16).
    """
    roles = roles_with(on._default_manager.all().view_permission)
    held = RoleAssignment.objects.of_company(company).filter(
        user=reader, role__in=roles
    )
    still = held.live().covering(OuterRef("location"), OuterRef("program"))
    since = timezone.now() - LATELY
    gone = held.filter(
        ~Exists(still),
        Q(revoked_at=None) | Q(revoked_at__gte=since),
        Q(ends_on=None) | Q(ends_on__gte=timezone.localdate(since)),
    )
    # What was given twice is said once.
    newest = (
        gone.order_by()
        .values("role", "location", "program")
        .annotate(newest=Max("pk"))
        .order_by("-newest")
        .values("newest")[:MOST_NAMED]
    )
    said = RoleAssignment.objects.filter(pk__in=newest).order_by("-pk")
    sentences = [
        _("You no longer have the role %(role)s: %(place)s.")
        % {"role": Role(one.role).label, "place": one.where}
        for one in said.select_related("location", "program")
    ]
    if not sentences:
        return None
    return EndedRoles(
        sentences=sentences,
        refusal=refusal_for(reader, permission, company=company, row=None),
    )


def operator_refusal(permission: str) -> Refusal:
    """Say which group of operators may do this, and who is in it."""
    groups, people = groups_with(permission), operators_with(permission)
    return Refusal(
        sentence=_("This is for operators in the group %(groups)s.")
        % {"groups": _either(groups)}
        if groups
        else _("This is for the portal's superusers."),
        lists=[
            _named(_("These people are in it:"), people)
            if people
            else Named(_("Nobody is in it yet. A superuser decides who is."), [])
        ]
        if groups
        else [],
    )


def _holders(
    permission: Permission,
    roles: list[Role],
    *,
    company: PartnerAccount,
    row: Model | None,
) -> list[User]:
    """The people to name as those who can do it."""
    if row is None and INCENTIVE_ROLES.intersection(roles):
        return []
    holders = people_with(permission, company=company, row=row)
    if row is not None:
        return holders
    known = set(appointers(company))
    return [one for one in holders if one in known]


def _missing(
    roles: list[Role],
    *,
    company: PartnerAccount,
    location: Location | None,
    program: IncentiveProgram | None,
) -> str:
    words = {"role": _either([str(role.label) for role in roles])}
    if location is None:
        return _("In %(company)s you need the role %(role)s.") % (
            words | {"company": company.name}
        )
    if program is None:
        return _("You need the role %(role)s for %(location)s.") % (
            words | {"location": location.name}
        )
    return _("You need the role %(role)s for %(location)s, %(program)s.") % (
        words | {"location": location.name, "program": program.name}
    )


def _givers(roles: Iterable[Role], company: PartnerAccount) -> list[User]:
    """The people who give any of the roles."""
    granting = frozenset[Role]().union(*(roles_that_grant(role) for role in roles))
    givers = live_assignments().filter(partner_account=company, role__in=granting)
    return list(
        User.objects.filter(pk__in=givers.values("user_id")).order_by("full_name", "pk")
    )


def _assign_url(
    reader: User,
    roles: list[Role],
    *,
    company: PartnerAccount,
    location: Location | None,
) -> str:
    """Where the reader gives the missing role, filled in as far as it is known."""
    given = [role for role in roles if role in roles_given_by(reader, company)]
    if not given:
        return ""
    answers = {"role": given[0], "person": reader.pk}
    if location is not None and given[0] not in COMPANY_WIDE_ROLES:
        answers["location"] = location.pk
    return f"{reverse('accounts:assign')}?{urlencode(answers)}"


def _ask_url(
    permission: Permission,
    *,
    company: PartnerAccount,
    location: Location | None,
    program: IncentiveProgram | None,
) -> str:
    """Where the reader asks for the least role that would do."""
    role = role_to_ask_for(permission)
    if role is None:
        return ""
    answers = {"role": role.value}
    if role in COMPANY_WIDE_ROLES:
        answers["location"] = AccessRequestForm.WHOLE_COMPANY
    elif location is not None:
        answers["location"] = location.pk
        if program is not None:
            answers["program"] = program.pk
    return f"{reverse('accounts:request_access')}?{urlencode(answers)}"


def _named(sentence: str, people: Iterable[User]) -> Named:
    people = list(people)
    return Named(sentence, people[:MOST_NAMED], more=len(people[MOST_NAMED:]))


def _either(names: list[str]) -> str:
    """Names of which one is enough: "A, B or C"."""
    if len(names) < 2:
        return "".join(names)
    return _("%(names)s or %(last)s") % {
        "names": ", ".join(names[:-1]),
        "last": names[-1],
    }
