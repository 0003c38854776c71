"""Access that was refused: noted while it happens, written once the answer is sent.

So a refusal outlives the transaction it ends, and whether a row exists changes nothing
of the time the answer takes: the same steps follow for a row that there is not, and
the last of them is taken back (R16).
"""

import hashlib
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.apps import apps
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Expression, F, IntegerField, Min, Model, Q, Value

from accounts import origin
from accounts.models import AuditAction, AuditEvent, PartnerAccount, User
from accounts.origin import Origin, Refused
from accounts.roles import Permission
from accounts.services.audit import (
    chain_of,
    coming_from_here,
    masked_text,
    written_by,
)

logger = logging.getLogger(__name__)

# One event for one person and one object in so many seconds.
WINDOW_SECONDS = 10 * 60
# What somebody is refused beyond this in one window is told by one event.
MOST_IN_A_WINDOW = 300
# More than any page refuses at once; what a script makes of it is cut.
MOST_AT_ONCE = 20
PAGE = "page"
# What people and directories are refused before anybody knows who they are.
BEFORE_SIGN_IN = frozenset({"sign_in", "second_factor", "token"})
NOWHERE = Value(None, output_field=IntegerField())
# What services say when a right is missing, and which it is.
MISSING_RIGHTS = {
    "not_granting": Permission.ROLE_ASSIGN,
    "not_editing_people": Permission.PERSON_EDIT,
    "not_editing_locations": Permission.LOCATION_EDIT,
    "not_provisioning": Permission.PROVISIONING_EDIT,
}


def note_refusal(
    model: type[Model] | None,
    key: dict[str, Any],
    *,
    wanted: str,
    by: User | None,
    company: int | None = None,
) -> None:
    """Remember that somebody was refused a row, or a page where `model` is None.

    Nothing is asked of the database and nothing written: write_refusals does that when
    the request, task or command is over. `by` is None for a machine.
    """
    here = origin.current()
    if here is None or len(here.refused) >= MOST_AT_ONCE:
        return
    here.refused.append(
        Refused(
            model=model._meta.label_lower if model else PAGE,
            key=tuple(sorted(key.items())),
            wanted=wanted,
            person=by.pk if by else None,
            company=company,
            written_by=written_by(by),
        )
    )


def noting_refusals(service: Callable) -> Callable:
    """Note it when a service refuses somebody a right they do not hold (R5)."""

    @wraps(service)
    def noted(subject, *args, by: User | None, **options):
        try:
            return service(subject, *args, by=by, **options)
        except ValidationError as refusal:
            wanted = MISSING_RIGHTS.get(getattr(refusal, "code", None))
            if by is not None and wanted is not None:
                company = _company_of(subject, options)
                note_refusal(
                    PartnerAccount,
                    {"pk": company.pk},
                    wanted=str(wanted),
                    by=by,
                    company=company.pk,
                )
            raise

    return noted


def _company_of(subject, options: dict[str, Any]) -> PartnerAccount:
    """Return the company a service was asked to change."""
    if isinstance(subject, PartnerAccount):
        return subject
    if "account" in options:
        return options["account"]
    first = subject[0] if isinstance(subject, list) else subject
    return first.partner_account


def write_refusals(here: Origin) -> None:
    """Write what was refused, each in a transaction of its own; never fail."""
    with origin.coming_from(here):
        for refused in here.refused:
            try:
                _write(refused)
            except Exception:
                logger.exception("audit: a refused access could not be written")


def _write(refused: Refused) -> None:
    who = _whose(refused)
    number = _so_many(who)
    if number > MOST_IN_A_WINDOW + 1:
        return
    if number == MOST_IN_A_WINDOW + 1:
        _record(
            refused,
            PAGE,
            "many",
            company=refused.company,
            after={"times": MOST_IN_A_WINDOW},
        )
        return
    if not _is_first(f"{who} {refused.model} {refused.key}"):
        return
    with transaction.atomic():
        point = transaction.savepoint()
        found = _found(refused)
        if found is None:
            # The same work, for nothing.
            _record(refused, PAGE, "nothing", company=refused.company)
            transaction.savepoint_rollback(point)
        else:
            _record(refused, refused.model, **found)
            transaction.savepoint_commit(point)


def _record(
    refused: Refused,
    object_type: str,
    object_id: str,
    *,
    company: int | None,
    location: int | None = None,
    person: int | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    AuditEvent.objects.create(
        **refused.written_by,
        **coming_from_here(),
        **chain_of(company),
        action=AuditAction.ACCESS_DENIED,
        object_type=object_type,
        object_id=object_id,
        person_id=person,
        location_id=location,
        after={"wanted": refused.wanted} | (after or {}),
    )


def _found(refused: Refused) -> dict[str, Any] | None:
    """Return what the trail says of the refused row; None when there is none."""
    if refused.model == PAGE:
        (page,) = (str(value) for _name, value in refused.key)
        return {"object_id": masked_text(page)[:64], "company": refused.company}
    model = apps.get_model(refused.model)
    company, location = _place_of(model)
    rows = model._default_manager.order_by("pk").annotate(
        its_company=company, its_location=location
    )
    try:
        rows = rows.filter(**dict(refused.key))
        found = rows.values_list("pk", "its_company", "its_location").first()
    except (ValidationError, ValueError):
        return None
    if found is None:
        return None
    key, company, location = found
    if refused.person is None and company is not None and company == refused.company:
        # What a directory no longer finds of its own company was not kept from it.
        return None
    return {
        "object_id": str(key),
        "company": company,
        "location": location if company else None,
        "person": key if model is User else None,
    }


def _place_of(model: type[Model]) -> tuple[Expression, Expression]:
    """Where rows of a table keep their company and location, asked with the row."""
    if model is User:
        of_now = Q(memberships__ended_at=None)
        return Min("memberships__partner_account", filter=of_now), NOWHERE
    scope = getattr(model._default_manager.all(), "scope", None)
    if scope is None:
        return NOWHERE, NOWHERE
    return F(scope.account), F(scope.location) if scope.location else NOWHERE


def _whose(refused: Refused) -> str:
    """Under what somebody's refusals are counted.

    Strangers' are counted for what they tried from where, so that nobody hides a try at
    one account behind noise at others; how often they may try is limited at the door.
    """
    if refused.person is None and refused.wanted in BEFORE_SIGN_IN:
        here = origin.current()
        return f"{here.place if here else ''} {refused.key}"
    return str(refused.person or refused.written_by.get("actor_name", ""))


def _is_first(what: str) -> bool:
    """Whether this is the first time in the window; asked once."""
    return cache.add(f"refused:{_short(what)}", 1, WINDOW_SECONDS)


def _so_many(who: str) -> int:
    """Count the refusals of somebody in the window, this one too."""
    name = f"refusals:{_short(who)}"
    cache.add(name, 0, WINDOW_SECONDS)
    try:
        return cache.incr(name)
    except ValueError:
        return 1


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
