"""The Celery app; tasks are found in each app's tasks.py."""

import gc
import os

from celery import Celery
from celery.signals import worker_init, worker_process_init
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.urls import reverse
from django.utils.translation import override

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "incentives_portal.settings")

app = Celery("incentives_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def refuse_to_start(**kwargs):
    """End a worker that lacks a key, or whose broker drops tasks, before it takes one."""
    try:
        call_command(
            "check",
            tags=["field_keys", "broker"],
            deploy=True,
            databases=["default"],
        )
    except CommandError as error:
        # Celery logs what a receiver raises, and goes on; not so with this.
        raise SystemExit(str(error)) from error
    finally:
        # The pool's processes open their own.
        connections.close_all()


@worker_process_init.connect
def get_ready(**kwargs):
    """Load the addresses and languages before the first mail needs one, and look at what is
    loaded no more: Python goes through all of it again and again, to find what can be
    thrown away.
    """
    for language, _name in settings.LANGUAGES:
        # Addresses are looked for in each language by itself.
        with override(language):
            reverse("home")
    gc.collect()
    gc.freeze()
