"""What a campaign's mails say when they leave: written for many of them at once."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from django.conf import settings
from django.utils import timezone, translation
from django.utils.html import escape

from accounts import outbox
from accounts.companies import path_in
from accounts.models import OutgoingEmail, RoleAssignment, User
from accounts.muting import mute_url
from accounts.roles import Permission, roles_with
from accounts.templatetags.mails import line
from enrollment import emails
from enrollment.audience import locations_of
from enrollment.eligibility import GAPS, with_gaps, with_next_gaps
from enrollment.models import (
    Campaign,
    CampaignRecipient,
    Enrollment,
    Invitation,
    PayoutAssignment,
)

# A mail lists no more than these one by one in a preview.
MOST_PREVIEWED = 200
# Mails with more locations than this are alike too seldom to be written together.
MOST_ALIKE = 6
# What stands for a recipient's own words until they are filled in; nobody types these.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SAMPLE_KEY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
_SAMPLE_PERSON = 0

# to_address, language, subject, text, HTML and path: what outbox.WRITTEN names.
Words = tuple[str, str, str, str, str, str]


@dataclass(frozen=True)
class _Company:
    pk: int
    name: str
    partner_id: str


@dataclass(frozen=True)
class _Location:
    name: str
    partner_id: str
    partner_account: _Company


@dataclass(frozen=True)
class _Enrollment:
    pk: UUID
    enroll_by: date
    location: _Location


@dataclass(frozen=True)
class _Invited:
    """One invitation as a mail lists it, and what is missing there."""

    pk: UUID
    enrollment: _Enrollment
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Gaps:
    """What an enrollment lacks, as gaps_of() reads it."""

    bank_gap: str
    tax_gap: str
    currency_gap: str


def write(mails: Iterable[OutgoingEmail]) -> dict[UUID, Words]:
    """Return what each of a campaign's mails says now.

    A mail is left out when nothing of it waits for its reader any more: answered, over,
    or the role has ended. The questions do not grow with the mails, and what mails have
    in common is rendered once: mails alike but for names and links are filled in.
    """
    known = {mail.pk: mail for mail in mails if mail.to_user and mail.to_user.is_active}
    campaigns = {
        row.email_id: row.campaign
        for row in CampaignRecipient.objects.filter(
            email__in=list(known)
        ).select_related(
            "campaign__terms__program", "campaign__terms__fiscal_year__calendar"
        )
    }
    alike: dict[tuple, _Skeleton] = {}
    words = {}
    for key, invited in _waiting(known, campaigns).items():
        mail, campaign = known[key], campaigns[key]
        words[key] = _words(mail, campaign, invited, alike)
    return words


def _waiting(
    known: dict[UUID, OutgoingEmail], campaigns: dict[UUID, Campaign]
) -> dict[UUID, list[_Invited]]:
    """What waits for each reader who may still answer it, in the order of the mail."""
    now = timezone.now()
    rows = (
        Invitation.objects.filter(
            email__in=list(known), enrollment__in=Enrollment.objects.to_answer()
        )
        .order_by(
            "enrollment__location__partner_account__name",
            "enrollment__location__name",
            "pk",
        )
        .values_list(
            "email",
            "pk",
            "enrollment",
            "enrollment__enroll_by",
            "enrollment__location",
            "enrollment__location__name",
            "enrollment__location__partner_id",
            "enrollment__location__partner_account",
            "enrollment__location__partner_account__name",
            "enrollment__location__partner_account__partner_id",
        )
    )
    roles = _roles_of(mail.to_user_id for mail in known.values())
    days = {
        campaign.pk: campaign.terms.fiscal_year.calendar.day_at(now)
        for campaign in campaigns.values()
    }
    theirs: dict[UUID, list[_Invited]] = defaultdict(list)
    for email, pk, enrollment, last, place, name, number, *company in rows:
        campaign = campaigns[email]
        if last < days[campaign.pk] or not any(
            role_company == company[0]
            and role_place in (None, place)
            and program in (None, campaign.terms.program_id)
            for role_company, role_place, program in roles[known[email].to_user_id]
        ):
            continue
        location = _Location(name, number, _Company(*company))
        theirs[email].append(_Invited(pk, _Enrollment(enrollment, last, location)))
    return _with_gaps(theirs, campaigns, days)


def _with_gaps(theirs, campaigns, days) -> dict[UUID, list[_Invited]]:
    by_day: dict[date, list[UUID]] = defaultdict(list)
    for email, some in theirs.items():
        by_day[days[campaigns[email].pk]] += [one.enrollment.pk for one in some]
    codes: dict[UUID, dict[str, None]] = defaultdict(dict)
    for day, keys in by_day.items():
        assignments = (
            PayoutAssignment.objects.filter(enrollment__in=keys)
            .order_by("enrollment", "-earning_type__share", "pk")
            .values("enrollment")
        )
        for key, *gaps in with_gaps(assignments, on=day).values_list(
            "enrollment", "bank_gap", "tax_gap", "currency_gap"
        ):
            codes[key] |= dict.fromkeys(code for code in gaps if code)
    return {
        email: [replace(one, gaps=tuple(codes[one.enrollment.pk])) for one in some]
        for email, some in theirs.items()
    }


def _roles_of(people: Iterable[int]) -> dict[int, list[tuple]]:
    """Where each of some people may enroll: company, location or None, program or None."""
    roles: dict[int, list[tuple]] = defaultdict(list)
    enrolling = RoleAssignment.objects.live().filter(
        role__in=roles_with(Permission.ENROLLMENT_EDIT), user__in=list(people)
    )
    for user, *where in enrolling.order_by("pk").values_list(
        "user", "partner_account", "location", "program"
    ):
        roles[user].append(tuple(where))
    return roles


def _words(
    mail: OutgoingEmail,
    campaign: Campaign,
    invited: list[_Invited],
    alike: dict[tuple, "_Skeleton"],
) -> Words:
    reader = mail.to_user
    path = path_in(
        invited[0].enrollment.location.partner_account,
        "enrollment:get_started",
        pk=invited[0].pk,
    )
    own = [line(reader.get_short_name())]
    companies = dict.fromkeys(
        one.enrollment.location.partner_account for one in invited
    )
    own += [line(company.name) for company in companies]
    for one in invited:
        own += [line(one.enrollment.location.name), one.enrollment.location.partner_id]
    # A stop at the end of a name ends its sentence too; a name of nothing has no place.
    is_odd = any(not word or word.endswith(".") or _OPEN in word for word in own)
    if is_odd or len(invited) > MOST_ALIKE:
        subject, text, html = _rendered(campaign, reader, invited)
    else:
        order = {company: number for number, company in enumerate(companies)}
        shape = (
            campaign.pk,
            reader.language,
            mail.mutes,
            tuple(
                (
                    one.gaps,
                    one.enrollment.enroll_by,
                    order[one.enrollment.location.partner_account],
                )
                for one in invited
            ),
        )
        if shape not in alike:
            alike[shape] = _skeleton(campaign, reader, invited, order)
        own += [settings.PUBLIC_BASE_URL + path, mute_url(reader, mail.mutes)]
        subject, text, html = alike[shape].filled(own)
    return reader.email, reader.language, subject, outbox.wrapped(text), html, path


def _rendered(
    campaign: Campaign, reader: User, invited: list[_Invited]
) -> tuple[str, str, str]:
    """Render one mail from its templates."""
    with translation.override(reader.language):
        context, _path = emails.invitation_facts(
            invited,
            terms=campaign.terms,
            payouts={
                one.enrollment.pk: [_as_gaps(code) for code in one.gaps]
                for one in invited
            },
            words=campaign.words(reader.language),
            name=reader.get_short_name(),
        )
    return outbox.rendered(
        "invitation", to=reader, context=context, mutes=emails.muting(campaign.terms)
    )


def _as_gaps(code: str) -> _Gaps:
    part = GAPS[code].part
    return _Gaps(
        bank_gap=code if part == "bank" else "",
        tax_gap=code if part == "tax" else "",
        currency_gap=code if part == "currency" else "",
    )


@dataclass(frozen=True)
class _Skeleton:
    """A mail whose own words are left open: the pieces between them, and which they are."""

    subject: str
    text: list[str]
    html: list[str]
    order_of_text: list[int]
    order_of_html: list[int]

    def filled(self, own: list[str]) -> tuple[str, str, str]:
        safe = [escape(word) for word in own]
        return (
            self.subject,
            _joined(self.text, self.order_of_text, own),
            _joined(self.html, self.order_of_html, safe),
        )


def _joined(pieces: list[str], order: list[int], own: list[str]) -> str:
    filled = [pieces[0]]
    for number, piece in zip(order, pieces[1:], strict=True):
        filled += (own[number], piece)
    return "".join(filled)


def _skeleton(
    campaign: Campaign, reader: User, invited: list[_Invited], order: dict
) -> _Skeleton:
    """Render a mail once, with a mark for each of a recipient's own words."""

    def mark(number: int) -> str:
        return f"{_OPEN}{number}{_CLOSE}"

    companies = [
        _Company(number, mark(1 + number), "0") for number in range(len(order))
    ]
    first = 1 + len(companies)
    marked = [
        _Invited(
            _SAMPLE_KEY,
            _Enrollment(
                one.enrollment.pk,
                one.enrollment.enroll_by,
                _Location(
                    mark(first + 2 * number),
                    mark(first + 2 * number + 1),
                    companies[order[one.enrollment.location.partner_account]],
                ),
            ),
            one.gaps,
        )
        for number, one in enumerate(invited)
    ]
    anybody = User(pk=_SAMPLE_PERSON, full_name=mark(0), language=reader.language)
    subject, text, html = _rendered(campaign, anybody, marked)
    path = path_in(companies[0], "enrollment:get_started", pk=_SAMPLE_KEY)
    last = first + 2 * len(invited)
    stands_for = {
        settings.PUBLIC_BASE_URL + path: mark(last),
        mute_url(anybody, emails.muting(campaign.terms)): mark(last + 1),
    }
    for address, its_mark in stands_for.items():
        text = text.replace(address, its_mark)
        html = html.replace(escape(address), its_mark)
    texts, htmls = _MARK.split(text), _MARK.split(html)
    return _Skeleton(
        subject=subject,
        text=texts[::2],
        html=htmls[::2],
        order_of_text=[int(number) for number in texts[1::2]],
        order_of_html=[int(number) for number in htmls[1::2]],
    )


