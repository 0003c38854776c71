"""The project: knows all apps, known by none."""

from incentives_portal.celery import app as celery_app

__all__ = ["celery_app"]
