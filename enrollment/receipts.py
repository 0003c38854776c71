"""The receipt of a submission: the text that its mail holds, for its page and a file."""

from typing import Any

from django.template.loader import render_to_string

from enrollment.emails import payouts_of
from enrollment.models import Enrollment


def receipt_of(
    enrollment: Enrollment, *, payouts: list[dict[str, Any]] | None = None
) -> str:
    """Return the receipt in the reader's language; no number but its last four.

    `payouts` are those of emails.payouts_of(), where they are known already.
    """
    text = render_to_string(
        "emails/_receipt.txt",
        {
            "enrollment": enrollment,
            "program": enrollment.terms.program,
            "year": enrollment.terms.fiscal_year,
            "location": enrollment.location,
            "company_names": [enrollment.location.partner_account.name],
            "payouts": payouts_of(enrollment) if payouts is None else payouts,
        },
    )
    return f"{text.strip()}\n"
