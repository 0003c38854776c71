"""Who acts at a command line: password and second factor, one sentence for all else."""

import pytest
from allauth.core import context as current
from django.core.exceptions import ValidationError

from accounts.adapters import opening_factors_of
from accounts.console import prove_operator
from accounts.services import end_operator
from accounts.tests.factories import PASSWORD
from accounts.tests.second_factors import code_of, give_app, give_codes

pytestmark = pytest.mark.django_db

RIGHT = "profiles.validate_profiles"


def answering(*answers: str):
    """Somebody who types these, one after the other."""
    waiting = iter(answers)
    return lambda question: next(waiting)


@pytest.fixture(autouse=True)
def _no_request():
    with current.request_context(None):
        yield


def prove(user, *answers: str):
    return prove_operator(user.email, permission=RIGHT, ask=answering(*answers))


def test_an_operator_proves_it_with_password_and_code(oscar):
    give_app(oscar)

    assert prove(oscar, PASSWORD, code_of()) == oscar


def test_a_code_of_the_app_proves_it_once(oscar):
    give_app(oscar)
    code = code_of()
    prove(oscar, PASSWORD, code)

    with pytest.raises(ValidationError, match="The code is wrong"):
        prove(oscar, PASSWORD, code)


def test_a_recovery_code_stands_in_for_the_app_once(oscar):
    give_app(oscar)
    with opening_factors_of(oscar):
        first = give_codes(oscar).wrap().get_unused_codes()[0]

    assert prove(oscar, PASSWORD, first) == oscar
    with pytest.raises(ValidationError, match="The code is wrong"):
        prove(oscar, PASSWORD, first)


@pytest.mark.parametrize("name", ["oscar", "mina", "ida"])
def test_wrong_passwords_and_missing_rights_are_one_sentence(cast, name):
    password = "not this one" if name == "oscar" else PASSWORD

    with pytest.raises(ValidationError, match="The password is wrong, or"):
        prove(getattr(cast, name), password)


def test_whose_access_has_ended_proves_nothing(oscar):
    end_operator(email=oscar.email)

    with pytest.raises(ValidationError, match="The password is wrong, or"):
        prove(oscar, PASSWORD)


def test_outside_the_demo_the_password_alone_proves_nothing(oscar, settings):
    assert prove(oscar, PASSWORD) == oscar
    settings.DEMO = False

    with pytest.raises(ValidationError, match="add an authenticator app"):
        prove(oscar, PASSWORD)
