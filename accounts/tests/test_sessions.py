"""Sessions that are over leave the database."""

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts import tasks

pytestmark = pytest.mark.django_db


def session(*, ends: timedelta) -> str:
    store = SessionStore()
    store["company"] = "5012001"
    store.create()
    Session.objects.filter(pk=store.session_key).update(
        expire_date=timezone.now() + ends
    )
    return store.session_key


def test_a_session_that_is_over_is_deleted_and_a_live_one_stays():
    over, live = session(ends=timedelta(seconds=-1)), session(ends=timedelta(hours=1))

    tasks.clear_sessions()

    assert list(Session.objects.values_list("pk", flat=True)) == [live]
    assert not SessionStore(over).exists(over)


def test_clearing_twice_changes_nothing_more():
    live = session(ends=timedelta(hours=1))

    tasks.clear_sessions()
    tasks.clear_sessions()

    assert list(Session.objects.values_list("pk", flat=True)) == [live]
