"""What the portal checks of a profile: for reviewers, and for partners before they send.

The same functions give both lists. Only what would tell of another company, that its
account or tax number is the same, is for reviewers alone.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.dates import full_day
from accounts.models import Location, PartnerAccount, User
from accounts.roles import Permission
from accounts.templatetags.portal import listed, moment
from profiles import countries
from profiles.countries.tax_forms import DOCUMENTS, needed_form
from profiles.models import BankProfileVersion, ProfileVersion, TaxDocument
from profiles.paying import why_not_paid
from profiles.services import (
    AwaitedApproval,
    WhyTwo,
    standing_stop,
    why_two_operators,
)
from profiles.states import USING

# So many names of a company are said of those that a holder is compared with.
MOST_NAMES = 3


@dataclass(frozen=True)
class Check:
    """Something the portal looked at, and whether a reviewer should look twice.

    `remedy` is for the partner, before sending: what to do about it.
    """

    is_ok: bool
    sentence: str
    remedy: str = ""


def checks(
    version: ProfileVersion,
    in_force: ProfileVersion | None,
    *,
    on: date,
    awaited: AwaitedApproval | None = None,
) -> list[Check]:
    """Return what the portal checked, in the order a reviewer asks it.

    `awaited` is what awaited_approval said of a pending version, where it was asked.
    """
    documents = (
        list(version.documents.without_content()) if version.part == "tax" else []
    )
    stopped = _check_stopped(version, awaited=awaited)
    first, *others = _own_checks(
        version, in_force, documents=documents, on=on, awaited=awaited
    )
    return [*stopped, first, _check_elsewhere(version), *others]


def foreseen(
    version: ProfileVersion,
    in_force: ProfileVersion | None,
    *,
    documents: Collection[TaxDocument] = (),
    on: date,
    by: User,
) -> list[Check]:
    """Return what a reviewer would read of a version, for its partner before it is sent.

    Nothing here depends on what other companies have.
    """
    found = [
        *_check_stopped(version),
        *_own_checks(version, in_force, documents=documents, on=on, reader=by),
    ]
    if version.part == "bank":
        found += _check_programs(version, by=by)
    return found


def foreseen_in_program(
    version: ProfileVersion, in_force: ProfileVersion | None, *, on: date, by: User
) -> list[Check]:
    """The same of a version that was sent, for one program, which says its own part."""
    documents = (
        list(version.documents.without_content()) if version.part == "tax" else []
    )
    return [
        *_check_stopped(version),
        *_own_checks(version, in_force, documents=documents, on=on, reader=by),
    ]


def _own_checks(
    version: ProfileVersion,
    in_force: ProfileVersion | None,
    *,
    documents: Collection[TaxDocument],
    on: date,
    reader: User | None = None,
    awaited: AwaitedApproval | None = None,
) -> Iterator[Check]:
    yield _check_form(version)
    if version.part == "bank":
        locations = _as_named(version.profile.account.locations.all())
        yield _check_name(version, _legal_names(version, locations), reader=reader)
        yield _check_country(version, locations)
        if in_force is not None:
            yield _check_account(version, in_force)
        elif not version.is_approved:
            yield from _check_new_account(version, awaited=awaited)
    else:
        yield _check_name(version, [version.profile.location.legal_name], reader=reader)
        yield from _check_documents(version, documents, on=on)
        if version.is_expired(on):
            yield Check(
                False,
                _("The tax form has expired."),
                _("Get a new one signed and add it under Documents."),
            )


def _check_stopped(
    version: ProfileVersion, *, awaited: AwaitedApproval | None = None
) -> list[Check]:
    """Of an account that somebody at the company said was not theirs: before all else."""
    is_open = version.part == "bank" and not version.is_approved
    if awaited is not None:
        stop = awaited.stop
    else:
        stop = standing_stop(version) if is_open else None
    if stop is None:
        return []
    first = stop.follows or stop
    facts = {"at": moment(first.stopped_at)}
    if first.stopped_by is None:
        sentence = _(
            "Stopped: the contact of the account so far said of this account that it "
            "was not them, %(at)s, and nobody has released it since."
        )
    else:
        facts["name"] = first.stopped_by.full_name
        sentence = _(
            "Stopped: %(name)s said of this account that it was not them, %(at)s, and "
            "nobody has released it since."
        )
    return [
        Check(
            False,
            sentence % facts,
            _("Sent, it stays stopped until two operators have asked your company."),
        )
    ]


def _check_new_account(
    version: BankProfileVersion, *, awaited: AwaitedApproval | None
) -> list[Check]:
    sentences = {
        WhyTwo.FIRST_ACCOUNT: _(
            "This is the company's first bank account. Two operators have to approve it."
        ),
        WhyTwo.FURTHER_ACCOUNT: _(
            "The company is not paid at this account yet. Two operators have to "
            "approve it."
        ),
    }
    why = awaited.why if awaited is not None else why_two_operators(version)
    return [Check(False, sentences[why], _time_it_takes())] if why in sentences else []


def _time_it_takes() -> str:
    return _("You need to do nothing; it can take a little longer.")


def _check_documents(
    version, documents: Collection[TaxDocument], *, on: date
) -> Iterator[Check]:
    """The documents that go with the form are there, and not too old."""
    needed = needed_form(version.country, version.setup)
    have = {document.kind for document in documents}
    for kind in needed.documents if needed else ():
        if kind.key not in have:
            yield Check(
                False,
                _("This document is missing: %(kind)s.") % {"kind": kind},
                _("Add it under Documents."),
            )
    for document in documents:
        kind = DOCUMENTS.get(document.kind)
        last_day = document.last_day
        facts = {
            "kind": document.kind_label,
            "days": (on - document.dated_on).days,
            "day": full_day(last_day) if last_day else "",
        }
        if kind is not None and kind.is_too_old(document.dated_on, on=on):
            yield Check(
                False,
                _("%(kind)s: too old, %(days)d days.") % facts,
                _("Get a new one and add it under Documents."),
            )
        elif kind is not None and kind.is_ending(document.dated_on, on=on):
            yield Check(
                False,
                _("%(kind)s: good until %(day)s only.") % facts,
                _("Get a new one signed and add it under Documents, in its place."),
            )
        elif last_day is not None:
            yield Check(True, _("%(kind)s: good until %(day)s.") % facts)
        else:
            yield Check(
                True,
                ngettext(
                    "%(kind)s: %(days)d day old.",
                    "%(kind)s: %(days)d days old.",
                    facts["days"],
                )
                % facts,
            )


def _check_form(version) -> Check:
    """What was sent still passes the checks of its country, as they are today."""
    if version.part == "bank":
        schema = countries.bank_schema(version.country)
    else:
        schema = countries.tax_schema(version.country, form=version.form)
    try:
        is_ok = schema is not None and bool(countries.validate(schema, version.details))
    except ValidationError:
        is_ok = False
    if is_ok:
        return Check(True, _("Every number passes the checks of its country."))
    return Check(
        False,
        _("The checks of this country have changed since this was sent."),
        _("Go through the steps once more; each field says what is wrong."),
    )


def _check_elsewhere(version) -> Check:
    rows = type(version).objects.same_number_elsewhere(version)
    companies = PartnerAccount.objects.filter(
        pk__in=rows.values(version.account_path)
    ).order_by("name", "pk")
    names = [company.name for company in companies]
    if not names:
        sentences = {
            "bank": _("No other company has this account."),
            "tax": _("No other company has this tax number."),
        }
        return Check(True, sentences[version.part])
    if version.part == "bank":
        sentence = ngettext(
            "%(count)d other company has this account: %(names)s.",
            "%(count)d other companies have this account: %(names)s.",
            len(names),
        )
    else:
        sentence = ngettext(
            "%(count)d other company has this tax number: %(names)s.",
            "%(count)d other companies have this tax number: %(names)s.",
            len(names),
        )
    return Check(False, sentence % {"count": len(names), "names": ", ".join(names)})


def _check_name(version, legal_names: list[str], *, reader: User | None) -> Check:
    key = "account_holder" if version.part == "bank" else "legal_name"
    given = version.details.get(key, "")
    if given.casefold() in {name.casefold() for name in legal_names}:
        sentences = {
            "bank": _("The account holder is the company's legal name."),
            "tax": _("The legal name is the one we have on record."),
        }
        return Check(True, sentences[version.part])
    sentences = {
        "bank": _("The account holder differs from the legal name: %(names)s."),
        "tax": _("The legal name differs from the one on record: %(names)s."),
    }
    remedies = {
        "bank": _("If the bank has it so, leave it; otherwise it will be returned."),
        "tax": _("If the register has it so, leave it; otherwise it will be returned."),
    }
    if reader is not None and version.part == "bank":
        seen = Location.objects.of_company(version.profile.account).where_user_may(
            reader, Permission.LOCATION_VIEW
        )
        legal_names = _legal_names(version, _as_named(seen))
    names = ", ".join(legal_names[:MOST_NAMES])
    return Check(
        False, sentences[version.part] % {"names": names}, remedies[version.part]
    )


def _as_named(locations: QuerySet[Location]) -> list[Any]:
    """What is asked of a company's locations, of thousands: no more than that."""
    facts = ("legal_name", "country", "closed_at")
    return list(locations.order_by(facts[0], "pk").values_list(*facts, named=True))


