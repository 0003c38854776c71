"""What profiles say upward: a version changed its status, a profile is to be archived.

Sent inside the transaction of the change; who listens and raises takes the change
back with it.
"""

from django.dispatch import Signal

# version, by
profile_status_changed = Signal()
# profile, by
profile_archived = Signal()
