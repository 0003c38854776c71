"""The enrollment of the cast: Ida is invited to enroll Göteborg in a program."""

import pytest

from accounts.tests.factories import UserFactory
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
)
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)


@pytest.fixture
def terms(program, nordvik):
    """This year's terms of the cast's program; Nordvik signed the agreement."""
    AgreementFactory(partner_account=nordvik)
    return ProgramTermsFactory(program=program)


@pytest.fixture
def invited(goteborg, terms):
    """Göteborg is invited."""
    return EnrollmentFactory(location=goteborg, terms=terms)


@pytest.fixture
def accepted(goteborg, terms, ida):
    """Ida has accepted the invitation."""
    return EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )


@pytest.fixture
def maria(nordvik):
    """Who entered the company's bank and tax details."""
    return UserFactory(full_name="Maria Petersson", email="maria@partner.example")


@pytest.fixture
def bank_profile(nordvik, maria):
    """An approved bank profile."""
    return BankProfileFactory(
        partner_account=nordvik, name="Nordvik SEK main", created_by=maria
    )


@pytest.fixture
def default_bank(goteborg, bank_profile, maria):
    """Göteborg's default: that bank profile, in SEK."""
    return DefaultBankProfileFactory(
        location=goteborg, bank_profile=bank_profile, set_by=maria
    )


@pytest.fixture
def tax_profile(goteborg, maria):
    """Göteborg's approved tax profile."""
    return TaxProfileFactory(location=goteborg, name="Nordvik SE", created_by=maria)
