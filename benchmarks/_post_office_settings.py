"""The portal's settings with django-post_office beside it, for one benchmark."""

from incentives_portal.settings import *
from incentives_portal.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "post_office"]
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
POST_OFFICE = {
    "BACKENDS": {"default": EMAIL_BACKEND},
    "BATCH_SIZE": 1000,
    "LOG_LEVEL": 0,
    "CELERY_ENABLED": False,
}
