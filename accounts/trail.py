"""The audit trail in words: who did what, when, for whom and from where.

Read by partners and operators alike; what a partner may not know of outsiders is left
out here, in one place. Names are looked up for a page at once.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import (
    AuditAction,
    AuditEvent,
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RoleSource,
    User,
    scope_words,
)
from accounts.origin import Door
from accounts.roles import Permission, Role

NOTHING = "–"
# Names in one list; the rest is a number.
MOST_NAMED = 5
# What only a machine reads: the fingerprint of a long text, and the key of a row.
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
ROW_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SILENT = frozenset(
    {
        "profile", "bank_profile", "replaces", "message", "file_hash", "step", "lapsed",
        "directory",
    }
)  # fmt: skip

# What happened, without whoever did it: that stands beside it.
SENTENCES = {
    AuditAction.PERSON_ADDED: gettext_lazy("%(person)s was added."),
    AuditAction.PERSON_CHANGED: gettext_lazy("What is known of %(person)s changed."),
    AuditAction.PERSON_LEFT: gettext_lazy("%(person)s was deactivated."),
    AuditAction.ROLE_ASSIGNED: gettext_lazy(
        "%(person)s was given the role %(role)s: %(scope)s."
    ),
    AuditAction.ROLE_REVOKED: gettext_lazy(
        "%(person)s no longer has the role %(role)s: %(scope)s."
    ),
    AuditAction.COMPANY_ADDED: gettext_lazy("The company was added."),
    AuditAction.LOCATION_ADDED: gettext_lazy("The location %(name)s was added."),
    AuditAction.CLOSING_ASKED: gettext_lazy("Closing the location was asked for."),
    AuditAction.CLOSING_WITHDRAWN: gettext_lazy(
        "The wish to close the location was taken back."
    ),
    AuditAction.CLOSING_DECLINED: gettext_lazy("Closing the location was declined."),
    AuditAction.LOCATION_CLOSED: gettext_lazy("The location was closed."),
    AuditAction.PROFILE_SUBMITTED: gettext_lazy("%(thing)s: sent for validation."),
    AuditAction.PROFILE_APPROVED: gettext_lazy("%(thing)s: approved."),
    AuditAction.PROFILE_RETURNED: gettext_lazy("%(thing)s: returned for correction."),
    AuditAction.PROFILE_IN_FORCE: gettext_lazy(
        "%(thing)s: the changed account is in force."
    ),
    AuditAction.PROFILE_STOPPED: gettext_lazy("%(thing)s: the change was stopped."),
    AuditAction.PROFILE_RELEASED: gettext_lazy(
        "%(thing)s: the stopped change was checked and released."
    ),
    AuditAction.PROFILE_WITHDRAWN: gettext_lazy("%(thing)s: the change was withdrawn."),
    AuditAction.PROFILE_ARCHIVED: gettext_lazy("%(thing)s: archived."),
    AuditAction.REVIEW_CLAIMED: gettext_lazy("%(thing)s: claimed for review."),
    AuditAction.REVIEW_RELEASED: gettext_lazy("%(thing)s: the claim was released."),
    AuditAction.REVIEW_ESCALATED: gettext_lazy("%(thing)s: the review was escalated."),
    AuditAction.REVIEW_ADVISED: gettext_lazy(
        "%(thing)s: the escalated review was answered."
    ),
    AuditAction.QUESTION_ASKED: gettext_lazy(
        "%(thing)s: the program owner asked a question."
    ),
    AuditAction.QUESTION_ANSWERED: gettext_lazy(
        "%(thing)s: the question was answered."
    ),
    AuditAction.REASON_ADDED: gettext_lazy(
        "A reason for returning profiles was added."
    ),
    AuditAction.REASON_CHANGED: gettext_lazy(
        "A reason for returning profiles was changed."
    ),
    AuditAction.REASON_RETIRED: gettext_lazy(
        "A reason for returning profiles was retired."
    ),
    AuditAction.REASON_REVIVED: gettext_lazy(
        "A reason for returning profiles was taken back into use."
    ),
    AuditAction.NUMBER_SHOWN: gettext_lazy("%(thing)s: the whole number was shown."),
    AuditAction.DOCUMENT_OPENED: gettext_lazy("A document was opened by an operator."),
    AuditAction.DEFAULT_SET: gettext_lazy("A default bank profile was set."),
    AuditAction.DEFAULT_REMOVED: gettext_lazy("The default bank profile was removed."),
    AuditAction.AGREEMENT_RECORDED: gettext_lazy("A partner agreement was recorded."),
    AuditAction.AGREEMENT_ENDED: gettext_lazy("The partner agreement was terminated."),
    AuditAction.TERMS_DEFINED: gettext_lazy("The terms of a program were changed."),
    AuditAction.TERMS_DRAFT_BEGUN: gettext_lazy(
        "A draft of a program's terms was begun."
    ),
    AuditAction.TERMS_DRAFT_CHANGED: gettext_lazy(
        "A draft of a program's terms was changed."
    ),
    AuditAction.TERMS_DRAFT_DISCARDED: gettext_lazy(
        "A draft of a program's terms was thrown away."
    ),
    AuditAction.PROGRAM_ADDED: gettext_lazy("A program was added."),
    AuditAction.PROGRAM_CHANGED: gettext_lazy("A program was changed."),
    AuditAction.CRITERION_ADDED: gettext_lazy("A criterion was added."),
    AuditAction.CRITERION_CHANGED: gettext_lazy("A criterion was changed."),
    AuditAction.CALENDAR_ADDED: gettext_lazy("A fiscal calendar was added."),
    AuditAction.CALENDAR_CHANGED: gettext_lazy(
        "A fiscal calendar was called something else."
    ),
    AuditAction.YEAR_ADDED: gettext_lazy("A fiscal year was added."),
    AuditAction.GUIDE_ADDED: gettext_lazy("A program guide was added."),
    AuditAction.GUIDE_REMOVED: gettext_lazy("A program guide was taken away."),
    AuditAction.PROGRAM_DISCONTINUED: gettext_lazy("A program was discontinued."),
    AuditAction.INVITED_ANEW: gettext_lazy("The location was invited anew."),
    AuditAction.INVITATIONS_SENT: gettext_lazy("Invitations to a program were sent."),
    AuditAction.VALUES_UPLOADED: gettext_lazy(
        "A file of measured values was uploaded."
    ),
    AuditAction.VALUES_RELEASED: gettext_lazy(
        "A held import of measured values was let through."
    ),
    AuditAction.VALUES_CANCELED: gettext_lazy(
        "An import of measured values was canceled."
    ),
    AuditAction.VALUES_IMPORTED: gettext_lazy("Measured values were imported."),
    AuditAction.VALUES_UNDONE: gettext_lazy("An import of measured values was undone."),
    AuditAction.PART_ASKED: gettext_lazy(
        "%(email)s was asked to fill in bank or tax details."
    ),
    AuditAction.PART_FILLED: gettext_lazy(
        "Bank or tax details were filled in for an Incentives admin to check."
    ),
    AuditAction.PART_USED: gettext_lazy(
        "Bank or tax details that a colleague filled in were checked and gone on with."
    ),
    AuditAction.PART_ENDED: gettext_lazy(
        "Bank or tax details that a colleague was to fill in were put aside."
    ),
    AuditAction.FEED_MADE: gettext_lazy("%(person)s made an address for a calendar."),
    AuditAction.FEED_ENDED: gettext_lazy("%(person)s ended the address of a calendar."),
    AuditAction.INVITATION_HANDED_OVER: gettext_lazy(
        "An invitation to enroll was handed over to %(person)s."
    ),
    AuditAction.REQUIREMENT_DISPUTED: gettext_lazy(
        "The company disputes what is known of an eligibility requirement."
    ),
    AuditAction.DISPUTE_ANSWERED: gettext_lazy(
        "A disputed eligibility requirement was answered."
    ),
    AuditAction.EXTENSION_ASKED: gettext_lazy(
        "The company asked for more time to enroll."
    ),
    AuditAction.EXTENSION_ANSWERED: gettext_lazy(
        "A request for more time to enroll was answered."
    ),
    AuditAction.PAYOUT_CONFIRMED: gettext_lazy(
        "The payout details of an enrollment were confirmed."
    ),
    AuditAction.MAIL_RESENT: gettext_lazy("A mail was sent again."),
    AuditAction.TOKEN_CREATED: gettext_lazy(
        "A key for the company's directory was made: %(name)s."
    ),
    AuditAction.TOKEN_REVOKED: gettext_lazy(
        "A key of the company's directory was revoked: %(name)s."
    ),
    AuditAction.GROUP_ADDED: gettext_lazy("The directory added the group %(group)s."),
    AuditAction.GROUP_CHANGED: gettext_lazy(
        "The directory changed the group %(group)s."
    ),
    AuditAction.GROUP_REMOVED: gettext_lazy(
        "The directory removed the group %(group)s."
    ),
    AuditAction.GROUP_MAPPED: gettext_lazy(
        "The group %(group)s now gives the role %(role)s: %(scope)s."
    ),
    AuditAction.GROUP_UNMAPPED: gettext_lazy(
        "The group %(group)s no longer gives the role %(role)s: %(scope)s."
    ),
    AuditAction.TENANT_REGISTERED: gettext_lazy(
        "Signing in with Microsoft Entra ID was set up."
    ),
    AuditAction.TENANT_CHANGED: gettext_lazy(
        "Signing in with Microsoft Entra ID was changed."
    ),
    AuditAction.APP_ROLE_ASKED: gettext_lazy(
        "The app role %(app_role)s is to give the role %(role)s: %(scope)s. A second "
        "operator has to approve it."
    ),
    AuditAction.APP_ROLE_MAPPED: gettext_lazy(
        "The app role %(app_role)s now gives the role %(role)s: %(scope)s."
    ),
    AuditAction.APP_ROLE_UNMAPPED: gettext_lazy(
        "The app role %(app_role)s no longer gives the role %(role)s: %(scope)s."
    ),
    AuditAction.SIGN_IN_CONNECTED: gettext_lazy(
        "%(person)s connected signing in with Microsoft Entra ID."
    ),
    AuditAction.SIGN_IN_DISCONNECTED: gettext_lazy(
        "%(person)s disconnected signing in with Microsoft Entra ID."
    ),
    AuditAction.SIGN_IN_REFUSED: gettext_lazy(
        "A sign-in with Microsoft Entra ID was refused."
    ),
    AuditAction.PASSWORD_CHANGED: gettext_lazy("The password of %(person)s changed."),
    AuditAction.SECOND_FACTOR_ADDED: gettext_lazy(
        "%(person)s has a new second factor."
    ),
    AuditAction.SECOND_FACTOR_REMOVED: gettext_lazy(
        "A second factor of %(person)s was removed."
    ),
    AuditAction.RECOVERY_CODES_MADE: gettext_lazy(
        "New recovery codes were made for %(person)s."
    ),
    AuditAction.RECOVERY_CODE_USED: gettext_lazy("%(person)s used a recovery code."),
    AuditAction.SESSIONS_ENDED: gettext_lazy("Sessions of %(person)s were ended."),
    AuditAction.COLLEAGUE_INVITED: gettext_lazy(
        "%(email)s was invited to the role %(role)s."
    ),
    AuditAction.INVITATION_RESENT: gettext_lazy(
        "The invitation of a colleague was sent again."
    ),
    AuditAction.INVITATION_REVOKED: gettext_lazy(
        "The invitation of %(email)s was withdrawn."
    ),
    AuditAction.INVITATION_ACCEPTED: gettext_lazy(
        "The invitation of %(email)s was accepted."
    ),
    AuditAction.INVITATION_EXPIRED: gettext_lazy(
        "The invitation of a colleague expired."
    ),
    AuditAction.ACCESS_REQUESTED: gettext_lazy(
        "%(person)s asked for the role %(role)s: %(scope)s."
    ),
    AuditAction.ACCESS_GRANTED: gettext_lazy(
        "The request of %(person)s was granted: %(role)s, %(scope)s."
    ),
    AuditAction.ACCESS_DECLINED: gettext_lazy(
        "The request of %(person)s was declined: %(role)s, %(scope)s."
    ),
    AuditAction.ACCESS_LAPSED: gettext_lazy("A request for access lapsed."),
    AuditAction.RECOVERY_REQUESTED: gettext_lazy(
        "%(person)s asked the program owner to become Global admin."
    ),
    AuditAction.RECOVERY_REVIEWED: gettext_lazy(
        "The program owner checked the evidence of %(person)s."
    ),
    AuditAction.RECOVERY_STOPPED: gettext_lazy(
        "The request of %(person)s to become Global admin was stopped."
    ),
    AuditAction.RECOVERY_DECLINED: gettext_lazy(
        "The program owner declined the request of %(person)s to become Global admin."
    ),
    AuditAction.RECOVERY_LAPSED: gettext_lazy("A request for recovery lapsed."),
    AuditAction.ADMIN_RECOVERED: gettext_lazy(
        "The program owner made %(person)s Global admin, since nobody else could."
    ),
    AuditAction.FACTOR_RESET_ASKED: gettext_lazy(
        "It was said that %(person)s has lost every second factor."
    ),
    AuditAction.FACTOR_RESET_VOUCHED: gettext_lazy(
        "Somebody made sure that it is %(person)s who lost the second factors."
    ),
    AuditAction.FACTOR_RESET_STOPPED: gettext_lazy(
        "%(person)s stopped the reset of their second factors."
    ),
    AuditAction.FACTOR_RESET_DECLINED: gettext_lazy(
        "The reset of the second factors of %(person)s was declined."
    ),
    AuditAction.FACTOR_RESET_LAPSED: gettext_lazy(
        "The request to reset the second factors of %(person)s lapsed."
    ),
    AuditAction.FACTORS_RESET: gettext_lazy(
        "The second factors of %(person)s were reset."
    ),
}
REFUSED = gettext_lazy("Access was refused: %(wanted)s.")
REFUSED_OFTEN = gettext_lazy(
    "Access was refused more than %(times)s times in ten minutes; the rest is not "
    "listed."
)

# What somebody wanted who was refused.
WANTED = {
    Permission.ENROLLMENT_KNOW: gettext_lazy("programs and enrollments"),
    Permission.ENROLLMENT_VIEW: gettext_lazy("programs and enrollments"),
    Permission.ENROLLMENT_SEE_PROGRESS: gettext_lazy("programs and enrollments"),
    Permission.ENROLLMENT_EDIT: gettext_lazy("changing an enrollment"),
    Permission.REQUIREMENT_VIEW: gettext_lazy("the requirements of a program"),
    Permission.PROFILE_KNOW: gettext_lazy("bank and tax profiles"),
    Permission.PROFILE_VIEW: gettext_lazy("bank and tax profiles"),
    Permission.PROFILE_EDIT: gettext_lazy("changing a bank or tax profile"),
    Permission.LOCATION_VIEW: gettext_lazy("a location"),
    Permission.LOCATION_EDIT: gettext_lazy("adding or closing a location"),
    Permission.PERSON_VIEW: gettext_lazy("people and their roles"),
    Permission.PERSON_EDIT: gettext_lazy("adding or deactivating people"),
    Permission.ROLE_ASSIGN: gettext_lazy("giving or ending roles"),
    Permission.PROVISIONING_EDIT: gettext_lazy("the company's directory"),
    Permission.ACTIVITY_VIEW: gettext_lazy("the company's activity"),
    "sign_in": gettext_lazy("signing in with a wrong password"),
    "second_factor": gettext_lazy("signing in with a wrong code"),
    "token": gettext_lazy("a key that is revoked or has expired"),
    "owned": gettext_lazy("a message or invitation of somebody else"),
    "directory": gettext_lazy("a person or group of another company"),
}
# Where nobody knows yet who it is.
UNKNOWN_YET = frozenset({"sign_in", "second_factor"})
OPERATORS_ONLY = gettext_lazy("a page of the program owner")
NOT_OPEN = gettext_lazy("a page that is not open to them")

# What stands before and after, where no field of the record has the name.
LABELS = {
    "applied": gettext_lazy("Carried out"),
    "ended": gettext_lazy("Ended"),
    "expires_at": gettext_lazy("Valid until"),
    "expires_on": gettext_lazy("Last day"),
    "group": gettext_lazy("Group"),
    "groups": gettext_lazy("Groups"),
    "invited": gettext_lazy("Invited"),
    "kind": gettext_lazy("Kind"),
    "mails": gettext_lazy("Mails"),
    "part": gettext_lazy("Part"),
    "people": gettext_lazy("People"),
    "places": gettext_lazy("Where"),
    "reasons": gettext_lazy("Reasons"),
    "rehearsal": gettext_lazy("Rehearsal"),
    "roles_ended": gettext_lazy("Roles ended"),
    "rows": gettext_lazy("Enrollments"),
    "sessions": gettext_lazy("Sessions"),
    "superuser": gettext_lazy("Superuser"),
    "version": gettext_lazy("Version"),
    "year": gettext_lazy("Fiscal year"),
    "without_admin": gettext_lazy("Without an Incentives admin"),
}
WORDS = {
    "totp": gettext_lazy("Authenticator app"),
    "webauthn": gettext_lazy("Passkey"),
    "recovery_codes": gettext_lazy("Recovery codes"),
    "bank": gettext_lazy("Bank profile"),
    "tax": gettext_lazy("Tax profile"),
}


@dataclass(frozen=True)
class Change:
    """One thing that was something else before; either side may be empty."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class TrailRow:
    """One event as people read it."""

    event: AuditEvent
    who: str
    on_behalf_of: str
    what: str
    about: str
    changes: list[Change]
    came_by: str
    came_from: str

    @property
    def facts(self) -> str:
        """What came new, in one line, where nothing was something else before."""
        if any(change.before for change in self.changes):
            return ""
        return _joined(*(f"{one.label}: {one.after}" for one in self.changes))

    @property
    def is_refusal(self) -> bool:
        return self.event.action == AuditAction.ACCESS_DENIED

    @property
    def kind(self) -> str:
        return str(AuditAction(self.event.action).label)


