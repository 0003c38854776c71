"""Delivery status notifications: what a mail server says of mail it could not deliver.

Parsed with the standard library (RFC 3464). Nothing here believes anything: who reads
the result checks that the mail was ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage, Message
from uuid import UUID

# What says that an address takes no mail, whatever the mail: no such mailbox or domain,
# one that is closed, no way there (RFC 3463). A full mailbox, or words that a server
# does not like, say nothing of the next mail.
GONE = frozenset(
    ("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.4")
)
# A report is a few thousand bytes; what is more is read by nobody.
LARGEST = 1024 * 1024
# Anybody can write to the sender's address, anything, parts within parts within parts.
UNREADABLE = (
    MessageError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RecursionError,
)


@dataclass(frozen=True)
class Bounce:
    """One address that a mail of ours, by its two marks, cannot be delivered to."""

    address: str
    entity: UUID
    message_id: str
    status: str
    diagnostic: str

    @property
    def is_of_address(self) -> bool:
        """Whether no other mail would arrive there either."""
        return self.status in GONE


def bounces_in(raw: bytes) -> list[Bounce]:
    """Return whom a report says a mail is not delivered to; none for anything else.

    "Delayed" and "failed for now" (4.x.x) are no bounce: the server goes on trying.
    """
    if len(raw) > LARGEST:
        return []
    try:
        report = message_from_bytes(raw, policy=policy.default)
        return list(_bounces(report))
    except UNREADABLE:
        return []


def unsubscribing_in(raw: bytes) -> str:
    """Return the token of a mail whose subject asks to be written to no more, or ""."""
    try:
        subject = message_from_bytes(raw[:LARGEST], policy=policy.default)["Subject"]
    except UNREADABLE:
        return ""
    word, _, token = str(subject or "").strip().partition(" ")
    return token.strip() if word.lower() == "unsubscribe" else ""


def _bounces(report: EmailMessage) -> Iterator[Bounce]:
    if report.get_content_type() != "multipart/report":
        return
    original = _original_of(report)
    if original is None:
        return
    entity = UUID(str(original["X-Entity-Ref-ID"]).strip())
    message_id = str(original["Message-ID"]).strip()
    for part in report.walk():
        if part.get_content_type() != "message/delivery-status":
            continue
        for fields in part.get_payload():
            status = str(fields.get("Status", "")).strip()
            if str(
                fields.get("Action", "")
            ).strip().lower() == "failed" and status.startswith("5"):
                yield Bounce(
                    address=_address_of(fields),
                    entity=entity,
                    message_id=message_id,
                    status=status,
                    diagnostic=_one_line(fields.get("Diagnostic-Code", status)),
                )


def _original_of(report: Message) -> Message | None:
    """The headers of the mail that came back: whole, or its headers alone."""
    for part in report.walk():
        kind = part.get_content_type()
        if kind == "message/rfc822":
            return part.get_payload(0)
        if kind == "text/rfc822-headers":
            return message_from_bytes(
                part.get_payload(decode=True) or b"", policy=policy.default
            )
    return None


def _address_of(fields: Message) -> str:
    """The address we wrote to, which another one may stand for by now."""
    named = fields.get("Original-Recipient") or fields.get("Final-Recipient", "")
    return str(named).rpartition(";")[2].strip().strip("<>").lower()


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
