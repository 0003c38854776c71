"""Who may review, validate and approve profiles, and who may not decide."""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import check_second_person
from profiles.models import ProfileVersion

# To see bank details under review; to validate; to give the second approval of a bank
# account (domain.md §10.7).
REVIEW = "profiles.review_profiles"
VALIDATE = "profiles.validate_profiles"
APPROVE_ACCOUNTS = "profiles.approve_bank_accounts"


def refuse_own(
    version: ProfileVersion,
    *,
    by: User,
    rights: Collection[str] = (VALIDATE, APPROVE_ACCOUNTS),
) -> None:
    """The second pair of eyes is the program owner's, never a role of the company.

    Admins may give roles to themselves (R4): such a role seconds nothing.
    """
    check_second_person(
        by, rights=rights, first=[(version.submitted_by_id, own_submission())]
    )


def own_submission() -> ValidationError:
    return ValidationError(
        _("You submitted this. Somebody else has to decide it."), code="four_eyes"
    )
