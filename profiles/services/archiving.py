"""Putting profiles away; they are never deleted (R53)."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import ngettext

from accounts.models import AuditAction, Location, User
from profiles import reasons
from profiles.models import BankProfile, DefaultBankProfile, Profile, TaxProfile
from profiles.services.deciding import give_back
from profiles.services.defaults import take_default
from profiles.services.versions import locked, locked_by_editor, record
from profiles.signals import profile_archived
from profiles.states import ProfileStatus


@transaction.atomic
def archive_profile(profile: Profile, *, reason: str = "", by: User) -> Profile:
    """Put a profile away; profiles are never deleted (R53).

    Raises ValidationError while it is a location's default; whoever else uses it
    refuses through the signal's receivers.
    """
    return _put_away(locked_by_editor(profile, by=by), reason=reason, by=by)


def _put_away(profile: Profile, *, reason: str, by: User) -> Profile:
    if profile.archived_at is not None:
        return profile
    if profile.part == "bank":
        uses = profile.defaults.count()
        if uses:
            raise ValidationError(
                ngettext(
                    "This is the default bank profile of %(count)d location. Choose "
                    "another default there first.",
                    "This is the default bank profile of %(count)d locations. Choose "
                    "another default there first.",
                    uses,
                )
                % {"count": uses},
                code="in_use",
            )
    profile.archived_at = timezone.now()
    profile.archived_by = by
    profile.save(update_fields=["archived_at", "archived_by"])
    record(
        profile.versions.order_by("-number").first(),
        AuditAction.PROFILE_ARCHIVED,
        by=by,
        reason=reason,
    )
    profile_archived.send(sender=type(profile), profile=profile, by=by)
    return profile


@transaction.atomic
def put_away_at_closed_location(
    location: Location, *, bank_profiles: Iterable[BankProfile], reason: str, by: User
) -> None:
    """Take what waits because of a location that is closed out of the queue.

    Its tax profiles are archived and its default bank profile is taken away. Of
    `bank_profiles`, those that nothing uses any more, a waiting version is returned
    with the reason: the company may send it again for another location. For the
    service that closes the location, which ended its enrollments before.
    """
    for default in DefaultBankProfile.objects.select_for_update(of=("self",)).filter(
        location=location
    ):
        take_default(default, by=by)
    taxes = TaxProfile.objects.filter(location=location).in_use().order_by("pk")
    for profile in taxes:
        _put_away(locked(profile), reason=reason, by=by)
    for profile in bank_profiles:
        version = profile.versions.filter(status=ProfileStatus.PENDING).first()
        if version is not None:
            # Nobody judged it: whoever closes a location needs no right to validate.
            closed = {"field": "country", "code": reasons.LOCATION_CLOSED, "note": ""}
            give_back(version, [closed], by=by)
