"""Cases that share what was made before them leave it as it was."""

import pytest

from accounts.models import User
from accounts.tests.cases import tried
from accounts.tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_what_a_case_does_is_undone():
    with tried("first"):
        UserFactory()

    assert not User.objects.exists()


def test_a_failure_is_one_and_says_which_case():
    with pytest.raises(AssertionError) as failed, tried("second", 2):
        assert not UserFactory()

    assert failed.value.__notes__ == ["This was tried with: ('second', 2)"]
    assert not User.objects.exists()
