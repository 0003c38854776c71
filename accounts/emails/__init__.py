"""What the portal writes about people and their access: one function per event.

Each chooses its readers and queues the mail in the caller's transaction; the reader's
language and the frame are the outbox's. No mail holds a password; a one-time link is
made when its mail leaves.
"""

from accounts.emails.bounces import mail_came_back
from accounts.emails.colleagues import (
    colleague_invited,
    colleague_joined,
    invitation_link,
    invitation_mails,
    invitation_withdrawn,
    invitations_mailed_to,
    undeliverable,
)
from accounts.emails.company_sign_in import company_sign_in_changed
from accounts.emails.factor_resets import (
    factor_reset_asked,
    factor_reset_declined,
    factor_reset_vouched,
    factors_reset,
    stop_reset_link,
)
from accounts.emails.locations import closing_asked, closing_declined
from accounts.emails.provisioning import provisioning_token_changed
from accounts.emails.recovery import (
    recovery_declined,
    recovery_granted,
    recovery_requested,
)
from accounts.emails.requests import (
    access_declined,
    access_lapsed,
    access_requested,
)
from accounts.emails.roles import readers_of_grant, roles_ended, roles_given
from accounts.emails.setting_up import company_set_up, operator_added
from accounts.emails.signing_in import (
    address_changed,
    password_changed,
    second_factor_changed,
    signed_in_from_new_place,
    site_address,
)

__all__ = [
    "access_declined",
    "access_lapsed",
    "access_requested",
    "address_changed",
    "closing_asked",
    "closing_declined",
    "colleague_invited",
    "colleague_joined",
    "company_set_up",
    "company_sign_in_changed",
    "factor_reset_asked",
    "factor_reset_declined",
    "factor_reset_vouched",
    "factors_reset",
    "invitation_link",
    "invitation_mails",
    "invitation_withdrawn",
    "invitations_mailed_to",
    "mail_came_back",
    "operator_added",
    "password_changed",
    "provisioning_token_changed",
    "readers_of_grant",
    "recovery_declined",
    "recovery_granted",
    "recovery_requested",
    "roles_ended",
    "roles_given",
    "second_factor_changed",
    "signed_in_from_new_place",
    "site_address",
    "stop_reset_link",
    "undeliverable",
]
