"""What the worker and the clock do with mail, sessions and access; a door."""

import time

from celery import shared_task
from django.utils import timezone

from accounts import outbox, services

# After this many seconds no other batch is begun, so that a task stays short; what is
# left is found by the next one.
LONG_ENOUGH = 60


@shared_task
def deliver_mail() -> None:
    """Send what is due, batch by batch, until nothing is left that can go now."""
    began = time.monotonic()
    while time.monotonic() - began < LONG_ENOUGH:
        delivery = outbox.deliver()
        if delivery.claimed == 0 or delivery.is_server_away:
            return


@shared_task
def clear_sessions() -> None:
    """Delete the sessions whose time is over."""
    services.clear_sessions()


@shared_task
def close_what_is_over() -> None:
    """Close invitations whose time is over and requests that nobody needs."""
    services.expire_invitations(at=timezone.now())
    services.lapse_requests(at=timezone.now())
    services.lapse_recoveries(at=timezone.now())
    services.lapse_factor_resets(at=timezone.now())
