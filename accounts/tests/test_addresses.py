"""Addresses of many rows: the same as Django's own, whatever company they are under."""

from uuid import uuid4

import pytest
from django.urls import get_script_prefix, reverse, set_script_prefix

from accounts.addresses import address_of


@pytest.fixture
def prefix_kept():
    before = get_script_prefix()
    yield
    set_script_prefix(before)


@pytest.mark.parametrize("prefix", ["/", "/c/10000001/", "/c/10000002/"])
@pytest.mark.parametrize(
    ("page", "key"),
    [
        ("enrollment:detail", uuid4()),
        ("enrollment:profiles", uuid4()),
        ("enrollment:program", "3-17"),
        ("enrollment:why", "3-17"),
    ],
)
def test_an_address_is_that_of_the_row_under_the_company_worked_in(
    page, key, prefix, prefix_kept
):
    set_script_prefix(prefix)
    assert address_of(page, key) == reverse(page, kwargs={"pk": key})
    assert address_of(page, key).startswith(prefix)
