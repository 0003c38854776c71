"""What is left of sessions that are over."""

from importlib import import_module

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction


@transaction.atomic
def clear_sessions() -> None:
    """Delete the sessions whose time is over: nobody is signed in with them.

    Who signs in again gets a new one; the old rows would only grow in number. What is
    listed of them for their owners goes too.
    """
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    living = Session.objects.values("session_key")
    UserSession.objects.exclude(session_key__in=living).delete()
