"""A change of a bank profile as a partner makes it: four steps, one page after another."""

from django.urls import reverse

STEPS = (
    "change_bank",
    "change_bank_account",
    "change_bank_beneficiary",
    "check_bank_change",
)
AGREED = {"is_own_bank": "on", "is_authorized": "on"}


def change(client, profile, details, *, country="SE", steps=STEPS, query=""):
    """Go through the steps of a change; return the first that is not taken, or the last."""
    answers = {**details, "country": country, **AGREED}
    for step in steps:
        path = reverse(f"profiles:{step}", kwargs={"pk": profile.pk})
        response = client.post(path + query, answers)
        if response.status_code != 302:
            break
    return response
