"""Whom a company's directory means, once that is proved, and how it is refused.

Pure data: what proves it loads much that most processes never need (id_tokens.py).
"""

from dataclasses import dataclass


class SignInRefused(Exception):
    """Nobody is signed in: `reason` says which page tells so, `detail` is for the log.

    Neither holds a token or a secret.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Identity:
    """Who signs in, as their company's directory says it."""

    oid: str
    full_name: str
    # Where the person can be reached, the likeliest first; none of it is a proof.
    addresses: tuple[str, ...]
    app_roles: frozenset[str]
    # When the person last proved who they are there; 0 where the token does not say.
    proved_at: int = 0
    has_second_factor: bool = False
