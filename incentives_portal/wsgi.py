"""The web server's door."""

import gc
import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from accounts.time_limits import serve_pages

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "incentives_portal.settings")

application = get_wsgi_application()

# Not a page is served by a portal that lacks a key it needs (security.md §6.2).
call_command("check", tags=["field_keys"], databases=["default"])

# Every connection opened from now on is a page's.
serve_pages()

# What was loaded stays, and a page makes tens of thousands of objects that go with it:
# looking through all of them for circles every 700 took a twentieth of each answer.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
