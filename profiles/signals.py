"""What profiles say upward: a status changed, a question was asked, and so on.

Sent inside the transaction of the change; who listens and raises takes the change
back with it.
"""

from django.dispatch import Signal

# version, by
profile_status_changed = Signal()
# profile, by
profile_archived = Signal()
# version, at: a question about it was asked of the partner, or answered, or it was
# stopped or released
version_questioned = Signal()
