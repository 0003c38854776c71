"""A device that keeps passkeys, in software: what a browser would send, and lies too."""

import json
import secrets
from hashlib import sha256

from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

SITE = "portal.example"
ORIGIN = f"https://{SITE}"
PRESENT, VERIFIED, NEW_KEY = 0x01, 0x04, 0x40
LOOKED_AT = PRESENT | VERIFIED


class Passkey:
    """One key of one person at one site."""

    def __init__(self, user, *, site: str = SITE):
        self.user = user
        self.site = site
        self.id = secrets.token_bytes(32)
        self.private = ec.generate_private_key(ec.SECP256R1())

    def registered(self, challenge: str, *, origin=ORIGIN, flags=LOOKED_AT) -> dict:
        """What the browser answers when the key is made."""
        public = cbor.encode(dict(ES256.from_cryptography_key(self._public)))
        length = len(self.id).to_bytes(2, "big")
        key = bytes(16) + length + self.id + public
        about = self._about(flags | NEW_KEY) + key
        return self._answer(
            clientDataJSON=_said("webauthn.create", challenge, origin),
            attestationObject=cbor.encode(
                {"fmt": "none", "attStmt": {}, "authData": about}
            ),
        )

    def signed(
        self, challenge: str, *, origin=ORIGIN, flags=LOOKED_AT, owner=None
    ) -> dict:
        """What the browser answers when the key signs somebody in."""
        about = self._about(flags)
        said = _said("webauthn.get", challenge, origin)
        signature = self.private.sign(
            about + sha256(said).digest(), ec.ECDSA(hashes.SHA256())
        )
        return self._answer(
            clientDataJSON=said,
            authenticatorData=about,
            signature=signature,
            userHandle=user_pk_to_url_str(owner or self.user).encode(),
        )

    def keep(self, name: str = "Phone") -> Authenticator:
        """Let its owner have it, as if added on another day."""
        return Authenticator.objects.create(
            user=self.user,
            type=Authenticator.Type.WEBAUTHN,
            data={"name": name, "credential": self.registered("any")},
        )

    @property
    def _public(self):
        return self.private.public_key()

    def _about(self, flags: int) -> bytes:
        return sha256(self.site.encode()).digest() + bytes([flags]) + bytes(4)

    def _answer(self, **parts: bytes) -> dict:
        return {
            "id": websafe_encode(self.id),
            "rawId": websafe_encode(self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {name: websafe_encode(part) for name, part in parts.items()},
        }


def _said(kind: str, challenge: str, origin: str) -> bytes:
    said = {"type": kind, "challenge": challenge, "origin": origin}
    return json.dumps(said | {"crossOrigin": False}).encode()
