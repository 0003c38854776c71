"""Settings of the tests: fast hasher, plain http, no compressed static files."""

import os

from incentives_portal.settings import *
from incentives_portal.settings import DATABASES, MIDDLEWARE

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    # For people who sign in to a portal that runs with its real settings.
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
DATABASES["default"]["TEST"] = {
    "NAME": "test_portal" + os.environ.get("TEST_DB_SUFFIX", ""),
    # Made by script/_test_template.py; conftest.py waits for it.
    "TEMPLATE": os.environ.get("TEST_DB_TEMPLATE"),
}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Rows are few here, and in whichever order they are joined is as good: weighing all
# orders took PostgreSQL a third of its time. Benchmarks and servers do weigh them.
DATABASES["default"]["OPTIONS"]["options"] += (
    " -c join_collapse_limit=3 -c from_collapse_limit=3"
)
# Static files are found where they lie; there is nothing collected to serve.
MIDDLEWARE = [name for name in MIDDLEWARE if "whitenoise" not in name]
