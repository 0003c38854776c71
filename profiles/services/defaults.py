"""The bank profile and currency that a location's next enrollments start with."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import AuditAction, Location, User
from accounts.roles import Permission
from accounts.services import check_still_may, lock_companies, record_audit_event
from profiles import currencies, emails
from profiles.models import BankProfile, DefaultBankProfile
from profiles.services.approvals import refuse_too_new, takes_place_from
from profiles.services.versions import locked, refuse_archived


@transaction.atomic
def set_default_bank_profile(
    locations: list[Location],
    *,
    bank_profile: BankProfile,
    currency: str,
    moving: Collection[Location] = (),
    seen: Mapping[int, str] | None = None,
    is_told: bool = False,
    by: User,
    at: datetime | None = None,
) -> list[DefaultBankProfile]:
    """Make a bank profile and currency the default of several locations (R50-R52).

    Those of `moving` give up the default they have, if any; everybody is told of them,
    unless the caller does (`is_told`). `seen` is which profile each had when somebody
    chose to move it; another one by now is refused (code "changed"). Raises ValidationError for an account so new
    that it takes no other's place yet (code "too_new", docs/adr/0013), when another
    location has a default already, when one is closed or another company's,
    when something is missing or archived, or when the bank does not take the currency.
    All or none.
    """
    if not locations:
        raise ValidationError({"locations": _("Choose at least one location.")})
    bank_profile = locked(bank_profile)
    refuse_archived(bank_profile)
    _refuse_currency(bank_profile, currency)
    refuse_too_new(bank_profile, field="bank_profile", at=at)
    # The rows of the locations are the locks that keep two defaults apart (R51).
    locations = list(
        Location.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk__in=[location.pk for location in locations])
        .order_by("name", "pk")
    )
    _refuse_foreign_or_closed(locations, bank_profile=bank_profile)
    check_still_may(*locations, permission=Permission.PROFILE_EDIT, by=by)
    left: dict[BankProfile, list[str]] = {}
    moved = set()
    rows = DefaultBankProfile.objects.filter(location__in=list(moving))
    for present in rows.select_related("bank_profile", "location").order_by("pk"):
        if present.bank_profile != bank_profile:
            left.setdefault(present.bank_profile, []).append(present.location.name)
        if seen is not None and seen.get(present.location_id) != str(
            present.bank_profile_id
        ):
            raise _moved_meanwhile(present)
        check_still_may(present, permission=Permission.PROFILE_EDIT, by=by)
        take_default(present, by=by)
        moved.add(present.location_id)
    _refuse_default_set(locations)
    defaults = []
    for location in locations:
        default = DefaultBankProfile.objects.create(
            location=location,
            partner_account_id=bank_profile.partner_account_id,
            bank_profile=bank_profile,
            currency=currency,
            set_by=by,
        )
        record_audit_event(
            default,
            action=AuditAction.DEFAULT_SET,
            by=by,
            partner_account=bank_profile.partner_account,
            after={
                "location": location.pk,
                "bank_profile": str(bank_profile.pk),
                "currency": currency,
            },
        )
        defaults.append(default)
    if not is_told:
        news = [one.name for one in locations if one.pk not in moved]
        _tell(bank_profile, left=left, news=news, by=by)
    return defaults


def _moved_meanwhile(present: DefaultBankProfile) -> ValidationError:
    sentence = _(
        "%(location)s has another default since you looked: %(profile)s. If it is to "
        "move all the same, save once more."
    )
    names = {"location": present.location.name, "profile": present.bank_profile.name}
    return ValidationError(
        {"moving": ValidationError(sentence, code="changed", params=names)}
    )


def _tell(
    bank_profile: BankProfile,
    *,
    left: dict[BankProfile, list[str]],
    news: list[str],
    by: User,
) -> None:
    """Tell of defaults that moved, and where any but the first account is one newly.

    Who takes a default away and sets another one is heard of as who moves it.
    """
    for old, names in left.items():
        emails.payout_moved(old, bank_profile, places=_places(names), by=by)
    if news and takes_place_from(bank_profile) is not None:
        emails.default_set(bank_profile, places=_places(news), by=by)


def _places(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"program": "", "place": name} for name in names]


@transaction.atomic
def remove_default_bank_profile(default: DefaultBankProfile, *, by: User) -> None:
    """Take a location's default away; enrollments already submitted stay as they are.

    Everybody is told as of one that moves.
    """
    lock_companies(default.partner_account_id)
    rows = DefaultBankProfile.objects.select_for_update(of=("self",))
    row = rows.filter(pk=default.pk).first()
    if row is not None:
        check_still_may(row, permission=Permission.PROFILE_EDIT, by=by)
        take_default(row, by=by)
        emails.default_removed(
            row.bank_profile, places=_places([row.location.name]), by=by
        )


def take_default(row: DefaultBankProfile, *, by: User) -> None:
    record_audit_event(
        row,
        action=AuditAction.DEFAULT_REMOVED,
        by=by,
        partner_account=row.partner_account,
        before={
            "location": row.location_id,
            "bank_profile": str(row.bank_profile_id),
            "currency": row.currency,
        },
    )
    row.delete()


def _refuse_foreign_or_closed(
    locations: list[Location], *, bank_profile: BankProfile
) -> None:
    for location in locations:
        if location.partner_account_id != bank_profile.partner_account_id:
            raise ValidationError(
                {"locations": _("Choose locations of the bank profile's company.")}
            )
        if location.closed_at is not None:
            raise ValidationError(
                {
                    "locations": _("%(location)s is closed. Leave it out.")
                    % {"location": location.name}
                }
            )


def _refuse_default_set(locations: list[Location]) -> None:
    taken = DefaultBankProfile.objects.filter(location__in=locations)
    names = ", ".join(sorted(taken.values_list("location__name", flat=True)))
    if names:
        raise ValidationError(
            {
                "locations": _("%(names)s: a default is set already. Remove it first.")
                % {"names": names}
            },
            code="has_default",
        )


def _refuse_currency(profile: BankProfile, currency: str) -> None:
    version = profile.current_version
    if version.takes_only_local and currency != version.local_currency:
        raise ValidationError(
            {
                "currency": _("This bank takes only %(currency)s.")
                % {"currency": version.local_currency}
            }
        )
    if currency not in currencies.CURRENCIES:
        raise ValidationError({"currency": _("Choose a currency from the list.")})
