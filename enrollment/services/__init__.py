"""Everything that changes enrollments, invitations and what programs ask; by noun."""

from enrollment.services.agreements import end_agreement, record_agreement
from enrollment.services.enrollments import (
    accept_enrollment,
    ask_for_details,
    choose_bank_profile,
    choose_currency,
    choose_tax_profile,
    confirm_payout,
    decline_enrollment,
    discontinue_program,
    lapse_invitations,
    note_expired_tax_profiles,
    reassess_enrollments,
    recall_enrollment,
    reconsider_enrollment,
    start_open_enrollment,
    submit_enrollment,
)
from enrollment.services.invitations import (
    InvitationRun,
    invite_locations,
    notify_waiting_admins,
    open_invitation,
)
from enrollment.services.measurements import (
    ImportReport,
    import_measured_values,
)
from enrollment.services.programs import (
    check_agreement_text,
    check_earning_types,
    check_requirements,
    define_criterion,
    define_fiscal_calendar,
    define_fiscal_year,
    define_program,
    define_program_terms,
)

__all__ = [
    "ImportReport",
    "InvitationRun",
    "accept_enrollment",
    "ask_for_details",
    "check_agreement_text",
    "check_earning_types",
    "check_requirements",
    "choose_bank_profile",
    "choose_currency",
    "choose_tax_profile",
    "confirm_payout",
    "decline_enrollment",
    "define_criterion",
    "define_fiscal_calendar",
    "define_fiscal_year",
    "define_program",
    "define_program_terms",
    "discontinue_program",
    "end_agreement",
    "import_measured_values",
    "invite_locations",
    "lapse_invitations",
    "note_expired_tax_profiles",
    "notify_waiting_admins",
    "open_invitation",
    "reassess_enrollments",
    "recall_enrollment",
    "reconsider_enrollment",
    "record_agreement",
    "start_open_enrollment",
    "submit_enrollment",
]
