"""The portal starts with safe settings, or says in one sentence why it does not."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

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
SHOW_LIMITS = (
    "from django.conf import settings as s;"
    "print(s.PAGE_STATEMENT_SECONDS, s.PAGE_LOCK_SECONDS,"
    " s.DATABASES['default']['OPTIONS']['options'])"
)
OTHER_HOSTS = {"HSTS_INCLUDE_SUBDOMAINS": "true"}


# Reads what the settings import, nothing of ours; then becomes each start in turn.
START_ALL = """
import json, os, sys
import celery.signals, csp.constants, django.core.management, environ
codes = []
for folder, show, variables in json.load(sys.stdin):
    child = os.fork()
    if not child:
        os.environ.clear()
        os.environ.update(variables)
        for number, name in (1, "stdout"), (2, "stderr"):
            os.dup2(os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY), number)
        break
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    print(json.dumps(codes))
    sys.exit()
exec(show)
"""


@dataclass(frozen=True)
class Started:
    """What a start left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def start_all(tmp_path):
    """Read the production settings, each time in a process with these variables alone."""

    def started(*given: dict, show: str = SHOW) -> list[Started]:
        folders = [tmp_path / str(number) for number in range(len(given))]
        cases = []
        for folder, variables in zip(folders, given, strict=True):
            folder.mkdir()
            set_ones = {n: value for n, value in variables.items() if value is not None}
            settings_of = {"DJANGO_SETTINGS_MODULE": "incentives_portal.settings"}
            cases.append((str(folder), show, settings_of | set_ones))
        codes = subprocess.run(
            [sys.executable, "-c", START_ALL],
            cwd=settings.BASE_DIR,
            env={"PATH": os.environ["PATH"]},
            input=json.dumps(cases),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        return [
            Started(
                code,
                (folder / "stdout").read_text(),
                (folder / "stderr").read_text(),
            )
            for code, folder in zip(json.loads(codes), folders, strict=True)
        ]

    return started


def test_production_is_safe_by_default(start_all):
    (started,) = start_all(GOOD)

    assert started.stdout.split() == [
        "False",
        "False",
        "https://portal.example.com",
        "__Host-sessionid",
        "True",
        "True",
    ]


def test_without_what_matters_it_refuses_and_names_the_variable(start_all):
    names = sorted(GOOD)

    for name, started in zip(
        names, start_all(*(GOOD | {name: None} for name in names)), strict=True
    ):
        assert started.returncode == 1, name
        assert started.stderr.startswith("The portal cannot start: ")
        assert name in started.stderr
        assert ".env.example" in started.stderr
        assert "Traceback" not in started.stderr


UNUSABLE = [
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
]


def test_an_unusable_value_is_one_sentence(start_all):
    all_started = start_all(*(GOOD | {name: value} for name, value in UNUSABLE))

    for (name, value), started in zip(UNUSABLE, all_started, strict=True):
        assert started.returncode == 1, (name, value)
        assert started.stderr.startswith("The portal cannot start: ")
        assert len(started.stderr.strip().splitlines()) == 1
        assert name in started.stderr


def test_https_is_promised_for_other_hosts_only_when_asked_to(start_all):
    demo = {"DEMO": "true", "PUBLIC_BASE_URL": "http://127.0.0.1"}
    given = [{}, {"HSTS_SECONDS": "3600"}, OTHER_HOSTS]
    given += [OTHER_HOSTS | {"HSTS_PRELOAD": "true"}, demo]

    all_started = start_all(*(GOOD | one for one in given), show=SHOW_HSTS)

    assert [started.stdout.strip() for started in all_started] == [
        "31536000 False False",
        "3600 False False",
        "31536000 True False",
        "31536000 True True",
        "0 False False",
    ]


def test_how_long_the_database_may_take_can_be_set(start_all):
    longer = {"PAGE_STATEMENT_SECONDS": "8", "PAGE_LOCK_SECONDS": "4"}
    longer |= {"JOB_STATEMENT_SECONDS": "90", "JOB_LOCK_SECONDS": "20"}
    of_itself, as_set, without_end = start_all(
        GOOD,
        GOOD | longer,
        GOOD | {"PAGE_STATEMENT_SECONDS": "0"},
        show=SHOW_LIMITS,
    )

    assert of_itself.stdout.startswith(
        "5 3 -c statement_timeout=60s -c lock_timeout=10s "
    )
    assert as_set.stdout.startswith("8 4 -c statement_timeout=90s -c lock_timeout=20s ")
    assert without_end.returncode == 1
    assert "PAGE_STATEMENT_SECONDS must be a whole number" in without_end.stderr


def test_the_browsers_lists_want_a_year(start_all):
    (started,) = start_all(
        GOOD | OTHER_HOSTS | {"HSTS_PRELOAD": "true", "HSTS_SECONDS": "3600"},
        show=SHOW_HSTS,
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


def test_a_second_factor_is_asked_for_wherever_it_is_no_demo(start_all):
    show = "from django.conf import settings as s; print(s.SECOND_FACTOR_REQUIRED)"

    all_started = start_all(
        GOOD | {"DEMO": "true"}, GOOD | {"DEMO": "false"}, show=show
    )

    assert [one.stdout.strip() for one in all_started] == ["False", "True"], all_started