def trail_rows(
    events: Iterable[AuditEvent], *, company: PartnerAccount | None
) -> list[TrailRow]:
    """Say events in words; for the people of `company`, or for operators if None."""
    events = list(events)
    reader = _Reader(events, company)
    return [reader.row(event) for event in events]


def in_batches(
    events: Iterator[AuditEvent], *, company: PartnerAccount | None, size: int
) -> Iterator[TrailRow]:
    """Say any number of events in words, a batch of them at a time."""
    while batch := list(islice(events, size)):
        yield from trail_rows(batch, company=company)


class _Reader:
    """Words for a page of events; every kind of name is asked for once."""

    def __init__(self, events: list[AuditEvent], company: PartnerAccount | None):
        self.company = company
        self.insiders = self._insiders(events) if company else set()
        asked: dict[str, set[int]] = defaultdict(set)
        for event in events:
            for values in (event.before, event.after):
                _collect(values, asked)
        self.people = _names(User, asked["person"] | asked["people"], "full_name")
        self.locations = _named_rows(Location, asked["location"])
        self.programs = _named_rows(IncentiveProgram, asked["program"])
        self.program_of = _programs_of(events)

    def row(self, event: AuditEvent) -> TrailRow:
        is_outside = self._is_outside(event)
        told = event.before | event.after
        return TrailRow(
            event=event,
            who=self._who(event, is_outside=is_outside),
            on_behalf_of=self._behalf(event, is_outside=is_outside),
            what=self._what(event, told),
            about=self._about(event, told),
            changes=list(self._changes(event)),
            came_by=_came_by(event, for_operators=self.company is None),
            came_from="" if is_outside else _joined(event.device, event.place),
        )

    # --- Who ----------------------------------------------------------------------

    def _insiders(self, events: list[AuditEvent]) -> set[int]:
        """The people of these events who are or were of the company."""
        people = {
            key
            for event in events
            for key in (event.actor_id, event.on_behalf_of_id, event.person_id)
        }
        members = Membership.objects.filter(
            partner_account=self.company, user__in=people - {None}
        )
        return set(members.order_by().values_list("user_id", flat=True))

    def _is_outside(self, event: AuditEvent) -> bool:
        """Whether somebody acted whom the company does not know."""
        if self.company is None:
            return False
        if event.actor_id is None:
            return event.after.get("wanted") == "directory"
        return not event.actor.is_staff and event.actor_id not in self.insiders

    def _who(self, event: AuditEvent, *, is_outside: bool) -> str:
        if is_outside:
            return _("Somebody outside your company")
        if event.actor_id is None and event.after.get("wanted") in UNKNOWN_YET:
            return _("Somebody who did not sign in")
        if event.actor_id is None:
            return event.actor_name or _("The portal")
        return self._person(event.actor)

    def _behalf(self, event: AuditEvent, *, is_outside: bool) -> str:
        if is_outside or event.on_behalf_of_id is None:
            return ""
        return self._person(event.on_behalf_of)

    def _person(self, person: User) -> str:
        if self.company is not None and person.is_staff:
            return _("The program owner")
        return person.full_name

    def _person_of(self, event: AuditEvent, told: dict[str, Any]) -> str:
        if event.person_id is not None:
            is_known = self.company is None or event.person_id in self.insiders
            return event.person.full_name if is_known else _("somebody")
        return self.people.get(told.get("person"), "") or _("somebody")

    # --- What ---------------------------------------------------------------------

    def _what(self, event: AuditEvent, told: dict[str, Any]) -> str:
        if event.action == AuditAction.ACCESS_DENIED:
            return _refused(event)
        sentence = SENTENCES.get(AuditAction(event.action))
        if sentence is None:
            label = str(AuditAction(event.action).label)
            return f"{label}: {event.person.full_name}" if event.person_id else label
        if event.action == AuditAction.COLLEAGUE_INVITED and not told.get("role"):
            sentence = INVITED_WITHOUT_ROLE
        return sentence % {
            "person": self._person_of(event, told),
            "role": _role(told.get("role")),
            "scope": self._scope(told),
            "thing": _thing(event),
            "name": told.get("name") or NOTHING,
            "group": event.after.get("group") or event.before.get("group") or NOTHING,
            "email": told.get("email") or NOTHING,
            "app_role": told.get("app_role") or NOTHING,
        }

    def _scope(self, told: dict[str, Any]) -> str:
        return str(
            scope_words(
                self.locations.get(told.get("location")),
                self.programs.get(told.get("program")),
            )
        )

    def _about(self, event: AuditEvent, told: dict[str, Any]) -> str:
        """The place and the program, where the sentence does not say them."""
        if event.action in SCOPED or event.action == AuditAction.LOCATION_ADDED:
            return ""
        place = event.location.name if event.location_id else ""
        program = self.program_of.get((event.object_type, event.object_id), "")
        thing = ""
        if event.action == AuditAction.ACCESS_DENIED:
            thing = _thing(event) if event.object_type != "page" else ""
            if event.person_id:
                thing = self._person_of(event, told)
        return _joined(thing, place, program)

    # --- Before and after -----------------------------------------------------------

    def _changes(self, event: AuditEvent) -> Iterator[Change]:
        model = _model_of(event)
        if event.action == AuditAction.ACCESS_DENIED:
            return
        said = SAID.get(event.action, frozenset({"person", "location"}))
        for name in {**event.before, **event.after}:
            if name in said or name in SILENT:
                continue
            field = _field(model, name)
            label = LABELS.get(name) or (field and capfirst(field.verbose_name))
            if not label:
                continue
            before, after = (
                self._value(name, values.get(name), field)
                for values in (event.before, event.after)
            )
            if before != after:
                yield Change(str(label), before, after)

    def _value(self, name: str, value: Any, field) -> str:
        if value is None or value in ("", [], {}):
            return ""
        if isinstance(value, bool):
            return _("Yes") if value else _("No")
        if name == "role":
            return _role(value)
        if name == "source":
            return _choice(RoleSource.choices, value)
        if name == "reasons":
            return str(len(value))
        if name == "digest":
            return str(value)
        if isinstance(value, dict):
            words = getattr(field and field.model, "words_of_codes", {})
            value = {str(words.get(code, code)): one for code, one in value.items()}
        if name == "people" and isinstance(value, list):
            return self._people(value)
        if name == "places":
            return "; ".join(self._scope(place) for place in value[:MOST_NAMED])
        if name == "location":
            return getattr(self.locations.get(value), "name", "")
        if name == "program":
            return getattr(self.programs.get(value), "name", "")
        return _plain(value, field)

    def _people(self, keys: list[int]) -> str:
        names = [self.people[key] for key in keys if key in self.people]
        line, rest = ", ".join(names[:MOST_NAMED]), len(keys) - len(names[:MOST_NAMED])
        if rest <= 0:
            return line
        return ngettext(
            "%(people)s and %(count)d more", "%(people)s and %(count)d more", rest
        ) % {"people": line, "count": rest}


