"""How partners are paid: bank profiles, tax profiles, their versions, defaults."""

from profiles.models.bank import (
    BankChangeStop,
    BankProfile,
    BankProfileDraft,
    BankProfileVersion,
    DefaultBankProfile,
)
from profiles.models.parts import (
    PartState,
    PreparedPart,
    Section,
)
from profiles.models.reviews import (
    ReturnReason,
    ReviewQuestion,
)
from profiles.models.tax import (
    TaxDocument,
    TaxProfile,
    TaxProfileDraft,
    TaxProfileVersion,
)
from profiles.models.versions import (
    CLAIM_LASTS,
    MOST_USES,
    VALIDATION_PROMISE,
    Profile,
    ProfileVersion,
)

__all__ = [
    "CLAIM_LASTS",
    "MOST_USES",
    "VALIDATION_PROMISE",
    "BankChangeStop",
    "BankProfile",
    "BankProfileDraft",
    "BankProfileVersion",
    "DefaultBankProfile",
    "PartState",
    "PreparedPart",
    "Profile",
    "ProfileVersion",
    "ReturnReason",
    "ReviewQuestion",
    "Section",
    "TaxDocument",
    "TaxProfile",
    "TaxProfileDraft",
    "TaxProfileVersion",
]
