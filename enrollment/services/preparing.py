"""Preparing an enrollment without the role (experience.md §3.1, rank 9)."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Permission
from accounts.services import check_still_may, lock_companies
from enrollment.models import Enrollment
from enrollment.states import EDITABLE, VEILED
from profiles.models import PreparedPart, Section
from profiles.preparing import begin_part


@transaction.atomic
def prepare_enrollment(
    enrollment: Enrollment, *, section: Section | str, by: User
) -> PreparedPart:
    """Let a colleague who sees an enrollment fill in bank or tax details for it.

    They become a draft for whoever may submit, and nothing before that; what the company
    has on file stays unseen (C5). Raises ValidationError when `by` may not see it any
    more, when nothing can be prepared for it, and as begin_part does.
    """
    if section not in Section.values:
        raise ValidationError(_("Choose bank or tax details."), code="required")
    lock_companies(enrollment.location.partner_account_id)
    check_still_may(enrollment, permission=Permission.ENROLLMENT_VIEW, by=by)
    status = Enrollment.objects.values_list("status", flat=True).get(pk=enrollment.pk)
    if status not in {*EDITABLE, *VEILED}:
        raise ValidationError(
            _("There is nothing to prepare for this enrollment."), code="over"
        )
    return begin_part(enrollment.location, section=section, by=by)
