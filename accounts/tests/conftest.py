"""Fixtures of the people's and companies' own tests."""

import pytest

from accounts.tests.scim_directory import Directory


@pytest.fixture
def entra(nordvik, greta) -> Directory:
    return Directory(nordvik)


@pytest.fixture
def nora(entra) -> dict:
    return entra.add_person()
