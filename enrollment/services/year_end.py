"""The clock at the year end: rehearsals by itself, and reminders of what nobody did."""

from datetime import timedelta

# So long before a year begins it is rehearsed and reminded of, and so long after.
AHEAD = timedelta(days=28)
BEHIND = timedelta(days=60)
