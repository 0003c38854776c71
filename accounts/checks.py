"""System checks: what keeps this portal from doing its job."""

import redis
from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.field_keys import columns_of_lost_keys
from accounts.sender import sender_problems


@register()
def check_sender_identity(app_configs, **kwargs):
    """Mail waits until the sender's identity is confirmed; say what is missing."""
    return [
        CheckWarning(
            "No mail leaves until the sender's identity is confirmed. " + problem,
            hint="Set it in the environment; .env.example explains every variable.",
            id="accounts.W001",
        )
        for problem in sender_problems()
    ]


@register(Tags.security, deploy=True)
def check_no_demo(app_configs, **kwargs):
    """A portal that real partners use is no demo: its mailbox is open to anybody."""
    if not settings.DEMO:
        return []
    return [
        Error(
            "DEMO is true: anybody can read the mailbox, and the people are invented.",
            hint="Leave DEMO unset where real partners sign in.",
            id="accounts.E001",
        )
    ]


@register("field_keys", Tags.database)
def check_field_keys(app_configs, databases=None, **kwargs):
    """A key that still seals values is not dropped (security.md §6.2).

    The web server and the worker ask this as they start, and do not start with an
    error. Before the tables are there, nothing is sealed.
    """
    if not databases:
        return []
    return [
        Error(
            f"Values in {column} are sealed with a key that is not among "
            "FIELD_ENCRYPTION_KEYS: nobody could read them.",
            hint="Put the key back behind the newest, run `manage.py "
            "rotate_field_keys`, and drop it when nothing needs it any more.",
            id="accounts.E021",
        )
        for column in columns_of_lost_keys(connection.introspection.table_names())
    ]


@register("broker", deploy=True)
def check_broker(app_configs, **kwargs):
    """Redis drops nothing to make room: a task would be gone unseen (security.md 13).

    The worker asks this as it starts, and does not start with an error. One that is
    away, or does not say, is no error: the worker waits for it.
    """
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        ) as broker:
            policy = broker.info("memory").get("maxmemory_policy", "noeviction")
    except (redis.RedisError, OSError):
        return []
    if policy == "noeviction":
        return []
    return [
        Error(
            f"Redis drops what it holds when its memory is full: {policy}.",
            hint="Set its maxmemory-policy to noeviction.",
            id="accounts.E022",
        )
    ]