_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


# --- Before anything is sent ---------------------------------------------------------


def preview_of(
    campaign: Campaign, person: User, *, language: str = "", to: User | None = None
) -> OutgoingEmail | None:
    """Return the mail that a person would get, unsaved; None if they would get none.

    `language` shows the words of another one; `to` is who reads it instead, in a test.
    What is missing at a location is what its next enrollment would begin with.
    """
    now = timezone.now()
    today = campaign.terms.fiscal_year.calendar.day_at(now)
    locations = with_next_gaps(locations_of(campaign, person, on=today), on=today)
    invitations, payouts = [], {}
    for location in locations[:MOST_PREVIEWED]:
        enrollment = Enrollment(
            location=location,
            terms=campaign.terms,
            invited_at=now,
            enroll_by=campaign.terms.last_day_for(today),
        )
        invitations.append(Invitation(enrollment=enrollment, user=person))
        payouts[enrollment.pk] = [
            _Gaps(
                bank_gap=location.next_bank_gap,
                tax_gap=location.next_tax_gap,
                currency_gap=location.next_currency_gap,
            )
        ]
    if not invitations:
        return None
    reader = User(
        pk=(to or person).pk,
        email=(to or person).email,
        full_name=person.full_name,
        language=language or person.language,
    )
    with translation.override(reader.language):
        context, path = emails.invitation_facts(
            invitations,
            terms=campaign.terms,
            payouts=payouts,
            words=campaign.words(reader.language),
            name=reader.get_short_name(),
        )
    return outbox.prepare(
        "invitation",
        to=reader,
        dedupe_key=f"campaign_test:{invitations[0].pk}",
        context=context,
        about_url="" if to else path,
        mutes="" if to else emails.muting(campaign.terms),
    )