INVITED_WITHOUT_ROLE = gettext_lazy("%(email)s was invited, without a role.")

# What a sentence says already of each action.
SCOPED = frozenset(
    action for action, sentence in SENTENCES.items() if "%(scope)s" in str(sentence)
)
SAID = {
    action: frozenset(
        {"person", "location"}
        | ({"location", "program"} if action in SCOPED else set())
        | {
            name
            for name in ("role", "name", "email", "group", "app_role")
            if f"%({name})s" in str(sentence)
        }
    )
    - ({"group"} if action == AuditAction.GROUP_CHANGED else set())
    for action, sentence in SENTENCES.items()
}


def _refused(event: AuditEvent) -> str:
    if "times" in event.after:
        return str(REFUSED_OFTEN) % {"times": event.after["times"]}
    wanted = event.after.get("wanted", "")
    words = WANTED.get(wanted)
    if words is None:
        is_operators = "." in wanted or event.object_id.startswith(("ops:", "admin:"))
        words = OPERATORS_ONLY if is_operators else NOT_OPEN
    return str(REFUSED) % {"wanted": words}


def _came_by(event: AuditEvent, *, for_operators: bool) -> str:
    """The door, where it is not the portal's own; operators know tasks by name."""
    if event.door not in (Door.TASK, Door.COMMAND):
        return ""
    label = capfirst(str(Door(event.door).label))
    return f"{label}: {event.door_name}" if for_operators else label


