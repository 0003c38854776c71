"""One tax profile: its page, its versions, put away."""

from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import requires
from accounts.roles import Permission
from profiles.models import (
    TaxProfile,
)
from profiles.views.around import archive_page, compare_page, profile_page


@requires(Permission.PROFILE_VIEW, on=TaxProfile)
@require_safe
def tax(request, profile):
    """Show a tax profile: what is in force, what is waiting, and its history."""
    return profile_page(request, profile, "profiles/tax_profile.html")


@requires(Permission.PROFILE_VIEW, on=TaxProfile)
@require_safe
def compare_tax(request, profile):
    """Show what differs between two versions of a tax profile, numbers masked."""
    return compare_page(request, profile)


@requires(Permission.PROFILE_EDIT, on=TaxProfile)
@require_http_methods(["GET", "HEAD", "POST"])
def archive_tax(request, profile):
    """Put a tax profile away, after asking."""
    return archive_page(request, profile, then="profiles:tax_list")
