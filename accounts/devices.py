"""A browser in words: what its user agent says, as far as people care. Pure data."""

import re

from django.utils.translation import gettext as _

# In this order: most browsers also claim to be those below them.
BROWSERS = (
    ("Edge", r"\bEdgA?(?:iOS)?/"),
    ("Opera", r"\b(?:OPR|Opera)/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/"),
    ("Chrome", r"\b(?:Chrome|CriOS|HeadlessChrome|Chromium)/"),
    ("Safari", r"\bSafari/"),
)
SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("macOS", r"\bMac OS X\b|\bMacintosh\b"),
    ("Linux", r"\bLinux\b"),
)


def device_words(user_agent: str) -> str:
    """Return such as "Firefox, Windows"; what is not known is said to be so."""
    return device_name(user_agent) or _("an unknown browser")


def device_name(user_agent: str) -> str:
    """Return the same in every language; nothing where nothing is known."""
    found = (_first(user_agent, BROWSERS), _first(user_agent, SYSTEMS))
    return ", ".join(filter(None, found))


def _first(user_agent: str, names) -> str:
    return next((name for name, sign in names if re.search(sign, user_agent)), "")
