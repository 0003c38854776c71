"""The Celery app; tasks are found in each app's tasks.py."""

import os

from celery import Celery
from celery.signals import worker_init
from django.core.management import CommandError, call_command
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "incentives_portal.settings")

app = Celery("incentives_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def refuse_lost_keys(**kwargs):
    """End a worker that lacks a key it needs, before it takes a task."""
    try:
        call_command("check", tags=["field_keys"], databases=["default"])
    except CommandError as error:
        # Celery logs what a receiver raises, and goes on; not so with this.
        raise SystemExit(str(error)) from error
    finally:
        # The pool's processes open their own.
        connections.close_all()
