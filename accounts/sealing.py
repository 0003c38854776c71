"""Texts kept unreadable: sealed with AES-256-GCM for one place, and opened only there.

A sealed text is bound to its key, table, row and column: copied anywhere else it cannot
be opened. The keys come from the environment, the newest first.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

FORMAT = "v1"
NONCE_BYTES = 12


class DecryptionError(Exception):
    """A stored value cannot be opened: wrong row, column or key, or not sealed."""

    def __init__(self):
        super().__init__("A stored value cannot be decrypted.")


def seal(text: str, *, table: str, pk: object, column: str) -> str:
    """Encrypt a text for one place: `v1:<key id>:<base64 of nonce and ciphertext>`."""
    key_id = newest_key_id()
    nonce = os.urandom(NONCE_BYTES)
    place = _place(key_id, table, pk, column)
    sealed = _key_ring()[key_id].encrypt(nonce, text.encode(), place)
    return f"{FORMAT}:{key_id}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def unseal(token: str, *, table: str, pk: object, column: str) -> str:
    """Open a sealed text in its own place; anywhere else raise DecryptionError."""
    try:
        written_format, key_id, encoded = token.split(":")
        if written_format != FORMAT:
            raise DecryptionError
        raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
        place = _place(key_id, table, pk, column)
        nonce, sealed = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
        return _key_ring()[key_id].decrypt(nonce, sealed, place).decode()
    except (ValueError, KeyError, binascii.Error, InvalidTag):
        raise DecryptionError from None


def newest_key_id() -> str:
    """Name the key that seals from now on."""
    return next(iter(_key_ring()))


def known_key_ids() -> list[str]:
    """Name the keys that open values, the newest first."""
    return list(_key_ring())


def blind_index(value: str, *, purpose: str) -> str:
    """Give a keyed fingerprint, so that equal numbers are found without reading them."""
    message = f"{purpose}\0{value}".encode()
    return hmac.new(settings.BLIND_INDEX_KEY, message, hashlib.sha256).hexdigest()


def _key_ring() -> dict[str, AESGCM]:
    return _parsed_key_ring(settings.FIELD_ENCRYPTION_KEYS)


@functools.lru_cache(maxsize=4)
def _parsed_key_ring(spec: str) -> dict[str, AESGCM]:
    """Read `id:base64key,…`, the newest key first."""
    ring = {}
    for part in spec.split(","):
        key_id, _, encoded = part.strip().partition(":")
        key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        ring[key_id] = AESGCM(key)
    return ring


def _place(key_id: str, table: str, pk: object, column: str) -> bytes:
    return f"{FORMAT}|{key_id}|{table}|{pk}|{column}".encode()
