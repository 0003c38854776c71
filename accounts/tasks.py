"""What the worker does with mail; a door, like a view."""

from celery import shared_task

from accounts import outbox

# One wake-up sends at most this many batches, so that a task stays short; what is left
# is found by the next one.
MOST_BATCHES = 100


@shared_task
def deliver_mail() -> None:
    """Send what is due, batch by batch, until nothing is left that can go now."""
    for _batch in range(MOST_BATCHES):
        delivery = outbox.deliver()
        if delivery.claimed == 0 or delivery.is_server_away:
            return
