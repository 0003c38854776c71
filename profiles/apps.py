"""The app that answers "how paid": bank and tax profiles (not user profiles)."""

from django.apps import AppConfig
from django.apps import apps as apps_of_today
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from profiles.first_reasons import begin_with_reasons


def begin_again(sender, apps=apps_of_today, **_signal) -> None:
    """Write the first reasons down where a database was emptied.

    `flush` sends no apps, `migrate` those of the last migration.
    """
    try:
        model = apps.get_model("profiles", "ReturnReason")
    except LookupError:
        # A migration before there was a catalog.
        return
    begin_with_reasons(model)


class ProfilesConfig(AppConfig):
    name = "profiles"
    verbose_name = _("Bank and tax profiles")

    def ready(self):
        post_migrate.connect(
            begin_again, sender=self, dispatch_uid="profiles.first_reasons"
        )
