"""The app that answers "how paid": bank and tax profiles (not user profiles)."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProfilesConfig(AppConfig):
    name = "profiles"
    verbose_name = _("Bank and tax profiles")
