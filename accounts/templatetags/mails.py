"""What mail templates need beyond the pages': names and notes that stay harmless."""

import re
import unicodedata

from django import template
from django.template.defaultfilters import linebreaksbr

register = template.Library()

BULLET = "\N{BULLET}"
DAY = r"(?:19|20)\d\d-\d\d-\d\d(?!\d)"
LONG_NUMBER = re.compile(
    rf"(?P<day>{DAY})"
    r"|\b[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{2,4}){2,8}\b"
    r"|\d(?:[ ./-]?\d){7,}"
)


@register.filter
def line(value) -> str:
    """A name on one line of plain text: no break, nothing hidden, no turned direction.

    A name written from right to left is closed off, so that the words around it stay.
    """
    if (plain := str(value)).isascii() and plain.isprintable():
        return " ".join(plain.split())
    shown = "".join(
        " " if unicodedata.category(character) in {"Cc", "Zl", "Zp"} else character
        for character in plain
        if unicodedata.category(character) != "Cf"
    )
    text = " ".join(shown.split())
    if any(unicodedata.bidirectional(character) in {"R", "AL"} for character in text):
        return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"
    return text


@register.filter
def numberless(value) -> str:
    """Words somebody typed, with nothing of a bank or tax number but its end (R59)."""
    return LONG_NUMBER.sub(_only_the_end, str(value))


@register.filter
def is_plain(example) -> bool:
    """Whether an example can stand in a mail: none that looks like a real number."""
    return bool(example) and numberless(example) == str(example)


@register.filter
def bulleted(last4) -> str:
    """The end of a number, which is how people tell accounts apart: "••0003"."""
    return f"{BULLET}{BULLET}{last4}" if last4 else ""


@register.filter
def ending(last4) -> str:
    """The end of a number after the name it belongs to: " (••0003)"."""
    return f" ({bulleted(last4)})" if last4 else ""


@register.simple_block_tag
def paragraph(content: str) -> str:
    """Sentences of plain text as one paragraph, however the template breaks them."""
    return " ".join(content.split())


@register.simple_block_tag
def as_html_lines(content: str) -> str:
    """What a plain-text part says line by line, in HTML; it is escaped already."""
    return linebreaksbr(content.strip(), autoescape=False)


def _only_the_end(match: re.Match[str]) -> str:
    if match["day"]:
        return match["day"]
    characters = "".join(filter(str.isalnum, match[0]))
    return bulleted(characters[-4:])
