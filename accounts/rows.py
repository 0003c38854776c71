"""What the People pages show of a person, a role and a location: rows of plain values."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from urllib.parse import urlencode

from allauth.mfa import app_settings as mfa_settings
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.db.models import Count, Max
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.dates import day
from accounts.devices import device_words
from accounts.directory import linked_tenants
from accounts.models import (
    CompanyTenant,
    Coverage,
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RoleAssignment,
    RoleSource,
    User,
    scope_words,
)
from accounts.reach import (
    ShownCoverage,
    shown_coverage,
)
from accounts.roles import Role

# Names or places in one line; the rest is a number.
MOST_CANDIDATES = 3
MOST_NAMED = 5


@dataclass(frozen=True)
class RoleRow:
    """A role somebody holds: what, where, from whom, until when."""

    assignment: RoleAssignment
    role: str
    where: str
    given_by: str
    can_end: bool

    @property
    def given(self) -> str:
        """Who gave it, and when."""
        return _("given by %(name)s, %(day)s") % {
            "name": self.given_by,
            "day": day(self.assignment.granted_at),
        }


@dataclass(frozen=True)
class PersonRow:
    """A person of the company with the roles held now."""

    member: Membership
    person: User
    is_guest: bool
    roles: list[RoleRow]
    # How many roles are held besides those shown.
    more: int
    # Who added the person, as a line says it.
    added: str
    # What the button that gives a role says to whoever does not see the row.
    assign: str


@dataclass(frozen=True)
class Enroller:
    """Somebody who can enroll a location; programs are named if not all."""

    person: User
    until: date | None
    programs: list[str]


@dataclass(frozen=True)
class GapRow:
    """A location with who can enroll it."""

    location: Location
    coverage: ShownCoverage
    enrollers: list[Enroller]
    more: int
    sentence: str
    # People who look at the location already.
    candidates: list[User]
    # Programs nobody can enroll it in, where the others are covered.
    uncovered: list[IncentiveProgram]
    is_mine: bool

    @property
    def assign(self) -> str:
        """What the button that appoints says to whoever does not see the row."""
        place = {"location": self.location.name}
        return _("an Incentives admin for %(location)s") % place

    @cached_property
    def assign_query(self) -> str:
        """The answers that fill in the form for what is missing here."""
        answers = [("location", self.location.pk)]
        if self.uncovered:
            answers.append(("depth", "some"))
            answers += [("program", program.pk) for program in self.uncovered]
        return urlencode(answers)


@dataclass(frozen=True)
class FactorRow:
    """A passkey or the app, as its owner sees it."""

    pk: int
    name: str
    is_app: bool
    added_at: datetime
    used_at: datetime | None


@dataclass(frozen=True)
class CodesRow:
    """How many recovery codes are left."""

    left: int
    total: int


@dataclass(frozen=True)
class HeldRow:
    """A role of one's own: in which company, what, where, from whom, until when."""

    company: str
    role: RoleRow


@dataclass(frozen=True)
class CompanyRow:
    """A company's directory that may sign somebody in, and whether it does."""

    tenant: CompanyTenant
    company: str
    is_connected: bool


@dataclass(frozen=True)
class TenantUse:
    """How many people a directory signs in, and when it did last."""

    people: int
    last_at: datetime | None


@dataclass(frozen=True)
class CompanyRefusal:
    """Why a company's directory signs nobody in, and what helps."""

    sentence: str
    help: str
    # Whether signing in otherwise may help, and whether it is what helps first.
    leads_to_password: bool = False
    is_password_first: bool = False


@dataclass(frozen=True)
class SessionRow:
    """A place where somebody is signed in."""

    pk: int
    device: str
    place: str
    began_at: datetime
    seen_at: datetime
    is_here: bool


def role_row(assignment: RoleAssignment, *, given: frozenset[Role]) -> RoleRow:
    """Show one role; `given` are the roles the reader may give and end."""
    return RoleRow(
        assignment=assignment,
        role=str(Role(assignment.role).label),
        where=scope_words(assignment.location, assignment.program),
        given_by=_giver_name(assignment),
        can_end=Role(assignment.role) in given,
    )


def _giver_name(assignment: RoleAssignment) -> str:
    if assignment.source != RoleSource.MANUAL:
        return _("Microsoft Entra ID")
    return by_words(assignment.granted_by)


