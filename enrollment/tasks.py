"""What the clock does to enrollments; a door, each call bears repetition."""

from celery import shared_task
from django.utils import timezone

from enrollment import services


@shared_task
def notify_waiting_admins() -> None:
    """Tell people who became Incentives admin after the invitation went out."""
    services.notify_waiting_admins()


@shared_task
def lapse_invitations() -> None:
    """Expire invitations whose last day has passed."""
    services.lapse_invitations(at=timezone.now())


@shared_task
def note_expired_tax_profiles() -> None:
    """Send enrollments with an expired tax profile back to the partner."""
    services.note_expired_tax_profiles(at=timezone.now())