def _legal_names(version, locations: Iterable[Any]) -> list[str]:
    """Whom a company's bank account may be held by: it, or a location that is open."""
    names = [version.profile.account.legal_name]
    names += [row.legal_name for row in locations if row.closed_at is None]
    return list(dict.fromkeys(names))


def _check_country(version, locations: Iterable[Any]) -> Check:
    account = version.profile.account
    names = {
        "bank": countries.country_name(version.country),
        "company": countries.country_name(account.country),
    }
    places = {account.country, *(row.country for row in locations)}
    if version.country in places:
        return Check(True, _("The bank is in a country of the company."))
    return Check(
        False,
        _("The bank is in %(bank)s, the company in %(company)s.") % names,
        _("If that is right, leave it: the reviewer looks twice."),
    )


def _check_account(version, in_force) -> Check:
    holders = {one.details.get("account_holder", "") for one in (version, in_force)}
    if version.blind_index != in_force.blind_index:
        sentence = _(
            "This changes the account in force. Two operators have to approve it."
        )
    elif len(holders) > 1:
        sentence = _(
            "The account is the one in force, held in another name. Two operators have "
            "to approve it."
        )
    else:
        return Check(True, _("The account is the one in force."))
    hours = settings.BANK_CHANGE_COOLING_OFF_HOURS
    remedy = ngettext(
        "You need to do nothing. The change is in force %(hours)d hour after it is "
        "sent, at the earliest.",
        "You need to do nothing. The change is in force %(hours)d hours after it is "
        "sent, at the earliest.",
        hours,
    )
    return Check(False, sentence, remedy % {"hours": hours})


def _check_programs(version: BankProfileVersion, *, by: User) -> Iterator[Check]:
    """Programs of the company, as far as the reader sees them, that pay to it or not."""
    rows = (
        version.profile.account.payout_assignments.where_user_may(
            by, Permission.PROFILE_VIEW
        )
        .filter(enrollment__status__in=USING)
        .order_by("enrollment__terms_id")
        .distinct("enrollment__terms_id")
        .select_related("enrollment__terms__program")
    )
    refused: dict[str, list[str]] = {}
    all_terms = sorted(
        (row.enrollment.terms for row in rows),
        key=lambda terms: (terms.program.name, terms.pk),
    )
    for terms in all_terms:
        if why := why_not_paid(version, terms=terms):
            refused.setdefault(why, []).append(terms.program.name)
    for why, programs in refused.items():
        yield Check(
            False,
            _("%(programs)s: %(why)s") % {"programs": listed(programs), "why": why},
            _("Use another account for it."),
        )
    if all_terms and not refused:
        yield Check(True, _("The programs you take part in pay to this account."))
