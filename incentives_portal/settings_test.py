"""Settings of the tests: fast hasher, plain http, no compressed static files."""

import os

from incentives_portal.settings import *  # noqa: F403
from incentives_portal.settings import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
DATABASES["default"]["TEST"] = {
    "NAME": "test_portal" + os.environ.get("TEST_DB_SUFFIX", "")
}
DATABASES["default"]["CONN_MAX_AGE"] = 0
