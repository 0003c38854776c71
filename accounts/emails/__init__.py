"""What the portal writes about people and their access: one function per event.

Each chooses its readers and queues the mail in the caller's transaction; the reader's
language and the frame are the outbox's. No mail holds a password.
"""

from accounts.emails.roles import readers_of_grant, roles_ended, roles_given
from accounts.emails.setting_up import company_set_up, operator_added

__all__ = [
    "company_set_up",
    "operator_added",
    "readers_of_grant",
    "roles_ended",
    "roles_given",
]
