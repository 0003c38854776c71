"""The enrollment of the cast: Ida is invited to enroll Göteborg in a program."""

import datetime
from types import SimpleNamespace

import pytest

from accounts.tests.factories import RoleAssignmentFactory, UserFactory
from accounts.tests.shared_rows import shared
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    ProgramTermsFactory,
    enrolled,
)
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)


@shared
def terms(program, nordvik):
    """This year's terms of the cast's program; Nordvik signed the agreement."""
    AgreementFactory(partner_account=nordvik)
    return ProgramTermsFactory(program=program)


@shared
def invited(goteborg, terms):
    """Göteborg is invited."""
    return EnrollmentFactory(location=goteborg, terms=terms)


@shared
def accepted(goteborg, terms, ida):
    """Ida has accepted the invitation."""
    return EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )


@shared
def maria(nordvik):
    """Who entered the company's bank and tax details."""
    return UserFactory(full_name="Maria Petersson", email="maria@partner.example")


@shared
def bank_profile(nordvik, maria):
    """An approved bank profile."""
    return BankProfileFactory(
        partner_account=nordvik, name="Nordvik SEK main", created_by=maria
    )


@shared
def default_bank(goteborg, bank_profile, maria):
    """Göteborg's default: that bank profile, in SEK."""
    return DefaultBankProfileFactory(
        location=goteborg, bank_profile=bank_profile, set_by=maria
    )


@shared
def tax_profile(goteborg, maria):
    """Göteborg's approved tax profile."""
    return TaxProfileFactory(location=goteborg, name="Nordvik SE", created_by=maria)


@pytest.fixture
def may(time_machine):
    """Six weeks before the fiscal year ends."""
    time_machine.move_to(
        datetime.datetime(2027, 5, 20, 12, tzinfo=datetime.UTC), tick=False
    )


@pytest.fixture
def two_years(may, nordvik, goteborg, malmo, program, ida, settings):
    """Enrollments of one company, and the terms of the next year."""
    settings.SUPPORT_ADDRESS = "help@owner.example"
    AgreementFactory(partner_account=nordvik)
    this = FiscalYearFactory(number=2027)
    following = FiscalYearFactory(number=2028)
    terms = ProgramTermsFactory(program=program, fiscal_year=this)
    next_terms = ProgramTermsFactory(program=program, fiscal_year=following)
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)
    return SimpleNamespace(
        into=following,
        terms=terms,
        next_terms=next_terms,
        safe=enrolled(goteborg, terms),
        expiring=enrolled(malmo, terms, expires=datetime.date(2027, 5, 31)),
    )
