"""What the clock does to profiles; a door, each call bears repetition."""

from celery import shared_task
from django.utils import timezone

from profiles import bank_drafting, drafting, preparing, services


@shared_task
def bring_changes_into_force() -> None:
    """Let approved changes of bank accounts take effect, however late it became."""
    services.bring_changes_into_force(at=timezone.now())


@shared_task
def discard_forgotten_drafts() -> None:
    """Throw away drafts of profiles that nobody went on with, and their documents."""
    now = timezone.now()
    bank_drafting.discard_forgotten_bank_drafts(at=now)
    drafting.discard_forgotten_tax_drafts(at=now)
    preparing.expire_parts(at=now)
