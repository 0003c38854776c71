"""What the portal writes about enrollments: one function per event.

Each chooses its readers and queues the mail in the caller's transaction; the reader's
language and the frame are the outbox's. No mail holds a bank or tax number.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import lazy
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts import outbox
from accounts.companies import path_in
from accounts.dates import full_day
from accounts.holders import (
    appointers,
    people_with,
)
from accounts.models import (
    AccessRequest,
    Location,
    MailTopic,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Permission
from accounts.templatetags.mails import line
from accounts.templatetags.portal import listed
from enrollment.audience import filled_in
from enrollment.clock import clock_for, clock_of
from enrollment.eligibility import Gap, gaps_of
from enrollment.models import (
    CalendarFeed,
    DisputeOutcome,
    Enrollment,
    EnrollmentBatch,
    ExtensionRequest,
    Invitation,
    PayoutAssignment,
    ProgramTerms,
    RequirementDispute,
)
from enrollment.versions import promise_words
from profiles.models import BankProfileVersion, Profile, ProfileVersion
from profiles.reasons import explained

# Of how many enrollments one mail tells one by one.
MOST_TOLD = 100
# Their examples are a company's name.
NAME_REASONS = frozenset({"BANK_NAME_MISMATCH", "TAX_NAME_MISMATCH"})


def invitation_sent(
    user: User,
    invitations: list[Invitation],
    *,
    terms: ProgramTerms,
    payouts: dict[object, list[PayoutAssignment]],
) -> OutgoingEmail:
    """Prepare the invitation to one person, listing all their locations (R18, R19).

    `payouts` are the enrollments' annotated assignments. The link of its button only
    navigates; the role at sign-in gives the right.
    """
    context, path = invitation_facts(invitations, terms=terms, payouts=payouts)
    # Somebody invited anew is told anew.
    invited_at = invitations[0].enrollment.invited_at.isoformat()
    return outbox.prepare(
        "invitation",
        to=user,
        dedupe_key=f"invitation:{invitations[0].pk}:{invited_at}",
        context=context,
        about_url=path,
        mutes=muting(terms),
    )


def invitation_facts(
    invitations: list[Invitation],
    *,
    terms: ProgramTerms,
    payouts: dict[object, list[PayoutAssignment]],
    words: str = "",
    name: str = "",
) -> tuple[dict[str, Any], str]:
    """Return what the invitation to one person says, and the path it leads to.

    `words` are an operator's own, of a campaign, with variables; `name` fills one. The
    reader's language has to be the active one.
    """
    enrollments = [invitation.enrollment for invitation in invitations]
    companies = dict.fromkeys(
        enrollment.location.partner_account for enrollment in enrollments
    )
    rows = [
        {
            "location": enrollment.location,
            "gaps": gaps_of(payouts[enrollment.pk]),
        }
        for enrollment in enrollments
    ]
    path = path_in(
        enrollments[0].location.partner_account,
        "enrollment:get_started",
        pk=invitations[0].pk,
    )
    company_names = [company.name for company in companies]
    enroll_by = min(enrollment.enroll_by for enrollment in enrollments)
    values = words and {
        "name": line(name),
        "company": line(listed(company_names)),
        "program": line(terms.program.name),
        "year": str(terms.fiscal_year),
        "enroll_by": full_day(enroll_by),
    }
    context = {
        "invitation_subject": invitation_subject(terms),
        "sender_name": terms.sender_name,
        "promise": lazy(promise_words, str)(terms.validation_hours),
        "company_names": company_names,
        "location_names": [row["location"].name for row in rows],
        "program": terms.program,
        "year": terms.fiscal_year,
        "rows": rows,
        "words": filled_in(words, values) if values else [],
        "enroll_by": enroll_by,
        "clock": clock_of(terms, on=terms.today(), last_day=enroll_by),
        "url": settings.PUBLIC_BASE_URL + path,
    }
    return context, path


def _invitation_subject(terms: ProgramTerms) -> str:
    """The program's own subject in the active language, else the usual one (R19)."""
    own = getattr(terms, f"invitation_subject_{get_language()}", "")
    return own or str(settings.INVITATION_SUBJECT)


# Said when the mail is written, in its reader's language.
invitation_subject = lazy(_invitation_subject, str)


def muting(terms: ProgramTerms) -> str:
    """What the List-Unsubscribe of an invitation switches off (experience.md §6.2)."""
    return f"{MailTopic.REMINDERS}:{terms.program_id}"


