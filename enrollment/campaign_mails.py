"""What a campaign's mails say when they leave: written for many of them at once."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from html import escape
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils import timezone, translation

from accounts import outbox
from accounts.companies import path_in
from accounts.models import OutgoingEmail, RoleAssignment, User
from accounts.muting import mute_url
from accounts.roles import Permission, roles_with
from accounts.templatetags.mails import line
from enrollment import emails
from enrollment.audience import locations_of
from enrollment.eligibility import GAPS, gap_codes, with_next_gaps
from enrollment.models import (
    Campaign,
    CampaignRecipient,
    Enrollment,
    Invitation,
)

# A mail lists no more than these one by one in a preview.
MOST_PREVIEWED = 200
# Mails with more locations than this are alike too seldom to be written together.
MOST_ALIKE = 6
# What stands for a recipient's own words until they are filled in; nobody types these.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SAMPLE_KEY = "ffffffff-ffff-4fff-bfff-ffffffffffff"
_SAMPLE_PERSON = 0

# to_address, language, subject, text, HTML and path: what outbox.WRITTEN names.
Words = tuple[str, str, str, str, str, str]


class _Company(NamedTuple):
    pk: int
    name: str
    partner_id: str


class _Location(NamedTuple):
    name: str
    partner_id: str
    partner_account: _Company


class _Enrollment(NamedTuple):
    pk: UUID
    enroll_by: date
    location: _Location


class _Invited(NamedTuple):
    """One invitation as a mail lists it, and what is missing there."""

    pk: str
    enrollment: _Enrollment
    gaps: tuple[str, ...] = ()


class _Gaps(NamedTuple):
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
    known = {
        str(mail.pk): mail for mail in mails if mail.to_user and mail.to_user.is_active
    }
    campaigns = _campaigns_of(known.values())
    alike: dict[tuple, _Skeleton] = {}
    words = {}
    for key, invited in _waiting(known, campaigns).items():
        mail, campaign = known[key], campaigns[key]
        words[mail.pk] = _words(mail, campaign, invited, alike)
    return words


def _campaigns_of(mails: Iterable[OutgoingEmail]) -> dict[str, Campaign]:
    """Return the campaign of each mail, by the mail's key as text; each read once."""
    rows = CampaignRecipient.objects.filter(email__in=[mail.pk for mail in mails])
    pairs = list(rows.values_list("email", "campaign"))
    campaigns = Campaign.objects.select_related(
        "terms__program", "terms__fiscal_year__calendar"
    ).in_bulk({campaign for _mail, campaign in pairs})
    return {str(mail): campaigns[campaign] for mail, campaign in pairs}


