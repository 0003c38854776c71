"""What is left of sessions that are over."""

from importlib import import_module

from django.conf import settings
from django.db import transaction


@transaction.atomic
def clear_sessions() -> None:
    """Delete the sessions whose time is over: nobody is signed in with them.

    Who signs in again gets a new one; the old rows would only grow in number.
    """
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
