"""The portal's settings with django-post_office beside it, for one benchmark."""

from incentives_portal.settings import *  # noqa: TID251
from incentives_portal.settings import INSTALLED_APPS  # noqa: TID251

INSTALLED_APPS = [*INSTALLED_APPS, "post_office"]
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
POST_OFFICE = {
    "BACKENDS": {"default": EMAIL_BACKEND},
    "BATCH_SIZE": 1000,
    "LOG_LEVEL": 0,
    "CELERY_ENABLED": False,
}
