"""System checks: what keeps this portal from doing its job."""

from django.core.checks import Warning as CheckWarning
from django.core.checks import register

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
