"""The portal starts with safe settings, or says in one sentence why it does not."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from incentives_portal.celery import app as celery_app

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
OTHER_KEY = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
GOOD = {
    "SECRET_KEY": "a-secret-of-production-with-more-than-fifty-characters-in-it",
    "DATABASE_URL": "postgres://portal@127.0.0.1:5432/portal",
    "FIELD_ENCRYPTION_KEYS": f"k1:{KEY}",
    "BLIND_INDEX_KEY": OTHER_KEY,
    "ALLOWED_HOSTS": "portal.example.com",
}
SHOW = (
    "from django.conf import settings as s;"
    "print(s.DEBUG, s.DEMO, s.PUBLIC_BASE_URL, s.SESSION_COOKIE_NAME,"
    " s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT)"
)
SHOW_HSTS = (
    "from django.conf import settings as s;"
    "print(s.SECURE_HSTS_SECONDS, s.SECURE_HSTS_INCLUDE_SUBDOMAINS,"
    " s.SECURE_HSTS_PRELOAD)"
)
OTHER_HOSTS = {"HSTS_INCLUDE_SUBDOMAINS": "true"}


def start(show: str = SHOW, **variables) -> subprocess.CompletedProcess:
    """Read the production settings in a process that has these variables alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
    } | {name: value for name, value in variables.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", show],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_is_safe_by_default():
    started = start(**GOOD)

    assert started.stdout.split() == [
        "False",
        "False",
        "https://portal.example.com",
        "__Host-sessionid",
        "True",
        "True",
    ]


@pytest.mark.parametrize("name", sorted(GOOD))
def test_without_what_matters_it_refuses_and_names_the_variable(name):
    started = start(**GOOD | {name: None})

    assert started.returncode == 1
    assert started.stderr.startswith("The portal cannot start: ")
    assert name in started.stderr
    assert ".env.example" in started.stderr
    assert "Traceback" not in started.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", ".example.com"),
        ("ALLOWED_HOSTS", " , "),
        ("DATABASE_URL", "mysql://portal@127.0.0.1/portal"),
        ("DATABASE_URL", "postgres://portal@127.0.0.1:port/portal"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("EMAIL_URL", "nonsense"),
        ("PUBLIC_BASE_URL", "http://portal.example.com"),
        ("FIELD_ENCRYPTION_KEYS", "k1:tooshort"),
        ("FIELD_ENCRYPTION_KEYS", f"k1:{KEY},k1:{KEY}"),
        ("BLIND_INDEX_KEY", "tooshort"),
        ("BLIND_INDEX_KEY", KEY),
        ("DEBUG", "true"),
        ("DEBUG", "maybe"),
        ("DEMO", "perhaps"),
        ("HSTS_SECONDS", "a year"),
        ("HSTS_INCLUDE_SUBDOMAINS", "perhaps"),
        ("HSTS_PRELOAD", "true"),
    ],
)
def test_an_unusable_value_is_one_sentence(name, value):
    started = start(**GOOD | {name: value})

    assert started.returncode == 1
    assert started.stderr.startswith("The portal cannot start: ")
    assert len(started.stderr.strip().splitlines()) == 1
    assert name in started.stderr


@pytest.mark.parametrize(
    ("given", "promised"),
    [
        ({}, "31536000 False False"),
        ({"HSTS_SECONDS": "3600"}, "3600 False False"),
        (OTHER_HOSTS, "31536000 True False"),
        (OTHER_HOSTS | {"HSTS_PRELOAD": "true"}, "31536000 True True"),
        ({"DEMO": "true", "PUBLIC_BASE_URL": "http://127.0.0.1"}, "0 False False"),
    ],
    ids=["a year for this host", "less", "other hosts", "browsers' lists", "the demo"],
)
def test_https_is_promised_for_other_hosts_only_when_asked_to(given, promised):
    assert start(SHOW_HSTS, **GOOD | given).stdout.strip() == promised


def test_the_browsers_lists_want_a_year():
    started = start(
        SHOW_HSTS, **GOOD | OTHER_HOSTS, HSTS_PRELOAD="true", HSTS_SECONDS="3600"
    )

    assert started.returncode == 1
    assert "HSTS_PRELOAD needs" in started.stderr


@pytest.mark.parametrize("name", sorted(settings.CELERY_BEAT_SCHEDULE))
def test_what_the_clock_asks_for_is_dropped_before_it_is_asked_for_again(name):
    entry = settings.CELERY_BEAT_SCHEDULE[name]

    assert 0 < entry["options"]["expires"] <= entry["schedule"]
    # deliver-mail is rung for besides: its last moment is the next one's first.
    is_shorter = entry["options"]["expires"] < entry["schedule"]
    assert is_shorter or name == "deliver-mail"
    celery_app.loader.import_default_modules()
    assert entry["task"] in celery_app.tasks


@pytest.mark.parametrize(("demo", "is_required"), [("true", False), ("false", True)])
def test_a_second_factor_is_asked_for_wherever_it_is_no_demo(demo, is_required):
    show = "from django.conf import settings as s; print(s.SECOND_FACTOR_REQUIRED)"

    started = start(show=show, **GOOD, DEMO=demo)

    assert started.stdout.strip() == str(is_required), started.stderr
