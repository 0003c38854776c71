"""Whether somebody may still do what a page let them begin: asked under the lock."""

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Permission
from accounts.services.refused import note_refusal

MOST_NOTED = 5


def check_still_may(*rows: Model, permission: Permission, by: User) -> None:
    """Raise ValidationError when a person of a partner may not do something any more.

    `rows` are what it is done to, of one table: the right has to hold on each of them.
    The page asked before the service began. A role that ended since counts no more
    (security.md T3, T5): whoever calls holds the company's lock, which every change of
    a role waits for, so what is answered here holds until all is written. The refusal
    is noted in the trail like one at the door.
    """
    model, keys = rows[0]._meta.model, {row.pk for row in rows}
    allowed = set(
        model._default_manager.filter(pk__in=keys)
        .where_user_may(by, permission)
        .order_by()
        .values_list("pk", flat=True)
    )
    if allowed == keys:
        return
    for key in sorted(keys - allowed)[:MOST_NOTED]:
        note_refusal(model, {"pk": key}, wanted=str(permission), by=by)
    raise ValidationError(
        _(
            "The role that this takes has ended, so nothing was changed. A Global or "
            "Account admin of your company can give it again."
        ),
        code="role_ended",
    )
