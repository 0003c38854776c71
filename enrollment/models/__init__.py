"""Programs' years, what they ask, invitations and enrollments."""

from enrollment.models.batches import (
    TO_DO,
    BatchOutcome,
    BatchRow,
    EnrollmentBatch,
)
from enrollment.models.campaigns import (
    HOLD,
    Campaign,
    CampaignRecipient,
    CampaignStatus,
    CampaignStep,
)
from enrollment.models.disputes import DisputeOutcome, RequirementDispute
from enrollment.models.enrollments import (
    Enrollment,
    EnrollmentEvent,
    Invitation,
    PayoutAssignment,
)
from enrollment.models.expiry import Reminder, StandingNotice, TaxExpiryNotice
from enrollment.models.extensions import ExtensionRequest
from enrollment.models.feeds import CalendarFeed
from enrollment.models.following import (
    FollowingPayout,
    FollowingTerms,
    PayoutUnderTerms,
    TakenOverPayout,
)
from enrollment.models.imports import (
    ImportBlock,
    ImportCancellation,
    ImportEffect,
    ImportProblem,
    ImportStatus,
    LineOutcome,
    StagedValue,
    ValueImport,
)
from enrollment.models.overview import (
    CheckState,
    ImportedCheck,
    ProgramAtLocation,
    RequirementCheck,
)
from enrollment.models.renewals import (
    RenewalPlan,
    RenewalPlanStatus,
    RenewalRange,
    RenewalRow,
    SetAside,
    YearEndNotice,
)
from enrollment.models.requirements import (
    Agreement,
    Criterion,
    MeasuredValue,
    Requirement,
)
from enrollment.models.standing import NextStanding, PayoutStanding
from enrollment.models.terms import (
    EarningType,
    FiscalCalendar,
    FiscalYear,
    ProgramTerms,
    ShownTerms,
)
from enrollment.models.versions import GuideFile, TermsDraft, TermsVersion

__all__ = [
    "HOLD",
    "TO_DO",
    "Agreement",
    "BatchOutcome",
    "BatchRow",
    "CalendarFeed",
    "Campaign",
    "CampaignRecipient",
    "CampaignStatus",
    "CampaignStep",
    "CheckState",
    "Criterion",
    "DisputeOutcome",
    "EarningType",
    "Enrollment",
    "EnrollmentBatch",
    "EnrollmentEvent",
    "ExtensionRequest",
    "FiscalCalendar",
    "FiscalYear",
    "FollowingPayout",
    "FollowingTerms",
    "GuideFile",
    "ImportBlock",
    "ImportCancellation",
    "ImportEffect",
    "ImportProblem",
    "ImportStatus",
    "ImportedCheck",
    "Invitation",
    "LineOutcome",
    "MeasuredValue",
    "NextStanding",
    "PayoutAssignment",
    "PayoutStanding",
    "PayoutUnderTerms",
    "ProgramAtLocation",
    "ProgramTerms",
    "Reminder",
    "RenewalPlan",
    "RenewalPlanStatus",
    "RenewalRange",
    "RenewalRow",
    "Requirement",
    "RequirementCheck",
    "RequirementDispute",
    "SetAside",
    "ShownTerms",
    "StagedValue",
    "StandingNotice",
    "TakenOverPayout",
    "TaxExpiryNotice",
    "TermsDraft",
    "TermsVersion",
    "ValueImport",
    "YearEndNotice",
]
