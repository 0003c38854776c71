"""Everything that changes bank and tax profiles; the only writer here. By theme.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from profiles.services.approvals import (
    Approval,
    AwaitedApproval,
    WhyTwo,
    awaited_approval,
    check_approving,
    cooling_off,
    has_first_approval,
    needs_second_operator,
    refuse_too_new,
    signature_of,
    standing_stop,
    takes_place_from,
    why_two_operators,
)
from profiles.services.archiving import archive_profile, put_away_at_closed_location
from profiles.services.bank import (
    create_bank_profile,
    revise_bank_profile,
    unsent_bank_version,
)
from profiles.services.catalog import (
    KEEP_REASONS,
    add_reason,
    change_reason,
    reason_seen,
    retire_reason,
    revive_reason,
)
from profiles.services.deciding import (
    approve_version,
    bring_changes_into_force,
    bring_into_force,
    return_version,
)
from profiles.services.defaults import (
    remove_default_bank_profile,
    set_default_bank_profile,
)
from profiles.services.numbers import MOST_SHOWN_A_DAY, REASON_LENGTH, show_bank_number
from profiles.services.reviewing import (
    answer_question,
    ask_partner,
    claim_versions,
    escalate_version,
    release_versions,
)
from profiles.services.rights import APPROVE_ACCOUNTS, REVIEW, VALIDATE
from profiles.services.stops import (
    check_stopped_change,
    release_change,
    stop_change,
    withdraw_change,
)
from profiles.services.tax import (
    complete_tax_profile,
    copied_documents,
    create_tax_profile,
    revise_tax_profile,
    unsent_tax_version,
)
from profiles.services.words import NOTE_LENGTH, refuse_bad_name, refuse_link

__all__ = [
    "APPROVE_ACCOUNTS",
    "KEEP_REASONS",
    "MOST_SHOWN_A_DAY",
    "NOTE_LENGTH",
    "REASON_LENGTH",
    "REVIEW",
    "VALIDATE",
    "Approval",
    "AwaitedApproval",
    "WhyTwo",
    "add_reason",
    "answer_question",
    "approve_version",
    "archive_profile",
    "ask_partner",
    "awaited_approval",
    "bring_changes_into_force",
    "bring_into_force",
    "change_reason",
    "check_approving",
    "check_stopped_change",
    "claim_versions",
    "complete_tax_profile",
    "cooling_off",
    "copied_documents",
    "create_bank_profile",
    "create_tax_profile",
    "escalate_version",
    "has_first_approval",
    "needs_second_operator",
    "put_away_at_closed_location",
    "reason_seen",
    "refuse_bad_name",
    "refuse_link",
    "refuse_too_new",
    "release_change",
    "release_versions",
    "remove_default_bank_profile",
    "retire_reason",
    "return_version",
    "revise_bank_profile",
    "revise_tax_profile",
    "revive_reason",
    "set_default_bank_profile",
    "show_bank_number",
    "signature_of",
    "standing_stop",
    "stop_change",
    "takes_place_from",
    "unsent_bank_version",
    "unsent_tax_version",
    "why_two_operators",
    "withdraw_change",
]
