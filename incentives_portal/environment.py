"""Reads the environment; a missing or unusable value is one sentence, not a traceback."""

import base64
import binascii
from typing import NoReturn
from urllib.parse import urlsplit

import environ

env = environ.Env()

HELP = "Set it in the environment; .env.example explains every variable."


def refuse(sentence: str) -> NoReturn:
    """Stop the process with one sentence on standard error and exit status 1."""
    raise SystemExit(f"The portal cannot start: {sentence} {HELP}")


def required(name: str, *, means: str, demo: str | None = None) -> str:
    """Return a variable that must be set; `demo` is what demo mode may use instead."""
    value = env.str(name, default="").strip()
    if value:
        return value
    if demo is not None:
        return demo
    refuse(f"{name} is not set ({means}).")


def boolean(name: str, *, default: bool = False) -> bool:
    """Return true or false; any other word is refused, so that a typo is not "no"."""
    value = env.str(name, default="").strip().lower()
    if value == "":
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    refuse(f"{name} must be true or false, not {value!r}.")


def whole_number(name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number between `least` and `most`."""
    value = env.str(name, default="").strip()
    if value == "":
        return default
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        refuse(f"{name} must be a whole number from {least} to {most}.")
    return int(value)


def address(name: str, value: str, *, schemes: tuple[str, ...]) -> str:
    """Return a URL whose scheme is one of `schemes` and whose port is a port."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError on a bad port
        usable = parts.scheme in schemes and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        forms = " or ".join(f"{scheme}://…" for scheme in schemes)
        refuse(f"{name} must be an address like {forms}.")
    return value


def keys(name: str, value: str) -> str:
    """Return key-ring text `id:base64key,…` after checking every key is 32 bytes."""
    names = [part.strip().partition(":")[0] for part in value.split(",")]
    if len(set(names)) != len(names):
        refuse(f"{name} names a key twice. Give every key an id of its own.")
    for part in value.split(","):
        key_id, separator, encoded = part.strip().partition(":")
        if not separator or not key_id.isalnum() or len(_decoded(encoded)) != 32:
            refuse(
                f"{name} must be a list like k1:BASE64,k2:BASE64 where every key is "
                "32 random bytes in URL-safe base64, the newest first."
            )
    return value


def key(name: str, value: str) -> bytes:
    """Return the 32 bytes of one base64 key."""
    decoded = _decoded(value)
    if len(decoded) != 32:
        refuse(f"{name} must be 32 random bytes in URL-safe base64.")
    return decoded


def host_names(name: str, value: str, *, is_open: bool) -> list[str]:
    """Return the hosts; a pattern that lets any name in is refused unless `is_open`."""
    hosts = [host.strip() for host in value.split(",") if host.strip()]
    if not hosts or (not is_open and any(h == "*" or h[0] == "." for h in hosts)):
        refuse(f"{name} must list the exact host names, without * and leading dots.")
    return hosts


def secret(name: str, value: str, *, is_open: bool) -> str:
    """Return a secret of 50 or more characters; shorter ones only if `is_open`."""
    if not is_open and len(value) < 50:
        refuse(f"{name} must have 50 or more random characters.")
    return value


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
