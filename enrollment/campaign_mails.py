"""What a campaign's mails say when they leave: written for many of them at once."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from html import escape
from itertools import chain
from secrets import token_hex
from typing import NamedTuple, Self
from uuid import UUID

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone, translation

from accounts import outbox
from accounts.companies import path_in
from accounts.mail_words import (
    CLOSE,
    OPEN,
    is_marked,
    mark,
    wrapped,
    wrapped_but_open,
)
from accounts.models import Location, OutgoingEmail, RoleAssignment, SharedText, User
from accounts.muting import mute_token
from accounts.prepared import FEW_KEYS, Given, Prepared, planned, prepared
from accounts.roles import Permission, roles_with
from accounts.templatetags.mails import line
from enrollment import emails
from enrollment.audience import in_their_order, locations_of
from enrollment.eligibility import GAPS, gap_codes_of_many, with_next_gaps
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
_SAMPLE_KEY = "ffffffff-ffff-4fff-bfff-ffffffffffff"
_SAMPLE_PERSON = 0
# In a mark while a text is rendered, so that nobody else's is taken for one.
_OURS = token_hex(8)
_OUR_MARK = re.compile(f"{OPEN}{_OURS}-([0-9]+){CLOSE}")


class _Company(NamedTuple):
    pk: int
    name: str
    partner_id: str


class _Location(NamedTuple):
    name: str
    partner_id: str
    partner_account: _Company


class _Enrollment(NamedTuple):
    pk: str
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


@dataclass(frozen=True)
class _Said:
    """A campaign, the same as long as its mails say the same."""

    # Whatever they are rendered of.
    facts: str
    campaign: Campaign = field(compare=False)

    @classmethod
    def by(cls, campaign: Campaign) -> Self:
        terms = campaign.terms
        year = terms.fiscal_year
        rows = [
            [getattr(row, one.attname) for one in row._meta.concrete_fields]
            for row in (terms, terms.program, year, year.calendar)
        ]
        words = campaign.words_en, campaign.words_sv
        return cls(repr((terms.today(), words, rows)), campaign)


def write(
    mails: Iterable[OutgoingEmail],
) -> dict[UUID, outbox.Words | Exception]:
    """Return what each of a campaign's mails says now, or why it cannot be written.

    A mail is left out when nothing of it waits for its reader any more: answered, over,
    or the role has ended. The questions do not grow with the mails, and what mails have
    in common is rendered once: mails alike but for names and links are filled in.
    """
    known = {
        mail.key: mail for mail in mails if mail.to_user and mail.to_user.is_active
    }
    campaigns = _campaigns_of(known.values())
    said = {one.pk: _Said.by(one) for one in {*campaigns.values()}}
    words: dict[UUID, outbox.Words | Exception] = {}
    for key, invited in _waiting(known, campaigns).items():
        mail = known[key]
        try:
            words[mail.pk] = _words(mail, said[campaigns[key].pk], invited)
        except outbox.UNWRITABLE as error:
            # Of this mail alone: the others are written.
            words[mail.pk] = error
    return words


def _campaigns_of(mails: Iterable[OutgoingEmail]) -> dict[str, Campaign]:
    """Return the campaign of each mail, by the mail's key as text; each read once."""
    pairs = _asked(_recipients, mails=[mail.key for mail in mails])
    campaigns = {
        one.pk: one
        for one in _campaigns().ask(campaigns=list({one for _mail, one in pairs}))
    }
    return {mail: campaigns[campaign] for mail, campaign in pairs}


def _asked(question: Callable[[], Prepared], **keys: list) -> list[tuple]:
    """Ask about many by their keys, a few at a time: by these, whatever else there is.

    About some hundred at once PostgreSQL may read all that there are, as it knows little
    of a campaign that was written a moment ago.
    """
    ((name, many),) = keys.items()
    asked = question()
    return [
        row
        for first in range(0, len(many), FEW_KEYS)
        for row in asked.ask(**{name: many[first : first + FEW_KEYS]})
    ]


