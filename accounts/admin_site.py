"""The admin site: operators, and Global admins for people and roles of their company."""

from allauth.account.decorators import secure_admin_login
from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _

from accounts.access import is_global_admin


class PortalAdminSite(AdminSite):
    """Signs in through the portal's own sign-in; one door, one set of rate limits."""

    site_header = _("Partner Incentives: records")
    site_title = _("Records")
    index_title = _("Records")
    enable_nav_sidebar = False

    def has_permission(self, request) -> bool:
        """Operators, and whoever is Global admin of a company (domain.md §10.6)."""
        return request.user.is_active and (
            request.user.is_staff or is_global_admin(request.user)
        )

    login = secure_admin_login(AdminSite.login)
