"""What somebody has begun of bank and tax profiles and not sent: name and step, no more."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet, UUIDField, Value
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Location, PartnerAccount, User
from accounts.prepared import Given, planned
from accounts.roles import Permission, roles_with
from profiles import bank_drafting, drafting
from profiles.models import BankProfileDraft, PreparedPart, TaxProfile, TaxProfileDraft
from profiles.parts import (
    WaitingPart,
    keys_of_parts,
    keys_of_parts_handed_in,
    parts_handed_in,
    waiting_parts,
)
from profiles.preparing import WAITS

# What both kinds of drafts say: nothing that was typed but the name.
_FACTS = ("pk", "name", "done", "profile_id")
BANK_STEPS = {
    "details": _("Details"),
    "account": _("Bank account"),
    "beneficiary": _("Beneficiary"),
    "check": _("Check"),
}
TAX_STEPS = {
    "company": _("Company"),
    "setup": _("Setup"),
    "status": _("Status"),
    "documents": _("Documents"),
    "check": _("Check"),
}
BANK_PAGES = {
    "account": "profiles:bank_account",
    "beneficiary": "profiles:bank_beneficiary",
    "check": "profiles:check_bank",
}


CHANGE_PAGES = {
    "account": "profiles:change_bank_account",
    "beneficiary": "profiles:change_bank_beneficiary",
    "check": "profiles:check_bank_change",
}


def bank_page(step: str, *, profile: UUID | None) -> str:
    """Return the page of a step of a new bank profile, or of the change of one."""
    if profile is None:
        return reverse(BANK_PAGES[step])
    return reverse(CHANGE_PAGES[step], kwargs={"pk": profile})


@dataclass(frozen=True)
class Begun:
    """A draft as its owner is reminded of it: nothing of what was typed."""

    title: Promise
    name: str
    where: str
    step: Promise
    number: int
    total: int
    url: str


def to_go_on_with(
    user: User, *, company: PartnerAccount | None, at: datetime
) -> tuple[list[Begun], list[WaitingPart], list[PreparedPart]]:
    """Return what a person has begun at a company, parts that wait for them, and parts
    they handed in.

    Nobody else's drafts, nor changes of what was put away since: its page offers to throw
    them away. Of parts, what they fill in anywhere and what they check at the company;
    what they handed in lately, to whichever company.
    """
    found = _drafts_and_parts().ask(
        person=user.pk,
        email=user.email,
        company=company and company.pk,
        at=at,
        since=at - WAITS,
    )
    # Banks first, each the latest first.
    rows = sorted(found, key=lambda row: row[-1], reverse=True)
    drafts = [row for row in rows if row[0] not in ("part", "handed_in")]
    begun = [_begun(*row[:-1]) for row in sorted(drafts, key=lambda row: row[0])]
    parts, handed_in = (
        [row[1] for row in found if row[0] == kind] for kind in ("part", "handed_in")
    )
    return begun, waiting_parts(parts), parts_handed_in(handed_in)


@planned
def _drafts_and_parts() -> QuerySet:
    """One question for all."""
    user, company = Given("person"), Given("company")
    roles = roles_with(Permission.PROFILE_EDIT)
    in_use = Q(profile=None) | Q(profile__archived_at=None)
    banks = (
        BankProfileDraft.objects.where_roles(roles, user=user)
        .of_company(company)
        .filter(in_use, created_by=user)
        .order_by()
        .values_list(Value("bank"), *_FACTS, Value(""), Value(""), "updated_at")
    )
    taxes = (
        TaxProfileDraft.objects.where_roles(roles, user=user)
        .of_company(company)
        .unsent()
        .filter(in_use, created_by=user)
        .order_by()
        .values_list(
            Value("tax"),
            *_FACTS,
            Coalesce("profile__name", Value("")),
            "location__name",
            "updated_at",
        )
    )
    parts = _as_rows(keys_of_parts(), "part", "expires_at")
    handed_in = _as_rows(keys_of_parts_handed_in(), "handed_in", "filled_at")
    return banks.union(taxes, parts, handed_in, all=True)


def _as_rows(parts: QuerySet, kind: str, moment: str) -> QuerySet:
    """Of parts their keys alone, in the columns of drafts."""
    nothing = Value("")
    return parts.values_list(
        Value(kind),
        "pk",
        nothing,
        Value([], BankProfileDraft._meta.get_field("done")),
        Value(None, UUIDField()),
        nothing,
        nothing,
        moment,
    )


def _begun(
    kind: str,
    key: UUID,
    name: str,
    done: list[str],
    profile: UUID | None,
    profile_name: str,
    location: str,
) -> Begun:
    facts = {"pk": key, "name": name, "done": done, "profile_id": profile}
    if kind == "bank":
        return _of_bank(BankProfileDraft(**facts))
    draft = TaxProfileDraft(**facts, location=Location(name=location))
    if profile is not None:
        draft.profile = TaxProfile(pk=profile, name=profile_name)
    return _of_tax(draft)


def _of_bank(draft: BankProfileDraft) -> Begun:
    step = bank_drafting.next_step(draft)
    return Begun(
        title=(
            _("Continue the change of your bank profile")
            if draft.profile_id
            else _("Continue your bank profile")
        ),
        name=draft.name,
        where="",
        step=BANK_STEPS[step],
        number=[*BANK_STEPS].index(step) + 1,
        total=len(BANK_STEPS),
        url=bank_page(step, profile=draft.profile_id),
    )


def _of_tax(draft: TaxProfileDraft) -> Begun:
    step = drafting.next_step(draft)
    return Begun(
        title=_("Continue your tax profile"),
        name=draft.title,
        where=draft.location.name,
        step=TAX_STEPS[step],
        number=[*TAX_STEPS].index(step) + 1,
        total=len(TAX_STEPS),
        url=draft.get_absolute_url(),
    )