@planned
def _recipients() -> QuerySet:
    rows = CampaignRecipient.objects.filter(email__among=Given("mails"))
    return rows.order_by().values_list(Cast("email", TextField()), "campaign")


@prepared
def _campaigns() -> QuerySet:
    return Campaign.objects.select_related(
        "terms__program", "terms__fiscal_year__calendar"
    ).filter(pk__among=Given("campaigns"))


def _waiting(
    known: dict[str, OutgoingEmail], campaigns: dict[str, Campaign]
) -> dict[str, list[_Invited]]:
    """What waits for each reader who may still answer it, in the order of the mail."""
    now = timezone.now()
    rows = _asked(_to_answer, mails=list(known))
    roles = _roles_of(mail.to_user_id for mail in known.values())
    days = {
        campaign.pk: campaign.terms.fiscal_year.calendar.day_at(now)
        for campaign in {one.pk: one for one in campaigns.values()}.values()
    }
    about = {
        key: (
            days[campaign.pk],
            {
                (company, place)
                for company, place, program in roles[mail.to_user_id]
                if program in (None, campaign.terms.program_id)
            },
        )
        for key, mail in known.items()
        if (campaign := campaigns.get(key))
    }
    waiting: dict[date, list[tuple]] = defaultdict(list)
    for row in rows:
        (day, held), company = about[row[0]], row[8]
        may_answer = (company, None) in held or (company, row[5]) in held
        if may_answer and row[3] >= day:
            waiting[day].append(row)
    codes: dict[str, tuple[str, ...]] = {}
    for day, some in waiting.items():
        places = [
            (key, terms, place, company)
            for _email, _pk, key, _last, terms, place, _name, _number, company, *_ in some
        ]
        codes |= gap_codes_of_many(places, on=day)
    theirs: dict[str, list[_Invited]] = defaultdict(list)
    for email, pk, key, last, _terms, _place, name, number, *company in chain(
        *waiting.values()
    ):
        location = _Location(name, number, _Company(*company))
        theirs[email].append(
            _Invited(pk, _Enrollment(key, last, location), codes.get(key, ()))
        )
    return theirs


@planned
def _to_answer() -> QuerySet:
    """What waits of some mails for an answer; each mail's own together."""
    return (
        # Of the enrollments of these mails alone, not of all there are.
        Enrollment.objects.to_answer()
        .filter(invitations__email__among=Given("mails"))
        .order_by(
            # Each mail's own first: names of some thousand are slow to put in order.
            "invitations__email_id",
            "location__partner_account__name",
            "location__name",
            "invitations__pk",
        )
        .values_list(
            # Keys as text: nothing is done with these but to write them.
            Cast("invitations__email", TextField()),
            Cast("invitations__pk", TextField()),
            Cast("pk", TextField()),
            "enroll_by",
            "terms",
            "location",
            "location__name",
            "location__partner_id",
            "location__partner_account",
            "location__partner_account__name",
            "location__partner_account__partner_id",
        )
    )


def _roles_of(people: Iterable[int]) -> dict[int, list[tuple]]:
    """Where each of some people may enroll: company, location or None, program or None."""
    roles: dict[int, list[tuple]] = defaultdict(list)
    for user, *where in _asked(_enrolling, people=list(set(people))):
        roles[user].append(tuple(where))
    return roles


@planned
def _enrolling() -> QuerySet:
    rows = RoleAssignment.objects.live().filter(
        role__in=roles_with(Permission.ENROLLMENT_EDIT), user__among=Given("people")
    )
    return rows.order_by().values_list("user", "partner_account", "location", "program")


