"""What the words of a page point at is on the page, and only once."""

import re
from collections import Counter
from html.parser import HTMLParser

# Attributes that hold keys of other things on the page.
POINTS_AT = ("for", "aria-describedby", "aria-labelledby", "aria-controls", "form")


class _Keys(HTMLParser):
    """Collects the id of everything, and what labels, notes and links point at."""

    def __init__(self):
        super().__init__()
        self.keys: Counter[str] = Counter()
        self.wanted: set[str] = set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.keys[value] += 1
            elif name in POINTS_AT:
                self.wanted.update((value or "").split())
            elif tag == "a" and name == "href" and (value or "").startswith("#"):
                self.wanted.add(value[1:])


# What was found of pages that differ in words alone, by all they have of keys.
FOUND: dict[tuple[str, ...], list[str]] = {}


def faults_of(html: str) -> list[str]:
    """Name the ids that are there twice, and those that something looks for in vain."""
    keys = tuple(re.findall(r'\s(?:id|for|form|href|aria-\w+)="#?([^"/]*)"', html))
    if keys not in FOUND:
        FOUND[keys] = _faults_of(html)
    return FOUND[keys]


def _faults_of(html: str) -> list[str]:
    page = _Keys()
    page.feed(html)
    twice = [f"{key!r} twice" for key, count in page.keys.items() if count > 1]
    return sorted(twice) + sorted(
        f"nothing is {key!r}" for key in page.wanted - set(page.keys)
    )
