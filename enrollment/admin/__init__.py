"""Records of programs' years, what they ask, enrollments, values and agreements."""

from enrollment.admin.programs import (
    CriterionAdmin,
    FiscalCalendarAdmin,
    FiscalYearAdmin,
    ProgramTermsAdmin,
)
from enrollment.admin.records import (
    AgreementAdmin,
    EnrollmentAdmin,
    MeasuredValueAdmin,
    ValueImportAdmin,
)

__all__ = [
    "AgreementAdmin",
    "CriterionAdmin",
    "EnrollmentAdmin",
    "FiscalCalendarAdmin",
    "FiscalYearAdmin",
    "MeasuredValueAdmin",
    "ProgramTermsAdmin",
    "ValueImportAdmin",
]