def _words(mail: OutgoingEmail, said: _Said, invited: list[_Invited]) -> outbox.Words:
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
    if (
        not "".join(own).isprintable()
        or _ODD.search("\n".join(["", *own, ""]))
        or len(invited) > MOST_ALIKE
    ):
        return _words_of_its_own(said.campaign, reader, invited, path)
    order = {company: number for number, company in enumerate(companies)}
    rows = tuple(
        (
            one.gaps,
            one.enrollment.enroll_by,
            order[one.enrollment.location.partner_account],
        )
        for one in invited
    )
    subject, shared = _skeleton(said, reader.language, rows)
    if shared is None:
        return _words_of_its_own(said.campaign, reader, invited, path)
    own.append(mute_token(reader.pk, mail.mutes))
    facts = reader.email, reader.language
    return outbox.Words(*facts, subject, "", "", path, "\n".join(own), shared)


def _words_of_its_own(
    campaign: Campaign, reader: User, invited: list[_Invited], path: str
) -> outbox.Words:
    subject, text, html = _rendered(campaign, reader, invited)
    facts = reader.email, reader.language
    return outbox.Words(*facts, subject, wrapped(text), html, path)


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


# A process writes a campaign's mails 500 at a time, and the same text for many of these.
@lru_cache(maxsize=256)
def _skeleton(
    said: _Said, language: str, rows: tuple[tuple, ...]
) -> tuple[str, SharedText | None]:
    """Render a mail once, with a mark for each of a recipient's own words.

    Own words are the path, then a line each: their name, companies, of each location its
    name and number, and the token that switches reminders off. There is none where the
    text has marks that are not ours. Of each location its gaps, the last day and the
    number of its company among the reader's.
    """
    companies = [
        _Company(number, _our_mark(2 + number), "0")
        for number in range(1 + max(company for *_facts, company in rows))
    ]
    first = 2 + len(companies)
    marked = [
        _Invited(
            _SAMPLE_KEY,
            _Enrollment(
                str(number),
                enroll_by,
                _Location(
                    _our_mark(first + 2 * number),
                    _our_mark(first + 2 * number + 1),
                    companies[company],
                ),
            ),
            gaps,
        )
        for number, (gaps, enroll_by, company) in enumerate(rows)
    ]
    anybody = User(pk=_SAMPLE_PERSON, full_name=_our_mark(1), language=language)
    subject, text, html = _rendered(said.campaign, anybody, marked)
    if is_marked(_OUR_MARK.sub("", text + html)):
        return subject, None
    text, html = (_OUR_MARK.sub(f"{OPEN}\\1{CLOSE}", one) for one in (text, html))
    mutes = emails.muting(said.campaign.terms)
    stands_for = {
        _path(companies[0], _SAMPLE_KEY): mark(0),
        mute_token(_SAMPLE_PERSON, mutes): mark(first + 2 * len(rows)),
    }
    for word, its_mark in stands_for.items():
        text = text.replace(word, its_mark)
        html = html.replace(escape(word), its_mark)
    return subject, SharedText.of(wrapped_but_open(text), html)


def _our_mark(number: int) -> str:
    return mark(f"{_OURS}-{number}")


# Among own words, each between two line breaks: one that ends in a stop, or says nothing.
_ODD = re.compile(r"\.\n|\n\n")


# --- Before anything is sent ---------------------------------------------------------

# No person has this key.
NOBODY = 0


def preview_of(
    campaign: Campaign, person: User, *, language: str = "", to: User | None = None
) -> OutgoingEmail | None:
    """Return the mail that a person would get, unsaved; None if they would get none.

    `language` shows the words of another one; `to` is who reads it instead, in a test.
    What is missing at a location is what its next enrollment would begin with.
    """
    now = timezone.now()
    today = campaign.terms.fiscal_year.calendar.day_at(now)
    # Of these alone: what the next enrollment lacks is not asked of all locations.
    keys = locations_of(campaign, person, on=today).values_list("pk", flat=True)
    these = Location.objects.filter(pk__in=list(keys[:MOST_PREVIEWED]))
    locations = with_next_gaps(in_their_order(these), on=today)
    invitations, payouts = [], {}
    for location in locations:
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
        # Whoever looks does not hold the person's own link to be written to no more.
        pk=to.pk if to else NOBODY,
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
