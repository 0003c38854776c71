"""Partner pages about people: who they are, which roles they hold, who is to come."""

from accounts.views.assigning import assign, preview
from accounts.views.colleagues import (
    invitations,
    invite,
    preview_invitation,
    resend_invitation,
    revoke_invitation,
)
from accounts.views.joining import accept, invitation, join, link
from accounts.views.people import gaps, people
from accounts.views.person import deactivate, person, revoke
from accounts.views.provisioning import (
    create_token,
    map_group,
    provisioning,
    replace_token,
    revoke_token,
    unmap_group,
)
from accounts.views.recovery import recovery, stop_recovery
from accounts.views.requests import (
    decline_access,
    grant_access,
    request_access,
    requests,
)
from accounts.views.resets import decline_reset, lost_factor, vouch

__all__ = [
    "accept",
    "assign",
    "create_token",
    "deactivate",
    "decline_access",
    "decline_reset",
    "gaps",
    "grant_access",
    "invitation",
    "invitations",
    "invite",
    "join",
    "link",
    "lost_factor",
    "map_group",
    "people",
    "person",
    "preview",
    "preview_invitation",
    "provisioning",
    "recovery",
    "replace_token",
    "request_access",
    "requests",
    "resend_invitation",
    "revoke",
    "revoke_invitation",
    "revoke_token",
    "stop_recovery",
    "unmap_group",
    "vouch",
]
