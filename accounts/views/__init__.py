"""Partner pages about people: who they are, which roles they hold, who is to come."""

from accounts.views.colleagues import (
    invitations,
    invite,
    preview_invitation,
    resend_invitation,
    revoke_invitation,
)
from accounts.views.joining import accept, invitation, join, link
from accounts.views.people import assign, gaps, people, preview, revoke

__all__ = [
    "accept",
    "assign",
    "gaps",
    "invitation",
    "invitations",
    "invite",
    "join",
    "link",
    "people",
    "preview",
    "preview_invitation",
    "resend_invitation",
    "revoke",
    "revoke_invitation",
]
