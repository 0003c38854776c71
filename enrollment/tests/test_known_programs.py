"""Which programs a company may hear of when roles are given: no unlisted ones."""

import pytest
from django.utils import timezone

from accounts.models import IncentiveProgram
from accounts.tests.factories import (
    IncentiveProgramFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
)
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory

pytestmark = pytest.mark.django_db


def test_programs_without_years_and_listed_ones_are_known(nordvik, program):
    listed = ProgramTermsFactory(is_listed=True).program
    open_to_all = ProgramTermsFactory(is_listed=False, is_open_to_all=True).program

    assert set(IncentiveProgram.objects.known_to(nordvik)) == {
        program,
        listed,
        open_to_all,
    }


def test_an_unlisted_program_is_known_where_it_invited(nordvik, goteborg):
    terms = ProgramTermsFactory(is_listed=False)
    EnrollmentFactory(terms=terms, location=goteborg)
    stranger = PartnerAccountFactory()

    assert set(IncentiveProgram.objects.known_to(nordvik)) == {terms.program}
    assert set(IncentiveProgram.objects.known_to(stranger)) == set()
    assert set(IncentiveProgram.objects.known_to(stranger, nordvik)) == {terms.program}


def test_an_unlisted_program_is_known_where_a_role_names_it(nordvik, goteborg):
    program = ProgramTermsFactory(is_listed=False).program
    RoleAssignmentFactory(partner_account=nordvik, location=goteborg, program=program)

    assert set(IncentiveProgram.objects.known_to(nordvik)) == {program}
    assert set(IncentiveProgram.objects.known_to()) == set()


def test_a_discontinued_program_is_offered_to_nobody(nordvik):
    IncentiveProgramFactory(discontinued_at=timezone.now())

    assert set(IncentiveProgram.objects.known_to(nordvik)) == set()
