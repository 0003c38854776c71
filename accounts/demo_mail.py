"""The demo's mail on disk: one file for each mail, exactly as it came in."""

import email
import email.policy
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import getaddresses
from functools import lru_cache
from pathlib import Path

from django.conf import settings

MOMENT = "%Y%m%dT%H%M%S%f"
NAME = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True)
class ReceivedMail:
    """What the list says of a mail; `name` is its name in the address."""

    name: str
    at: datetime
    sender: str
    to: tuple[str, ...]
    subject: str


def store(content: bytes) -> Path:
    """Write one mail; it is there as a whole or not at all."""
    folder = settings.DEMO_MAIL_DIR
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):{MOMENT}}-{secrets.token_hex(4)}"
    unfinished = folder / f".{name}.unfinished"
    unfinished.write_bytes(content)
    path = folder / f"{name}.eml"
    os.replace(unfinished, path)
    return path


def newest_first() -> list[ReceivedMail]:
    """Return every mail there is."""
    return [_headers(path) for path in sorted(_files(), reverse=True)]


def find(name: str) -> ReceivedMail | None:
    """Return a mail by its name; a name that is none of ours leads nowhere."""
    path = _path(name)
    return _headers(path) if path else None


def text_of(name: str) -> str:
    """Return the mail's plain text."""
    return _part(name, "plain")


def html_of(name: str) -> str:
    """Return the mail's HTML; empty when it has none."""
    return _part(name, "html")


def _files() -> Iterator[Path]:
    folder = settings.DEMO_MAIL_DIR
    for path in folder.glob("*.eml") if folder.is_dir() else ():
        if NAME.fullmatch(path.stem):
            yield path


def _path(name: str) -> Path | None:
    if not NAME.fullmatch(name):
        return None
    path = settings.DEMO_MAIL_DIR / f"{name}.eml"
    return path if path.is_file() else None


# A file never changes once it has its name.
@lru_cache(maxsize=10_000)
def _headers(path: Path) -> ReceivedMail:
    with path.open("rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    moment = path.stem.partition("-")[0]
    return ReceivedMail(
        name=path.stem,
        at=datetime.strptime(moment, MOMENT).replace(tzinfo=UTC),
        sender=str(message["From"] or ""),
        to=tuple(
            address.lower()
            for _name, address in getaddresses([str(message["To"] or "")])
            if address
        ),
        subject=str(message["Subject"] or ""),
    )


def _part(name: str, kind: str) -> str:
    path = _path(name)
    if path is None:
        return ""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    part = message.get_body((kind,))
    return _content(part) if part is not None else ""


def _content(part: EmailMessage) -> str:
    try:
        return part.get_content()
    except LookupError:  # a character set that nobody knows
        return part.get_payload(decode=True).decode("utf-8", "replace")
