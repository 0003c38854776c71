"""The app that answers "who": people, companies, places, roles."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("People and companies")

    def ready(self):
        from accounts import checks, receivers  # noqa: F401
        from accounts.operators import ensure_operator_groups

        post_migrate.connect(
            ensure_operator_groups, dispatch_uid="accounts.operator_groups"
        )
