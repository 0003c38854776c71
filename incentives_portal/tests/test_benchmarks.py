"""The benchmarks still run: the smallest of them, quickly, to its last line."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection, connections


@pytest.fixture
def template(django_db_setup, django_db_blocker) -> str:
    """The name of the tests' database, with nobody connected to it."""
    with django_db_blocker.unblock():
        connections.close_all()
        return connection.settings_dict["NAME"]


@pytest.mark.long
def test_the_pages_of_people_are_measured_in_a_quick_run(template, tmp_path):
    environment = os.environ | {
        "BENCH_TEMPLATE": template,
        "DEMO": "true",
        "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
        "STATIC_ROOT": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "benchmarks/people.py", "--quick"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["benchmark"] == "people"
    assert {"people", "people_deep", "gaps", "gaps_deep", "assign"} <= {*told["ratios"]}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        ("invitations", {"ours", "bulk_create"}),
        ("mail", {"one_worker", "two_workers", "post_office"}),
        ("import", {"ours", "import_export"}),
    ],
)
def test_campaigns_their_mail_and_imports_are_measured_in_a_quick_run(
    template, name, ratios
):
    environment = os.environ | {
        "BENCH_TEMPLATE": template,
        "DEMO": "true",
        "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
    }

    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", "--quick"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["benchmark"], {*told["ratios"]}) == (name, ratios)