def _waiting(
    known: dict[str, OutgoingEmail], campaigns: dict[str, Campaign]
) -> dict[str, list[_Invited]]:
    """What waits for each reader who may still answer it, in the order of the mail."""
    now = timezone.now()
    rows = (
        Invitation.objects.filter(
            email__in=[mail.pk for mail in known.values()],
            enrollment__in=Enrollment.objects.to_answer(),
        )
        .order_by(
            "enrollment__location__partner_account__name",
            "enrollment__location__name",
            "pk",
        )
        .values_list(
            # Keys as text: nothing is done with these but to write them.
            Cast("email", TextField()),
            Cast("pk", TextField()),
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
        for campaign in {one.pk: one for one in campaigns.values()}.values()
    }
    about = {
        key: (days[campaign.pk], campaign.terms.program_id, roles[mail.to_user_id])
        for key, mail in known.items()
        if (campaign := campaigns.get(key))
    }
    theirs: dict[str, list[_Invited]] = defaultdict(list)
    for email, pk, enrollment, last, place, name, number, *company in rows:
        day, theirs_program, held = about[email]
        if last < day or not any(
            role_company == company[0]
            and role_place in (None, place)
            and program in (None, theirs_program)
            for role_company, role_place, program in held
        ):
            continue
        location = _Location(name, number, _Company(*company))
        theirs[email].append(_Invited(pk, _Enrollment(enrollment, last, location)))
    by_day: dict[date, list[UUID]] = defaultdict(list)
    for email, some in theirs.items():
        by_day[about[email][0]] += [one.enrollment.pk for one in some]
    codes: dict[object, list[str]] = {}
    for day, keys in by_day.items():
        codes |= gap_codes(keys, on=day)
    return {
        email: [
            one._replace(gaps=tuple(codes.get(one.enrollment.pk, ()))) for one in some
        ]
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
    path = _path(invited[0].enrollment.location.partner_account, invited[0].pk)
    own = [line(reader.get_short_name())]
    companies = dict.fromkeys(
        one.enrollment.location.partner_account for one in invited
    )
    own += [line(company.name) for company in companies]
    for one in invited:
        own += [line(one.enrollment.location.name), one.enrollment.location.partner_id]
    # A stop at the end of a name ends its sentence too; a name of nothing has no place.
    is_odd = any(
        not word or word[-1] == "." or not word.isprintable() or _OPEN in word
        for word in own
    )
    if is_odd or len(invited) > MOST_ALIKE:
        subject, text, html = _rendered(campaign, reader, invited)
        text = outbox.wrapped(text)
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
    return reader.email, reader.language, subject, text, html, path


def _path(company: _Company, invitation: str) -> str:
    before, between, after = _around_the_keys()
    return f"{before}{company.partner_id}{between}{invitation}{after}"


@cache
def _around_the_keys() -> list[str]:
    """What stands around the keys in the path: the same for all, slow to ask for."""
    company = _Company(0, "", "COMPANY")
    path = path_in(company, "enrollment:get_started", pk=_SAMPLE_KEY)
    return re.split(f"COMPANY|{_SAMPLE_KEY}", path)


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


# Pieces of a mail, and which own word stands between each and the next.
_Open = tuple[list[str], list[int]]


@dataclass(frozen=True)
class _Skeleton:
    """A mail whose own words are left open: what stands between them.

    Of the text, lines that are the same for all and each line that is not, in turn.
    """

    subject: str
    text: list[str | _Open]
    html: _Open

    def filled(self, own: list[str]) -> tuple[str, str, str]:
        lines: list[str] = []
        for part in self.text:
            if isinstance(part, str):
                lines.append(part)
            else:
                lines += outbox.broken(_joined(part, own))
        html = _joined(self.html, [escape(word) for word in own])
        return self.subject, "\n".join(lines) + "\n", html


def _joined(part: _Open, own: list[str]) -> str:
    pieces, order = part
    filled = [pieces[0]]
    for number, piece in zip(order, pieces[1:], strict=True):
        filled += (own[number], piece)
    return "".join(filled)


def _open(marked: str) -> _Open:
    parts = _MARK.split(marked)
    return parts[::2], [int(number) for number in parts[1::2]]


def _lines(marked: str) -> list[str | _Open]:
    """Break a text's lines as outbox.wrapped() does, but for those that are open."""
    parts: list[str | _Open] = []
    same: list[str] = []
    for one in outbox.unbroken(marked):
        if _OPEN not in one:
            same += outbox.broken(one)
            continue
        parts += ["\n".join(same)] if same else []
        parts.append(_open(one))
        same = []
    return [*parts, "\n".join(same)] if same else parts


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
    path = _path(companies[0], _SAMPLE_KEY)
    last = first + 2 * len(invited)
    stands_for = {
        settings.PUBLIC_BASE_URL + path: mark(last),
        mute_url(anybody, emails.muting(campaign.terms)): mark(last + 1),
    }
    for address, its_mark in stands_for.items():
        text = text.replace(address, its_mark)
        html = html.replace(escape(address), its_mark)
    return _Skeleton(subject=subject, text=_lines(text), html=_open(html))


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
