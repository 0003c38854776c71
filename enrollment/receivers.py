"""What profiles' signals mean for enrollments; a door, inside the sender's transaction."""

from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.utils.translation import ngettext

from enrollment import emails
from enrollment.services import follow_questions, reassess_enrollments
from profiles.signals import (
    profile_archived,
    profile_status_changed,
    version_questioned,
)


@receiver(profile_status_changed, dispatch_uid="enrollment.profile_status_changed")
def follow_profile(sender, version, by, **kwargs):
    """Move the enrollments that use the profile; tell its sender if there are none.

    Of a change of an account in force everybody is told already.
    """
    moved = reassess_enrollments(version, by=by)
    follow_questions(version)
    is_news = version.is_returned or (version.is_approved and not version.is_change)
    if is_news and not moved:
        emails.profile_decided(version)


@receiver(version_questioned, dispatch_uid="enrollment.version_questioned")
def follow_question(sender, version, at, **kwargs):
    """Let the promise of the enrollments stand still, or run on, with the version's."""
    follow_questions(version, at=at)


@receiver(profile_archived, dispatch_uid="enrollment.profile_archived")
def refuse_archiving_used_profile(sender, profile, by, **kwargs):
    """A profile that enrollments use stays (R53)."""
    uses = type(profile).objects.with_uses().get(pk=profile.pk).uses
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