def person_rows(
    members: Iterable[Membership],
    assignments: Iterable[RoleAssignment],
    held: Mapping[int, int],
    *,
    company: PartnerAccount,
    given: frozenset[Role],
) -> list[PersonRow]:
    """Show members with the first of their roles; `held` is how many each person has."""
    roles: dict[int, list[RoleRow]] = {}
    for assignment in assignments:
        row = role_row(assignment, given=given)
        roles.setdefault(assignment.user_id, []).append(row)
    return [
        PersonRow(
            member=member,
            person=member.user,
            is_guest=not company.welcomes(member.user.email),
            roles=roles.get(member.user_id, []),
            more=held.get(member.user_id, 0) - len(roles.get(member.user_id, [])),
            added=_("added by %(name)s") % {"name": by_words(member.added_by)},
            assign=_("a role to %(person)s") % {"person": member.user.full_name},
        )
        for member in members
    ]


def by_words(giver: User | None) -> str:
    """The name of a colleague; the program owner's people have none here."""
    if giver is None or giver.is_staff:
        return _("the program owner")
    return giver.full_name


def gap_row(
    location: Location,
    admins: Iterable[RoleAssignment],
    *,
    people: int | None = None,
    programs: Iterable[IncentiveProgram] = (),
    covered: Container[int] = (),
    readers: Iterable[RoleAssignment] = (),
    is_mine: bool = False,
) -> GapRow:
    """Show who can enroll one location, and in which programs nobody can.

    `admins` are the company's, by name; of many enough to name the first few, if
    `people` says how many there are for all programs. `programs` are those the company knows,
    `covered` the keys of those somebody is there for. `readers` are people who only
    look, here or elsewhere: who knows the location already could be appointed.
    """
    here: dict[int, list[RoleAssignment]] = {}
    for assignment in admins:
        if assignment.location_id in (None, location.pk):
            here.setdefault(assignment.user_id, []).append(assignment)
    enrollers = sorted(
        map(_enroller, here.values()), key=lambda one: bool(one.programs)
    )
    shown = enrollers[:MOST_NAMED]
    unnamed = (people or 0) - sum(not one.programs for one in shown)
    known = [one.user for one in readers if one.location_id == location.pk]
    is_partly = location.coverage == Coverage.SOME_PROGRAMS
    return GapRow(
        location=location,
        coverage=shown_coverage(location.coverage),
        enrollers=shown,
        more=max(len(enrollers) - len(shown), unnamed),
        sentence=_coverage_sentence(location.coverage),
        candidates=[one for one in known if one.pk not in here][:MOST_CANDIDATES],
        uncovered=[one for one in programs if is_partly and one.pk not in covered],
        is_mine=is_mine,
    )


def _enroller(assignments: list[RoleAssignment]) -> Enroller:
    """One person's roles at one location: all programs if one role says so."""
    widest = [one for one in assignments if one.program is None] or assignments
    days = [one.ends_on for one in widest]
    return Enroller(
        person=assignments[0].user,
        until=None if None in days else max(days),
        programs=[one.program.name for one in widest if one.program],
    )


def _coverage_sentence(coverage: int) -> str:
    return {
        Coverage.NOBODY: _("Nobody can enroll this location"),
        Coverage.SOME_PROGRAMS: _("Nobody can enroll it in the other programs"),
        Coverage.ONE_PERSON: _("One person can enroll this location"),
    }.get(Coverage(coverage), "")


def gap_warnings(left: dict[Coverage, list[Location]]) -> list[str]:
    """Say which locations ending a role would leave without an Incentives admin."""
    sentences = {
        Coverage.NOBODY: _(
            "This would leave %(location)s without an Incentives admin."
        ),
        Coverage.SOME_PROGRAMS: _(
            "This would leave %(location)s with an Incentives admin for some programs "
            "only."
        ),
    }
    return [
        sentences[coverage]
        % {"location": places_named([location.name for location in locations])}
        for coverage, locations in sorted(left.items())
    ]


def places_named(places: list[str], *, separator: str = ", ") -> str:
    """Several places as one line, the first few of them by name."""
    line = separator.join(places[:MOST_NAMED])
    rest = len(places) - MOST_NAMED
    if rest <= 0:
        return line
    return ngettext(
        "%(places)s and %(count)d more", "%(places)s and %(count)d more", rest
    ) % {"places": line, "count": rest}


# --- One's own account ----------------------------------------------------------------


def factor_rows(factors: Iterable[Authenticator]) -> list[FactorRow]:
    """Show passkeys and the app."""
    rows = []
    for factor in factors:
        is_app = factor.type == Authenticator.Type.TOTP
        rows.append(
            FactorRow(
                pk=factor.pk,
                name=_("Authenticator app") if is_app else factor.data["name"],
                is_app=is_app,
                added_at=factor.created_at,
                used_at=factor.last_used_at,
            )
        )
    return rows