def _collect(values: dict[str, Any], asked: dict[str, set[int]]) -> None:
    for name in ("person", "location", "program"):
        if isinstance(values.get(name), int):
            asked[name].add(values[name])
    # Where there are many, only how many.
    if isinstance(values.get("people"), list):
        asked["people"].update(values["people"])
    for place in values.get("places") or []:
        if isinstance(place, dict):
            _collect(place, asked)


def _names(model: type[Model], keys: set[int], name: str) -> dict[int, str]:
    if not keys:
        return {}
    rows = model._default_manager.filter(pk__in=keys).order_by()
    return dict(rows.values_list("pk", name))


def _named_rows(model: type[Model], keys: set[int]) -> dict[int, Model]:
    return model._default_manager.in_bulk(keys) if keys else {}


def _programs_of(events: list[AuditEvent]) -> dict[tuple[str, str], str]:
    """The names of the programs that rows are about, one question for each table."""
    keys: dict[str, set[str]] = defaultdict(set)
    for event in events:
        keys[event.object_type].add(event.object_id)
    names = {}
    for object_type, wanted in keys.items():
        model = _model(object_type)
        scope = model and getattr(model._default_manager.all(), "scope", None)
        if scope is None or not scope.program:
            continue
        rows = model._default_manager.filter(pk__in=wanted).order_by()
        for key, name in rows.values_list("pk", f"{scope.program}__name"):
            names[object_type, str(key)] = name
    return names


