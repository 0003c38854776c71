"""Fixtures of the people's and companies' own tests."""

from accounts.tests.scim_directory import Directory
from accounts.tests.shared_rows import shared


@shared
def entra(nordvik, greta) -> Directory:
    return Directory(nordvik)


@shared
def nora(entra) -> dict:
    return entra.add_person()
