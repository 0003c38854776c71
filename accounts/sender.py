"""Who the portal says it is when it writes: a question asked before any mail leaves."""

from django.conf import settings
from django.utils.translation import gettext as _


def sender_problems() -> list[str]:
    """Return what keeps real mail from leaving; empty when all is confirmed.

    The default display name is somebody's trademark and a phisher's favorite, so
    outside demo mode the operator confirms the right to use it (experience.md §6.1).
    """
    if settings.DEMO:
        return []
    problems = []
    for name, meaning in (
        ("SENDER_ADDRESS", _("the address mails come from")),
        ("SUPPORT_ADDRESS", _("the address answers go to")),
        ("OPERATOR_NAME", _("who really sends the mails")),
        ("OPERATOR_POSTAL_ADDRESS", _("the postal address in every mail's footer")),
    ):
        if not getattr(settings, name):
            problems.append(
                _("%(name)s is not set: %(meaning)s.")
                % {"name": name, "meaning": meaning}
            )
    if not settings.SENDER_CONFIRMED:
        problems.append(
            _(
                "SENDER_CONFIRMED is not true: confirm that you may use the display "
                "name %(sender)s, that the sender's domain is yours, and that SPF, "
                "DKIM and DMARC are published for it."
            )
            % {"sender": settings.SENDER_NAME}
        )
    return problems