def _model(object_type: str) -> type[Model] | None:
    try:
        return apps.get_model(object_type)
    except (LookupError, ValueError):
        return None


def _model_of(event: AuditEvent) -> type[Model] | None:
    """The model whose fields name what changed: a draft's are those of the terms."""
    return _model(event.object_type.replace(".termsdraft", ".programterms"))


def _thing(event: AuditEvent) -> str:
    """What kind of record it is, a version by what it is a version of."""
    model = _model(event.object_type.removesuffix("version")) or _model_of(event)
    return capfirst(str(model._meta.verbose_name)) if model else NOTHING


def _field(model: type[Model] | None, name: str):
    if model is None:
        return None
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if hasattr(field, "verbose_name") else None


def _role(value: Any) -> str:
    return str(Role(value).label) if value in Role.values else NOTHING


def _choice(choices: Iterable[tuple[str, Any]], value: Any) -> str:
    return str(dict(choices).get(value, NOTHING))


def _plain(value: Any, field) -> str:
    """A value for people: days written as days, choices by their names, no codes."""
    if isinstance(value, list):
        return ", ".join(_plain(one, None) for one in value[:MOST_NAMED])
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(one, None)}" for name, one in value.items())
    if isinstance(value, str) and ROW_KEY.fullmatch(value):
        return ""
    if isinstance(value, str) and FINGERPRINT.fullmatch(value):
        return _("another text")
    if field is not None and getattr(field, "flatchoices", None):
        return _choice(field.flatchoices, value)
    if isinstance(value, str) and value in WORDS:
        return str(WORDS[value])
    if isinstance(value, str) and (day := _day(value)):
        return day
    return str(value)


def _day(text: str) -> str:
    """A day or moment as it is written here; nothing for any other text."""
    try:
        at: datetime | date | None = parse_datetime(text) if "T" in text else None
        at = localtime(at) if at else parse_date(text)
    except ValueError:
        return ""
    if at is None:
        return ""
    return date_format(at, "Y-m-d H:i" if isinstance(at, datetime) else "Y-m-d")


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))