def recovery_codes_row(user: User) -> CodesRow | None:
    """Count the recovery codes a person has left; None when there never were any."""
    codes = Authenticator.objects.filter(
        user=user, type=Authenticator.Type.RECOVERY_CODES
    ).first()
    if codes is None:
        return None
    used = codes.data["used_mask"].bit_count()
    total = mfa_settings.RECOVERY_CODE_COUNT
    return CodesRow(left=total - used, total=total)


def held_rows(user: User) -> list[HeldRow]:
    """Show the roles a person holds now, in every company."""
    held = (
        RoleAssignment.objects.live()
        .filter(user=user)
        .select_related("partner_account", "location", "program", "granted_by")
        .order_by("partner_account__name", "role", "location__name", "pk")
    )
    return [
        HeldRow(one.partner_account.name, role_row(one, given=frozenset()))
        for one in held
    ]


def session_rows(
    sessions: Iterable[UserSession], *, current_key: str
) -> list[SessionRow]:
    """Show where somebody is signed in: here first, then the last seen."""
    rows = [
        SessionRow(
            pk=session.pk,
            device=device_words(session.user_agent),
            place=session.ip,
            began_at=session.created_at,
            seen_at=session.last_seen_at,
            is_here=session.session_key == current_key,
        )
        for session in sessions
    ]
    return sorted(rows, key=lambda row: (row.is_here, row.seen_at), reverse=True)


def company_rows(user: User) -> list[CompanyRow]:
    """Show the directories of a person's companies."""
    connected = {tenant.pk for tenant in linked_tenants(user)}
    tenants = CompanyTenant.objects.active().of_member(user)
    return [
        CompanyRow(tenant, tenant.partner_account.name, tenant.pk in connected)
        for tenant in tenants.select_related("partner_account").prefetch_related(
            "domains"
        )
    ]


def last_use(tenant: CompanyTenant) -> TenantUse:
    """Count who has connected a directory, and say when somebody last came through it."""
    links = SocialAccount.objects.filter(provider=tenant.provider_id)
    return TenantUse(**links.aggregate(people=Count("pk"), last_at=Max("last_login")))


def company_refusal(reason: str, *, tenant: CompanyTenant) -> CompanyRefusal:
    """Say why nobody was signed in; nothing of what the directory said is repeated."""
    company = {"company": tenant.partner_account.name}
    ask_admin = _("Ask a Global admin of %(company)s.") % company
    refusals = {
        "cancelled": CompanyRefusal(
            _("You did not finish signing in with Microsoft."), "", True
        ),
        "state": CompanyRefusal(
            _("This answer does not belong to what you asked here, or it is too old."),
            _("Begin again on this page, in this browser."),
            True,
        ),
        "provider": CompanyRefusal(
            _("The directory of %(company)s does not answer now.") % company,
            _("Try again in a few minutes, or sign in with your password."),
            True,
        ),
        "known": CompanyRefusal(
            _("There is an account with your address here, and it is not connected."),
            _(
                "Sign in as you did so far, or set a password with “Forgot your "
                "password?”. Then connect Microsoft under Your account: an address "
                "alone proves nothing."
            ),
            True,
            True,
        ),
        "guest": CompanyRefusal(
            _("The directory of %(company)s knows you as a guest.") % company,
            _(
                "It adds people with the company's own addresses only. If you have an "
                "account here, sign in as you did so far and connect Microsoft under "
                "Your account."
            ),
            True,
            True,
        ),
        "no_role": CompanyRefusal(
            _("The directory of %(company)s gives you no role here.") % company,
            ask_admin,
        ),
        "left": CompanyRefusal(
            _("You do not belong to %(company)s here any more.") % company, ask_admin
        ),
        "elsewhere": CompanyRefusal(
            _("You belong to several companies here."),
            _(
                "The directory of one of them cannot sign you in for all: sign in with "
                "your password or a passkey."
            ),
            True,
            True,
        ),
        "operator": CompanyRefusal(
            _("Operators do not sign in through a company."),
            _("Sign in with your password or a passkey."),
            True,
            True,
        ),
        "another_person": CompanyRefusal(
            _("The Microsoft account is another person's than the one signed in here."),
            _("Choose your own account there, and try again."),
        ),
        "not_asked": CompanyRefusal(
            _("The directory of %(company)s did not say that it asked you anew.")
            % company,
            _(
                "Its administrator adds the optional claim auth_time to the ID token. "
                "Until then, choose a password through “Forgot your password?”: it "
                "proves who you are after you signed in with Microsoft."
            ),
        ),
    }
    return refusals.get(
        reason,
        CompanyRefusal(
            _("What the directory of %(company)s said could not be believed.")
            % company,
            _("Nobody was signed in, and it was written down."),
            True,
        ),
    )
