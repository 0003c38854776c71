"""What the portal writes about people and their access: one function per event.

Each chooses its readers and queues the mail in the caller's transaction; the reader's
language and the frame are the outbox's. No mail holds a password.
"""

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
    "address_changed",
    "company_set_up",
    "operator_added",
    "password_changed",
    "readers_of_grant",
    "roles_ended",
    "roles_given",
    "second_factor_changed",
    "signed_in_from_new_place",
    "site_address",
]
