"""What keeps web server and worker from starting: a lost key, a broker that forgets."""

import gc
import io
import runpy

import pytest
import redis
from celery.signals import worker_process_init
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.urls import URLResolver, clear_url_caches, reverse
from django.utils.translation import override

from incentives_portal import celery
from profiles.tests.factories import BankProfileFactory

OLD = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
NEW = "k2:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="


def test_neither_web_server_nor_worker_starts_without_a_key_in_use(served, settings):
    settings.FIELD_ENCRYPTION_KEYS = OLD
    BankProfileFactory()
    settings.FIELD_ENCRYPTION_KEYS = NEW

    with pytest.raises(SystemCheckError, match="Put the key back"):
        runpy.run_module("incentives_portal.wsgi")
    with pytest.raises(SystemExit, match=r"profiles_bankprofileversion\.details"):
        celery.refuse_to_start()

    # The control: with the key, and after the rotation without it, both start.
    settings.FIELD_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    runpy.run_module("incentives_portal.wsgi")
    call_command("rotate_field_keys", stdout=io.StringIO())
    settings.FIELD_ENCRYPTION_KEYS = NEW
    runpy.run_module("incentives_portal.wsgi")
    celery.refuse_to_start()


@pytest.mark.django_db(transaction=True)
def test_no_worker_starts_on_a_redis_that_drops_what_it_holds(monkeypatch):
    # The control: the tests' own drops nothing.
    celery.refuse_to_start()

    monkeypatch.setattr(
        redis.Redis, "info", lambda *_: {"maxmemory_policy": "allkeys-lru"}
    )
    with pytest.raises(SystemExit, match="Set its maxmemory-policy to noeviction"):
        celery.refuse_to_start()


@pytest.mark.django_db(transaction=True)
def test_a_worker_waits_for_a_redis_that_is_away(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    celery.refuse_to_start()


def test_a_process_of_a_worker_has_what_stays_loaded_before_its_first_task():
    assert celery.get_ready in [one() for _key, one in worker_process_init.receivers]
    before = gc.get_freeze_count()
    load = [[] for _ in range(1000)]

    celery.get_ready()

    assert gc.get_freeze_count() >= before + len(load)


def test_a_process_of_a_worker_knows_the_addresses_of_each_language(monkeypatch):
    clear_url_caches()
    celery.get_ready()
    # What Django looks through all of them by.
    monkeypatch.delattr(URLResolver, "_populate")

    for language in ("en", "sv"):
        with override(language):
            assert reverse("home") == "/"
