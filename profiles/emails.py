"""What the portal writes about profiles: to a company's admins, and to operators."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise, lazy

from accounts import outbox
from accounts.companies import path_in, site_path
from accounts.holders import appointers, operators_with, people_with
from accounts.link_tokens import PREPARED_PART, STOP_CHANGE, token_matching
from accounts.models import OutgoingEmail, User
from accounts.roles import Permission
from profiles.countries import country_name
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    PreparedPart,
    Profile,
    ProfileVersion,
    ReviewQuestion,
)

CONTACT = "bank_change_contact"


class Step(StrEnum):
    """What became of a change of a bank account."""

    ASKED = auto()
    # Of an account that somebody stopped before: stopped from the start.
    AGAIN = auto()
    APPROVED = auto()
    STOPPED = auto()
    RELEASED = auto()
    WITHDRAWN = auto()
    IN_FORCE = auto()


def bank_number_shown(profile: BankProfile, *, reason: str, by: User) -> None:
    """Tell the company's admins, and whoever did it, that a whole number was shown.

    The mail holds no number. Who did it is told too: it may have been somebody else in
    their session.
    """
    company = profile.account
    event = uuid.uuid4()
    for reader in {by, *appointers(company)}:
        is_self = reader == by
        path = reverse("own:account" if is_self else "accounts:people")
        outbox.queue(
            "bank_number_shown",
            to=reader,
            dedupe_key=f"bank_number_shown:{event}:{reader.pk}",
            context={
                "company": company,
                "profile": profile,
                "reason": reason,
                "by": by,
                "is_self": is_self,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url="" if is_self else path,
        )


def second_approval_needed(version: BankProfileVersion, *, right: str) -> None:
    """Tell the operators who may give the second approval that one waits for them.

    The mail holds no detail of the account: what is approved is looked at on the page.
    """
    signed = {version.seconded_by_id, version.submitted_by_id}
    readers = [one for one in operators_with(right) if one.pk not in signed]
    path = site_path("ops:bank_version", pk=version.pk)
    outbox.queue_many(
        [
            outbox.prepare(
                "second_approval",
                to=reader,
                dedupe_key=(
                    f"second_approval:{version.pk}:{version.seconded_by_id}:{reader.pk}"
                ),
                context={
                    "company": version.profile.account,
                    "profile": version.profile,
                    "by": version.seconded_by,
                    "url": settings.PUBLIC_BASE_URL + path,
                },
            )
            for reader in readers
        ]
    )


def bank_change(
    version: BankProfileVersion, *, step: Step, by: User | None = None
) -> None:
    """Tell every admin of the company, and the previous contact, of a change.

    Of an account a mail holds the country and its last two digits, nothing else
    (security.md §6.2). The contact's first mail holds a link that stops the change; it
    is made when the mail leaves. Others stop it on the page, signed in.
    """
    company = version.profile.account
    event = uuid.uuid4()
    path = path_in(company, "profiles:stop_change", pk=version.profile_id)
    about = _about_change(version, step=step, by=by)
    admins = people_with(Permission.PROFILE_KNOW, company=company)
    outbox.queue_many(
        outbox.prepare(
            "bank_change",
            to=admin,
            dedupe_key=f"bank_change:{version.pk}:{step}:{event}:{admin.pk}",
            context=about
            | {"is_self": admin == by, "url": settings.PUBLIC_BASE_URL + path},
            about_url=path,
        )
        for admin in admins
    )
    contact = _previous_contact(version)
    if contact is None or contact.email.casefold() in {
        admin.email.casefold() for admin in admins
    }:
        return
    is_first = step == Step.ASKED
    outbox.queue(
        CONTACT if is_first else "bank_change",
        to=contact,
        dedupe_key=f"{CONTACT}:{version.pk}:{step}:{event}",
        context=about
        | {
            "is_contact": True,
            "is_kept": True,
            "url": settings.PUBLIC_BASE_URL + site_path("home"),
        },
        secret_of=version.pk if is_first else None,
    )


def account_added(
    version: BankProfileVersion, *, usable_from: datetime, by: User
) -> None:
    """Tell every admin of the company of an account that it is not paid at yet.

    They are told when it is asked for: from then on its waiting time runs; or when it
    is approved, where nobody was told before.
    """
    _payout_news(
        version.profile,
        version,
        step="added",
        by=by,
        context={"usable_from": usable_from, "is_approved": version.is_approved},
    )


def default_set(
    profile: BankProfile, *, places: list[dict[str, str]], by: User
) -> None:
    """Tell every admin of the company where an account became the default."""
    _payout_news(
        profile, _shown_version(profile), step="set", by=by, context={"places": places}
    )


def default_removed(
    profile: BankProfile, *, places: list[dict[str, str]], by: User
) -> None:
    """Tell every admin of the company, and the contact of the account, where it is the
    default no more."""
    _payout_news(
        profile,
        _shown_version(profile),
        step="removed",
        old=profile,
        by=by,
        context={"places": places},
    )


def payout_moved(
    old: Profile, new: Profile, *, places: list[dict[str, str]], by: User
) -> None:
    """Tell that a profile took another's place, and where.

    Of a bank profile every admin of the company hears, and the contact of the account
    so far, who reads no names of places; of a tax profile whoever changes profiles at
    the location.
    """
    _payout_news(
        new,
        _shown_version(new),
        step="moved",
        old=old,
        by=by,
        context={"places": places},
    )


def _payout_news(
    profile: Profile,
    version: ProfileVersion,
    *,
    step: str,
    old: Profile | None = None,
    by: User,
    context: dict[str, Any],
) -> None:
    company, is_bank = profile.account, profile.part == "bank"
    event = uuid.uuid4()
    path = path_in(company, f"profiles:{profile.part}", pk=profile.pk)
    before = _shown_version(old) if old is not None and is_bank else None
    context = context | {
        "step": step,
        "is_bank": is_bank,
        "company": company,
        "profile": profile,
        "old_profile": old,
        "by": by,
        "old": shown_account(before) if before is not None else None,
        "new": shown_account(version),
        "is_contact": False,
    }
    if is_bank:
        readers = people_with(Permission.PROFILE_KNOW, company=company)
    else:
        readers = people_with(Permission.PROFILE_EDIT, company=company, row=profile)
    mails = [(one, path, context) for one in readers]
    known = {one.email.casefold() for one in readers}
    contact = _contact_of(before) if before is not None else None
    if contact is not None and contact.email.casefold() not in known:
        # Whoever has no account here does not read what the company takes part in.
        outside = {"is_contact": True, "places": []}
        mails.append((contact, site_path("home"), context | outside))
    outbox.queue_many(
        outbox.prepare(
            "payout_moved",
            to=reader,
            dedupe_key=f"payout_moved:{event}:{reader.email}",
            context=one | {"url": settings.PUBLIC_BASE_URL + target},
            about_url="" if one["is_contact"] else target,
        )
        for reader, target, one in mails
    )


def _shown_version(profile: Profile) -> ProfileVersion:
    versions = list(profile.versions.order_by("-number"))
    in_force = [one for one in versions if one.is_approved]
    return (in_force or versions)[0]


def bank_change_to_check(
    version: BankProfileVersion, *, right: str, besides: Iterable[User]
) -> None:
    """Tell the operators who may go on with a stopped change that it waits for them."""
    skipped = {version.submitted_by_id, *(one.pk for one in besides)}
    readers = [one for one in operators_with(right) if one.pk not in skipped]
    event = uuid.uuid4()
    path = site_path("ops:bank_version", pk=version.pk)
    outbox.queue_many(
        outbox.prepare(
            "bank_change_to_check",
            to=reader,
            dedupe_key=f"bank_change_to_check:{version.pk}:{event}:{reader.pk}",
            context=_about_change(version, step=Step.STOPPED, by=None)
            | {
                "is_checked": bool(skipped - {version.submitted_by_id}),
                "url": settings.PUBLIC_BASE_URL + path,
            },
        )
        for reader in readers
    )


def stop_change_link(email: OutgoingEmail) -> dict[str, Any]:
    """Make what only the contact's mail holds: the link that stops a change.

    Raises ValueError when no key that is known makes the link.
    """
    version = BankProfileVersion.objects.select_related(
        "profile__partner_account", "submitted_by"
    ).get(pk=email.secret_of)
    token = token_matching(
        version.pk, fingerprint=version.stop_sha256, purpose=STOP_CHANGE
    )
    contact = _previous_contact(version)
    return _about_change(version, step=Step.ASKED, by=version.submitted_by) | {
        "full_name": contact.full_name if contact else "",
        "is_contact": True,
        "is_kept": False,
        "url": settings.PUBLIC_BASE_URL + site_path("profiles:stop_link", token=token),
    }


def question_asked(question: ReviewQuestion) -> None:
    """Tell whoever may change the profile what the reviewer asks, and where to answer."""
    profile = question.version.profile
    company = profile.account
    path = path_in(company, profile)
    may_answer = type(profile).objects.filter(pk=profile.pk)
    readers = people_with(Permission.PROFILE_EDIT, company=company, row=profile)
    outbox.queue_many(
        outbox.prepare(
            "question_asked",
            to=reader,
            dedupe_key=f"question_asked:{question.pk}:{reader.pk}",
            context=_about_question(question)
            | {"url": f"{settings.PUBLIC_BASE_URL}{path}#question"},
            about_url=path,
        )
        for reader in readers
        if may_answer.where_user_may(reader, Permission.PROFILE_EDIT).exists()
    )


def review_escalated(question: ReviewQuestion, *, right: str) -> None:
    """Tell the operators who give second approvals that somebody asks for advice."""
    path = site_path("ops:escalations")
    skipped = {question.asked_by_id, question.version.submitted_by_id}
    outbox.queue_many(
        outbox.prepare(
            "review_escalated",
            to=reader,
            dedupe_key=f"review_escalated:{question.pk}:{reader.pk}",
            context=_about_question(question)
            | {"url": settings.PUBLIC_BASE_URL + path},
        )
        for reader in operators_with(right)
        if reader.pk not in skipped
    )


def question_answered(question: ReviewQuestion) -> None:
    """Tell the reviewer who asked that the answer is there."""
    version = question.version
    # Who answers may work under the company's address; operators have one of their own.
    path = site_path(f"ops:{version.part}_version", pk=version.pk)
    outbox.queue(
        "question_answered",
        to=question.asked_by,
        dedupe_key=f"question_answered:{question.pk}",
        context=_about_question(question)
        | {"url": f"{settings.PUBLIC_BASE_URL}{path}#questions"},
    )


def _about_question(question: ReviewQuestion) -> dict[str, Any]:
    version = question.version
    return {
        "question": question,
        "profile": version.profile,
        "company": version.profile.account,
        "is_bank": version.part == "bank",
        "last4": version.last4,
    }


def _previous_contact(version: BankProfileVersion) -> User | None:
    """Whom the bank may ask about the account so far; nobody here, perhaps."""
    before = version.account_before
    return _contact_of(before) if before is not None else None


def _contact_of(version: BankProfileVersion) -> User | None:
    address = version.details.get("contact_email", "")
    if not address:
        return None
    return User(
        email=address,
        full_name=version.details.get("contact_name", ""),
        language=version.submitted_by.language,
    )


def _about_change(
    version: BankProfileVersion, *, step: Step, by: User | None
) -> dict[str, Any]:
    before = version.account_before
    is_known = before is not None
    return {
        "step": str(step),
        "version": version,
        "profile": version.profile,
        "company": version.profile.account,
        "who": by.full_name if by else "",
        "old": shown_account(before) if is_known else None,
        "new": shown_account(version),
        "is_holder_only": is_known and before.blind_index == version.blind_index,
        # Whether there is an account in force that stays meanwhile.
        "has_account": version.profile.version_in_force is not None,
        "is_contact": False,
    }


def shown_account(version: BankProfileVersion) -> dict[str, str | Promise]:
    """What may be said of an account outside its own pages: country and two digits."""
    # Read in the language of whoever gets the mail.
    country = lazy(country_name, str)(version.country)
    return {"country": country, "end": version.last4[-2:]}


# --- Parts that colleagues fill in ----------------------------------------------------


def part_asked(part: PreparedPart) -> None:
    """Ask a person to fill in a section; the link is made when the mail leaves."""
    known = User.objects.filter(
        email=part.email, is_active=True, is_staff=False
    ).first()
    outbox.queue(
        "part_asked",
        to=known
        or User(email=part.email, full_name=part.full_name, language=part.language),
        dedupe_key=f"part_asked:{part.pk}",
        context=_about_part(part)
        | {
            "is_kept": True,
            "url": settings.PUBLIC_BASE_URL + site_path("account_login"),
        },
        secret_of=part.pk,
    )


def part_link(email: OutgoingEmail) -> dict[str, Any]:
    """Make what only the mail itself holds: the link that opens one section.

    Raises ValueError when it was closed before the mail could leave.
    """
    part = (
        PreparedPart.objects.open_at(timezone.now())
        .for_pages()
        .filter(pk=email.secret_of)
        .first()
    )
    if part is None:
        raise ValueError("the part is not open any more")
    token = token_matching(
        part.pk, fingerprint=part.token_sha256, purpose=PREPARED_PART
    )
    return _about_part(part) | {
        "full_name": part.full_name,
        "is_kept": False,
        "url": settings.PUBLIC_BASE_URL + site_path("profiles:part_link", token=token),
    }


def part_filled(part: PreparedPart, *, note: str) -> None:
    """Tell whoever asked, or all who may change profiles there, what waits for them."""
    path = path_in(part.company, "profiles:check_part", pk=part.pk)
    readers = [part.asked_by] if part.asked_by else []
    may = PreparedPart.objects.filter(pk=part.pk)
    can_read = [
        one
        for one in readers
        if may.where_user_may(one, Permission.PROFILE_EDIT).exists()
    ]
    # Whoever asked may have lost the role: then it is everybody's who has it.
    readers = can_read or people_with(
        Permission.PROFILE_EDIT, company=part.company, row=part
    )
    outbox.queue_many(
        outbox.prepare(
            "part_filled",
            to=reader,
            dedupe_key=f"part_filled:{part.pk}:{reader.pk}",
            context=_about_part(part)
            | {
                "filler": part.filled_by,
                "words": note,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )
        for reader in readers
    )


def _about_part(part: PreparedPart) -> dict[str, Any]:
    return {
        "part": part,
        "is_bank": part.is_bank,
        "location": part.location,
        "company": part.company,
        "colleague": part.asked_by,
        "note": part.note,
        "works_until": part.expires_at,
    }
