"""Rows that tests share: each finds what it asks for, as it was made, and nothing else."""

import pytest

from accounts.models import IncentiveProgram, PartnerAccount
from accounts.tests.factories import PartnerAccountFactory
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db


@shared
def renamed(nordvik):
    nordvik.name = "Nordvik Group AB"
    nordvik.save()
    return [nordvik]


class TestRenamed:
    """Runs first, and leaves its rows to the next if nobody undoes them."""

    def test_one_object_is_one_in_all_that_is_asked_for(self, nordvik, renamed):
        assert renamed[0] is nordvik
        assert PartnerAccount.objects.get().name == nordvik.name == "Nordvik Group AB"


class TestAsMade:
    @pytest.mark.parametrize("turn", ["first", "second"])
    def test_what_a_test_does_the_next_does_not_find(self, nordvik, turn):
        assert nordvik.name == PartnerAccount.objects.get().name == "Nordvik IT AB"

        nordvik.name = "Changed AB"
        nordvik.save()
        PartnerAccountFactory(name=turn)

    def test_what_a_test_does_not_ask_for_it_does_not_find(self, program):
        assert IncentiveProgram.objects.get() == program
        assert not PartnerAccount.objects.exists()

    def test_what_is_asked_for_by_name_is_made_then(self, nordvik, request):
        assert not IncentiveProgram.objects.exists()

        request.getfixturevalue("program")

        assert IncentiveProgram.objects.exists()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("turn", ["first", "second"])
    def test_a_test_with_transactions_has_rows_of_its_own(self, nordvik, turn):
        assert PartnerAccount.objects.get() == nordvik

        nordvik.delete()
