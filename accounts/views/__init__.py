"""Partner pages about people: who they are, which roles they hold."""

from accounts.views.people import assign, gaps, people, preview, revoke

__all__ = ["assign", "gaps", "people", "preview", "revoke"]
