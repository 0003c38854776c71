"""The ways through the forms of bank and tax profiles, for whoever visits them.

What is typed is said by who calls; where each answer is asked, by the pages. Works with
and without scripts.
"""

from collections.abc import Iterable, Mapping
from datetime import date

from playwright.sync_api import Locator

from profiles.tests.factories import a_pdf
from profiles.tests.known_numbers import DOCUMENT

# The button that leads on; others of the same page take something away, or paste.
LEADS_ON = "main form[method=post] .actions button.btn"
# What kind of control asks for each answer.
KINDS = """Object.fromEntries(
  [...document.querySelectorAll("main [name]")].map((one) => [one.name, one.type])
)"""
CONFIRMED = ("is_own_bank", "is_authorized")


def answers(visitor, values: Mapping[str, str]) -> None:
    """Type, choose or tick each answer in its own field, and go on."""
    kinds = visitor.page.evaluate(KINDS)
    for name, value in values.items():
        control = visitor.page.locator(f"main [name={name}]")
        if kinds[name] == "radio":
            _tick(control.and_(visitor.page.locator(f"[value={value}]")))
        elif kinds[name] == "select-one":
            control.select_option(value)
        else:
            control.fill(value)
    goes_on(visitor)


def goes_on(visitor) -> None:
    with visitor.page.expect_navigation():
        visitor.page.locator(LEADS_ON).first.click()
    visitor.looks()


def confirms(visitor) -> None:
    """Tick everything that has to be confirmed, and send."""
    for name in CONFIRMED:
        for tick in visitor.page.locator(f"main [name={name}]").all():
            _tick(tick)
    goes_on(visitor)


def fills_in_a_bank_profile(visitor, name: str, country: str, *pages: Mapping) -> None:
    """Go from the first page of a new bank profile to the one that says it was sent."""
    answers(visitor, {"name": name, "country": country})
    for values in pages:
        answers(visitor, values)
    confirms(visitor)


def fills_in_a_tax_profile(
    visitor,
    country: str,
    *pages: Mapping[str, str],
    documents: Iterable[tuple[str, date]] = (),
) -> None:
    """Go from the first page of a new tax profile to the one that says it was sent."""
    answers(visitor, {"country": country})
    for values in pages:
        answers(visitor, values)
    adds_documents(visitor, documents)
    confirms(visitor)


def adds_documents(visitor, documents: Iterable[tuple[str, date]]) -> None:
    """Add documents, each by its kind and day, and go on from their page."""
    for kind, day in documents:
        adds_a_document(visitor, kind, day)
    goes_on(visitor)


def adds_a_document(visitor, kind: str, day: date) -> None:
    page = visitor.page
    page.locator("main [name=kind]").select_option(kind)
    page.locator("main [name=dated_on]").fill(day.isoformat())
    page.locator("main [name=file]").set_input_files(
        {
            "name": f"{DOCUMENT}.pdf",
            "mimeType": "application/pdf",
            "buffer": a_pdf(DOCUMENT),
        }
    )
    with page.expect_navigation():
        page.locator("main form[enctype] button").click()
    visitor.looks()


def _tick(control: Locator) -> None:
    """Tick it as people do: by its words, which lie over it."""
    key = control.get_attribute("id")
    control.page.locator(f"main label[for={key}]").click()
