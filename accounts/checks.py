"""System checks: what keeps this portal from doing its job."""

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.checks import Warning as CheckWarning

from accounts.sender import sender_problems


@register()
def check_sender_identity(app_configs, **kwargs):
    """Mail waits until the sender's identity is confirmed; say what is missing."""
    return [
        CheckWarning(
            "No mail leaves until the sender's identity is confirmed. " + problem,
            hint="Set it in the environment; .env.example explains every variable.",
            id="accounts.W001",
        )
        for problem in sender_problems()
    ]


@register(Tags.security, deploy=True)
def check_no_demo(app_configs, **kwargs):
    """A portal that real partners use is no demo: its mailbox is open to anybody."""
    if not settings.DEMO:
        return []
    return [
        Error(
            "DEMO is true: anybody can read the mailbox, and the people are invented.",
            hint="Leave DEMO unset where real partners sign in.",
            id="accounts.E001",
        )
    ]