def nobody_can_enroll(
    account: PartnerAccount,
    *,
    locations: list[Location],
    terms: ProgramTerms,
    at: datetime,
) -> None:
    """Tell the Global and Account admins that an invitation reaches nobody (rule 74)."""
    path = path_in(account, "accounts:gaps")
    keys = ",".join(str(location.pk) for location in locations) + at.isoformat()
    event = hashlib.sha256(keys.encode()).hexdigest()[:32]
    for admin in appointers(account):
        outbox.queue(
            "nobody_can_enroll",
            to=admin,
            dedupe_key=f"nobody_can_enroll:{terms.pk}:{event}:{admin.pk}",
            context={
                "company": account,
                "locations": locations,
                "program": terms.program,
                "sender_name": terms.sender_name,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )


def enrollment_submitted(
    enrollment: Enrollment, *, to: Iterable[User] | None = None
) -> None:
    """Confirm the submission to the location's Incentives admins, with a receipt.

    Or to some of them.
    """
    _tell_incentive_admins(
        "enrollment_submitted",
        enrollment,
        event=enrollment.submitted_at.isoformat(),
        context={
            "submitted_by": enrollment.submitted_by,
            "payouts": payouts_of(enrollment),
        },
        to=to,
    )


def enrollments_submitted(
    person: User, enrollments: Iterable[Enrollment], *, batch: EnrollmentBatch
) -> None:
    """Confirm many submissions to one person in one mail, each with its reference.

    Who has one of them reads of that one. The whole list is with who submitted them;
    the others are led to the Overview.
    """
    enrollments = sorted(
        enrollments,
        key=lambda one: (one.terms.program.name, one.location.name, str(one.pk)),
    )
    if len(enrollments) == 1:
        enrollment_submitted(enrollments[0], to=[person])
        return
    company = batch.partner_account
    is_own = person.pk == batch.by_id
    path = (
        path_in(company, batch) if is_own else path_in(company, "enrollment:overview")
    )
    first = enrollments[0].terms
    is_one = all(one.terms_id == first.pk for one in enrollments)
    hours = max(one.terms.validation_hours for one in enrollments)
    outbox.queue(
        "enrollments_submitted",
        to=person,
        dedupe_key=f"enrollments_submitted:{batch.pk}:{person.pk}",
        context={
            "submitted_by": batch.by,
            "sender_name": first.sender_name if is_one else "",
            "promise": lazy(promise_words, str)(hours),
            "count": len(enrollments),
            "rows": enrollments[:MOST_TOLD],
            "more": max(len(enrollments) - MOST_TOLD, 0),
            "company_names": [company.name],
            "location_names": list(
                dict.fromkeys(one.location.name for one in enrollments)
            ),
            "moment": batch.sent_at,
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def enrollment_completed(enrollment: Enrollment) -> None:
    """Say that the enrollment is complete and from when it earns (R40, R45)."""
    _tell_incentive_admins(
        "enrollment_completed", enrollment, event=enrollment.status_since.isoformat()
    )


def enrollment_needs_attention(
    enrollment: Enrollment,
    *,
    gaps: Iterable[Gap],
    version: ProfileVersion | None,
    to: Iterable[User] | None = None,
) -> None:
    """Say what must be mended, the full reason and where (R41, R54)."""
    gaps = list(gaps)
    context = {
        "clock": clock_for(enrollment, at=timezone.now()),
        "gaps": gaps,
        "part": gaps[0].part,
    }
    if version is not None and version.is_returned:
        about = _about(version)
        context |= about | {"gaps": _unsaid(gaps, version), "part": version.part}
    _tell_incentive_admins(
        "needs_attention",
        enrollment,
        event=enrollment.status_since.isoformat(),
        context=context,
        path=path_in(
            enrollment.location.partner_account,
            "enrollment:profiles",
            pk=enrollment.pk,
        ),
        to=to,
    )


def profile_needs_attention(
    version: ProfileVersion,
    enrollments: Iterable[Enrollment],
    gaps: Mapping[UUID, list[Gap]],
) -> None:
    """Tell each person once of all their enrollments that a profile holds up (R41, R54).

    `gaps` are what each enrollment lacks. Who has one of them reads of that one.
    """
    theirs: dict[User, list[Enrollment]] = {}
    for enrollment in enrollments:
        for person in _incentive_admins(enrollment):
            theirs.setdefault(person, []).append(enrollment)
    for person, held_up in theirs.items():
        if len(held_up) == 1:
            enrollment_needs_attention(
                held_up[0], gaps=gaps[held_up[0].pk], version=version, to=[person]
            )
        else:
            _tell_of_many(person, held_up, version=version, gaps=gaps)


def _tell_of_many(
    person: User,
    enrollments: list[Enrollment],
    *,
    version: ProfileVersion,
    gaps: Mapping[UUID, list[Gap]],
) -> None:
    enrollments = sorted(
        enrollments,
        key=lambda row: (row.terms.program.name, row.location.name, row.pk),
    )
    rows = [
        {
            "location": enrollment.location,
            "program": enrollment.terms.program,
            "gaps": _unsaid(gaps[enrollment.pk], version),
        }
        for enrollment in enrollments
    ]
    # What waiting costs is said where it is the same for all that do not earn yet.
    waiting = [row for row in enrollments if not row.earns_from]
    clocks = {clock_for(row, at=timezone.now()) for row in waiting}
    about = _about(version)
    path = path_in(about["company"], version.profile)
    since = max(enrollment.status_since for enrollment in enrollments)
    outbox.queue(
        "needs_attention",
        to=person,
        dedupe_key=f"needs_attention:{version.pk}:{since.isoformat()}:{person.pk}",
        context=about
        | {
            "reasons": about["reasons"] if version.is_returned else [],
            "is_returned": version.is_returned,
            "rows": rows,
            "gaps": [gap for row in rows for gap in row["gaps"]],
            "part": version.part,
            "enrollment": (waiting or enrollments)[0],
            "clock": clocks.pop() if len(clocks) == 1 else None,
            "company_names": [about["company"].name],
            "location_names": list(dict.fromkeys(row["location"].name for row in rows)),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def terms_changed(terms: ProgramTerms, gaps: Mapping[Enrollment, list[Gap]]) -> None:
    """Tell each person once of their enrollments that changed terms hold up.

    `gaps` are what each of them lacks now (domain.md §2.2).
    """
    theirs: dict[User, list[Enrollment]] = {}
    for enrollment in gaps:
        for person in _incentive_admins(enrollment):
            theirs.setdefault(person, []).append(enrollment)
    for person, held_up in theirs.items():
        held_up.sort(key=lambda row: (row.location.name, row.pk))
        company = held_up[0].location.partner_account
        path = path_in(company, "enrollment:overview")
        if len(held_up) == 1:
            path = path_in(company, "enrollment:profiles", pk=held_up[0].pk)
        outbox.queue(
            "terms_changed",
            to=person,
            dedupe_key=(
                f"terms_changed:{terms.pk}:{terms.version}:{held_up[0].pk}:{person.pk}"
            ),
            context={
                "program": terms.program,
                "sender_name": terms.sender_name,
                "year": terms.fiscal_year,
                "rows": [
                    {"location": one.location, "gaps": gaps[one]} for one in held_up
                ],
                "company_names": list(
                    dict.fromkeys(one.location.partner_account.name for one in held_up)
                ),
                "location_names": [one.location.name for one in held_up],
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )


def _unsaid(gaps: Iterable[Gap], version: ProfileVersion) -> list[Gap]:
    """The gaps but "was returned to you", of which the reasons say more."""
    if not version.is_returned:
        return list(gaps)
    return [gap for gap in gaps if gap.code != f"{version.part}_returned"]


def profile_decided(version: ProfileVersion) -> None:
    """Tell whoever sent a profile that is used nowhere yet what was decided.

    If they may not see it any more, who may change it is told.
    """
    about = _about(version)
    path = path_in(about["company"], version.profile)
    for person in _still_may_read(
        version.submitted_by,
        Permission.PROFILE_VIEW,
        company=about["company"],
        row=version.profile,
        otherwise=Permission.PROFILE_EDIT,
    ):
        outbox.queue(
            "profile_approved" if version.is_approved else "profile_returned",
            to=person,
            dedupe_key=(
                f"profile_decided:{version.pk}:{version.decided_at.isoformat()}"
                f":{person.pk}"
            ),
            context=about
            | {
                "sent_by": version.submitted_by,
                "is_own": person == version.submitted_by,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )


def _tell_incentive_admins(
    name: str,
    enrollment: Enrollment,
    *,
    event: str,
    context: dict[str, Any] | None = None,
    path: str = "",
    to: Iterable[User] | None = None,
) -> None:
    company = enrollment.location.partner_account
    path = path or path_in(company, enrollment)
    for person in _incentive_admins(enrollment) if to is None else to:
        outbox.queue(
            name,
            to=person,
            dedupe_key=f"{name}:{enrollment.pk}:{event}:{person.pk}",
            context={
                "enrollment": enrollment,
                "company_names": [company.name],
                "location": enrollment.location,
                "location_names": [enrollment.location.name],
                "program": enrollment.terms.program,
                "sender_name": enrollment.terms.sender_name,
                "promise": lazy(promise_words, str)(enrollment.terms.validation_hours),
                "year": enrollment.terms.fiscal_year,
                "url": settings.PUBLIC_BASE_URL + path,
            }
            | (context or {}),
            about_url=path,
        )


def _incentive_admins(enrollment: Enrollment) -> Iterable[User]:
    return people_with(
        Permission.ENROLLMENT_EDIT,
        company=enrollment.location.partner_account,
        row=enrollment,
    )


def _about(version: ProfileVersion) -> dict[str, Any]:
    """What a mail says of a profile: its name, the end of its number, the reasons."""
    profile = version.profile
    is_bank = isinstance(version, BankProfileVersion)
    return {
        "profile": profile,
        "company": (
            profile.partner_account if is_bank else profile.location.partner_account
        ),
        "is_bank": is_bank,
        "last4": version.last4,
        "reasons": [
            {
                "label": row.label,
                "reason": row.reason,
                "note": row.note,
                # Beside the reader's own name another one would mislead.
                "example": (
                    "" if row.reason.code in NAME_REASONS else row.reason.example
                ),
                "url": _field_url(profile, row.field),
            }
            for row in explained(version.returned, country=version.country)
        ],
    }


def _field_url(profile: Profile, field: str) -> str:
    """Where a field of a profile is mended; who may not is led by the page."""
    path = path_in(profile.account, f"profiles:change_{profile.part}", pk=profile.pk)
    return f"{settings.PUBLIC_BASE_URL}{path}#id_{field}"


def payouts_of(enrollment: Enrollment) -> list[dict[str, Any]]:
    """What each earning type is paid to, for the receipt."""
    assignments = (
        enrollment.payout_assignments.select_related(
            "earning_type", "bank_profile", "tax_profile"
        )
        .prefetch_related("bank_profile__versions", "tax_profile__versions")
        .order_by("-earning_type__share", "pk")
    )
    return [
        {
            "earning_type": assignment.earning_type,
            "method": assignment.get_method_display,
            "currency": assignment.currency,
            "bank": assignment.bank_profile,
            "tax": assignment.tax_profile,
        }
        for assignment in assignments
    ]


def readers_of_closing(
    enrollments: Iterable[Enrollment], *, location: Location
) -> dict[User, set[UUID]]:
    """Return whom to tell that a location closes, with the enrollments they see.

    Asked before its roles end: whoever holds one there, whoever could see one of its
    enrollments, and the company's admins, who see none (R15).
    """
    company = location.partner_account
    readers: dict[User, set[UUID]] = {admin: set() for admin in appointers(company)}
    for person in people_with(Permission.LOCATION_VIEW, company=company, row=location):
        readers.setdefault(person, set())
    for enrollment in enrollments:
        for person in people_with(
            Permission.ENROLLMENT_VIEW, company=company, row=enrollment
        ):
            readers.setdefault(person, set()).add(enrollment.pk)
    return readers


def dispute_answered(dispute: RequirementDispute) -> None:
    """Tell whoever disputed a requirement what the program owner answered.

    If they may not see requirements there any more, who may enroll there is told.
    """
    company = dispute.location.partner_account
    path = path_in(company, "enrollment:why", pk=dispute.place_id)
    requirement = dispute.requirement
    for person in _still_may_read(
        dispute.asked_by,
        Permission.REQUIREMENT_VIEW,
        company=company,
        row=dispute,
        otherwise=Permission.ENROLLMENT_EDIT,
    ):
        with translation.override(person.language):
            name = (
                requirement.criterion.name
                if requirement
                else _("Active partner agreement")
            )
        outbox.queue(
            "dispute_answered",
            to=person,
            dedupe_key=f"dispute_answered:{dispute.pk}:{person.pk}",
            context={
                "dispute": dispute,
                "sender_name": dispute.terms.sender_name,
                "asked_by": dispute.asked_by,
                "is_own": person == dispute.asked_by,
                "requirement": name,
                "location": dispute.location,
                "program": dispute.terms.program,
                "is_corrected": dispute.outcome == DisputeOutcome.CORRECTED,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )


def _still_may_read(
    person: User,
    permission: Permission,
    *,
    company: PartnerAccount,
    row: Model,
    otherwise: Permission,
) -> list[User]:
    """Who reads the answer to what somebody sent: they, or others if their role ended.

    A mail tells nobody what its page would refuse them (R8, security.md T5).
    """
    if person in people_with(permission, company=company, row=row):
        return [person]
    return people_with(otherwise, company=company, row=row)


def handed_over(
    handed: list[Invitation],
    *,
    to: User,
    note: str,
    lacking: list[Enrollment],
    asked: list[AccessRequest],
    takes_it: bool,
    by: User,
) -> None:
    """Tell a colleague what was handed over to them now, and whether they can begin.

    Each hand-over is told; what waits for a role once for each time it is asked for.
    """
    enrollments = sorted(
        [one.enrollment for one in handed] + lacking,
        key=lambda one: (one.location.name, one.pk),
    )
    company, terms = enrollments[0].location.partner_account, enrollments[0].terms
    facts = [f"{one.pk}@{one.handed_at.isoformat()}" for one in handed]
    facts += [str(one.pk) for one in asked or lacking]
    event = hashlib.sha256(",".join(facts).encode()).hexdigest()[:32]
    if takes_it:
        path = path_in(company, "accounts:assign")
    elif lacking:
        path = path_in(company, "home")
    else:
        path = path_in(company, enrollments[0])
    outbox.queue(
        "handed_over",
        to=to,
        dedupe_key=f"handed_over:{event}:{to.pk}",
        context={
            "colleague": by,
            "company": company,
            "sender_name": terms.sender_name,
            "program": terms.program,
            "year": terms.fiscal_year,
            "rows": [{"location": one.location} for one in enrollments],
            "enroll_by": min(one.enroll_by for one in enrollments),
            "note": note,
            "lacking": bool(lacking),
            "takes_it": takes_it,
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def extension_answered(request: ExtensionRequest, enrollment: Enrollment) -> None:
    """Tell whoever asked for more time; granted, everybody who may enroll there."""
    readers = {request.asked_by}
    if request.until is not None:
        readers |= set(_incentive_admins(enrollment))
    _tell_incentive_admins(
        "extension_answered",
        enrollment,
        event=str(request.pk),
        context={
            "request": request,
            "clock": clock_for(enrollment, at=timezone.now()),
        },
        to=sorted(readers, key=lambda person: person.pk),
    )


def calendar_address_made(feed: CalendarFeed, *, replaces: bool) -> None:
    """Tell a person that their calendar has a new address, which nobody signs in for."""
    path = reverse("enrollment:calendar")
    outbox.queue(
        "calendar_address",
        to=feed.user,
        dedupe_key=f"calendar_address:{feed.pk}",
        context={"replaces": replaces, "url": settings.PUBLIC_BASE_URL + path},
        about_url=path,
    )


def location_closed(
    location: Location,
    *,
    enrollments: Iterable[Enrollment],
    roles: Iterable[RoleAssignment],
    readers: Mapping[User, set[UUID]],
) -> list[OutgoingEmail]:
    """Tell each reader once what ended for them, and why."""
    enrollments = sorted(
        enrollments, key=lambda one: (one.terms.program.name, str(one.pk))
    )
    theirs: dict[int, list[RoleAssignment]] = {}
    for assignment in roles:
        theirs.setdefault(assignment.user_id, []).append(assignment)
    path = path_in(location.partner_account, "home")
    return outbox.queue_many(
        outbox.prepare(
            "location_closed",
            to=person,
            dedupe_key=f"location_closed:{location.pk}:{person.pk}",
            context={
                "company": location.partner_account,
                "location": location,
                "reason": location.closing_reason,
                "day": location.closed_at,
                "programs": [
                    one.terms.program for one in enrollments if one.pk in seen
                ],
                "roles": theirs.get(person.pk, []),
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )
        for person, seen in sorted(readers.items(), key=lambda row: row[0].pk)
    )
