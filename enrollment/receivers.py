"""What profiles' signals mean for enrollments; a door, inside the sender's transaction."""

from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.utils.translation import ngettext

from enrollment import emails
from enrollment.models import PayoutAssignment
from enrollment.services import reassess_enrollments
from enrollment.states import OPEN
from profiles.models import BankProfile
from profiles.signals import profile_archived, profile_status_changed


@receiver(profile_status_changed, dispatch_uid="enrollment.profile_status_changed")
def follow_profile(sender, version, by, **kwargs):
    """Move the enrollments that use the profile; tell its sender if there are none."""
    moved = reassess_enrollments(version, by=by)
    if not moved and (version.is_approved or version.is_returned):
        emails.profile_decided(version)


@receiver(profile_archived, dispatch_uid="enrollment.profile_archived")
def refuse_archiving_used_profile(sender, profile, by, **kwargs):
    """A profile that open enrollments are paid through stays (R53)."""
    name = "bank_profile" if isinstance(profile, BankProfile) else "tax_profile"
    uses = (
        PayoutAssignment.objects.filter(**{name: profile}, enrollment__status__in=OPEN)
        .values("enrollment")
        .distinct()
        .count()
    )
    if uses:
        raise ValidationError(
            ngettext(
                "%(count)d enrollment uses this profile. Choose another there first.",
                "%(count)d enrollments use this profile. Choose another there first.",
                uses,
            )
            % {"count": uses},
            code="in_use",
        )
