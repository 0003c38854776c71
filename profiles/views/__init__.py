"""Partners' pages about bank profiles, tax profiles and default bank profiles.

The first step of a form is in the address (which country, which location), so that
every step is a page of its own and works without scripts.
"""

from profiles.views.answering import (
    answer_bank,
    answer_tax,
)
from profiles.views.bank_pages import (
    archive_bank,
    bank,
    compare_bank,
    show_bank_number,
    withdraw_bank,
)
from profiles.views.default_profiles import (
    defaults,
    remove_default,
)
from profiles.views.filling import (
    bank_account,
    bank_beneficiary,
    change_bank,
    change_bank_account,
    change_bank_beneficiary,
    check_bank,
    check_bank_change,
    discard_bank,
    discard_bank_change,
    new_bank,
)
from profiles.views.lists import (
    bank_profiles,
    needs,
    tax_profiles,
)
from profiles.views.stopping import (
    stop_by_link,
    stop_change,
    stop_link,
)
from profiles.views.tax_pages import (
    archive_tax,
    compare_tax,
    tax,
)

__all__ = [
    "answer_bank",
    "answer_tax",
    "archive_bank",
    "archive_tax",
    "bank",
    "bank_account",
    "bank_beneficiary",
    "bank_profiles",
    "change_bank",
    "change_bank_account",
    "change_bank_beneficiary",
    "check_bank",
    "check_bank_change",
    "compare_bank",
    "compare_tax",
    "defaults",
    "discard_bank",
    "discard_bank_change",
    "needs",
    "new_bank",
    "remove_default",
    "show_bank_number",
    "stop_by_link",
    "stop_change",
    "stop_link",
    "tax",
    "tax_profiles",
    "withdraw_bank",
]
