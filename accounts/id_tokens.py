"""What a company's directory says of who signs in: believed when it is proved, only.

OpenID Connect Core §3.1.3.7 without its exceptions: the signature is checked although
the token comes over TLS, the nonce although the code is bound by PKCE. The e-mail
address proves nothing (Entra lets a tenant write any): the stable key is `oid`.
"""

import functools
import hmac
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from django.conf import settings
from django.core.cache import cache

from accounts.identities import Identity, SignInRefused
from accounts.models import CompanyTenant

# What a key of each kind may sign with; "none" and shared secrets are not there.
ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
REQUIRED = ["aud", "exp", "iat", "iss", "nonce", "oid", "sub", "tid"]
# How far the provider's clock may be from ours.
LEEWAY = 60
TIMEOUT = 5
KEPT_FOR = 60 * 60
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def identity_in(token: str, *, tenant: CompanyTenant, nonce: str) -> Identity:
    """Return whom an ID token is about; raise SignInRefused unless all of it holds."""
    claims = _decoded(token, tenant=tenant)
    _check_audience(claims, tenant)
    _check_nonce(claims, nonce)
    _check_tenant(claims, tenant)
    return Identity(
        oid=_directory_key(claims["oid"]),
        full_name=_text(claims, "name"),
        addresses=tuple(
            filter(None, (_text(claims, "email"), _text(claims, "preferred_username")))
        ),
        app_roles=_texts(claims, "roles"),
        proved_at=_moment(claims, "auth_time"),
        has_second_factor="mfa" in _texts(claims, "amr")
        or bool(tenant.mfa_context and tenant.mfa_context in _texts(claims, "acrs")),
    )


def provider_configuration(tenant: CompanyTenant) -> dict[str, Any]:
    """Return where a tenant's provider is asked, as it says so itself.

    Raises SignInRefused when it cannot be reached, speaks for somebody else, or leads
    to another server than the one that was registered.
    """
    if not is_safe_server(tenant.issuer):
        raise SignInRefused("provider", "issuer")
    key = f"company-sign-in:{tenant.pk}:{tenant.issuer}:configuration"
    configuration = cache.get(key)
    if configuration is None:
        configuration = _fetched(f"{tenant.issuer}/.well-known/openid-configuration")
        if configuration.get("issuer") != tenant.issuer:
            raise SignInRefused("provider", "issuer of the configuration")
        for name in ENDPOINTS:
            if not _is_beside(configuration.get(name), tenant.issuer):
                raise SignInRefused("provider", name)
        cache.set(key, configuration, KEPT_FOR)
    return configuration


def provider_session() -> requests.Session:
    """Make the session for asking a provider: it waits little and follows nothing."""
    session = requests.Session()
    session.max_redirects = 0
    session.request = functools.partial(session.request, timeout=TIMEOUT)
    return session


def server_of(address: str) -> str:
    """Return the scheme, host and port of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def is_safe_server(address: object) -> bool:
    """Whether an address may be asked: over TLS; in the demo on this machine too."""
    if not isinstance(address, str):
        return False
    parts = urlsplit(address)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return settings.DEMO and parts.hostname in ("127.0.0.1", "localhost")


def _is_beside(address: object, issuer: str) -> bool:
    """Whether an address is on the server of the issuer, as all of Entra's are."""
    return isinstance(address, str) and server_of(address) == server_of(issuer)


def _decoded(token: str, *, tenant: CompanyTenant) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise SignInRefused("token", "algorithm")
        return jwt.decode(
            token,
            _signing_key(tenant, header.get("kid"), algorithm),
            algorithms=[algorithm],
            issuer=tenant.issuer,
            audience=tenant.client_id,
            leeway=LEEWAY,
            options={"require": REQUIRED},
        )
    except jwt.PyJWTError as error:
        # Its name says what was wrong; its text may quote the token.
        raise SignInRefused("token", type(error).__name__) from None


def _signing_key(tenant: CompanyTenant, key_id: object, algorithm: str) -> Any:
    """Return the provider's key of that name; a new one is looked for once."""
    if not isinstance(key_id, str) or not key_id:
        raise SignInRefused("token", "no key named")
    for is_fresh in (False, True):
        for key in _keys(tenant, is_fresh=is_fresh):
            if (
                key.get("kid") == key_id
                and key.get("kty") == ALGORITHMS[algorithm]
                and key.get("use", "sig") == "sig"
            ):
                return jwt.PyJWK(key, algorithm=algorithm).key
    raise SignInRefused("token", "unknown key")


def _keys(tenant: CompanyTenant, *, is_fresh: bool) -> list[dict[str, Any]]:
    cache_key = f"company-sign-in:{tenant.pk}:{tenant.issuer}:keys"
    keys = None if is_fresh else cache.get(cache_key)
    if keys is None:
        keys = _fetched(provider_configuration(tenant)["jwks_uri"]).get("keys")
        if not isinstance(keys, list):
            raise SignInRefused("provider", "keys")
        keys = [key for key in keys if isinstance(key, dict)]
        cache.set(cache_key, keys, KEPT_FOR)
    return keys


def _fetched(address: str) -> dict[str, Any]:
    try:
        with provider_session() as session:
            response = session.get(address)
            response.raise_for_status()
            answer = response.json()
    except requests.RequestException as error:
        raise SignInRefused("provider", type(error).__name__) from None
    if not isinstance(answer, dict):
        raise SignInRefused("provider", "not an object")
    return answer


def _check_audience(claims: dict[str, Any], tenant: CompanyTenant) -> None:
    """The token is for this portal and nobody else."""
    audience = claims["aud"]
    if audience not in (tenant.client_id, [tenant.client_id]):
        raise SignInRefused("token", "audience")
    if claims.get("azp", tenant.client_id) != tenant.client_id:
        raise SignInRefused("token", "authorized party")


def _check_nonce(claims: dict[str, Any], nonce: str) -> None:
    """The token answers what this browser asked, not an older question."""
    if not nonce or not hmac.compare_digest(
        str(claims["nonce"]).encode(), nonce.encode()
    ):
        raise SignInRefused("token", "nonce")


def _check_tenant(claims: dict[str, Any], tenant: CompanyTenant) -> None:
    """The person is of the tenant that the program owner registered."""
    if str(claims["tid"]).lower() != str(tenant.tenant_id):
        raise SignInRefused("tenant", "another tenant")


def _directory_key(oid: object) -> str:
    try:
        return str(uuid.UUID(oid))
    except (TypeError, ValueError, AttributeError):
        raise SignInRefused("token", "oid") from None


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    return value.strip() if isinstance(value, str) else ""


def _texts(claims: dict[str, Any], name: str) -> frozenset[str]:
    """Return a claim that lists texts; one of another kind says nothing."""
    values = claims.get(name)
    if not isinstance(values, list):
        return frozenset()
    return frozenset(value for value in values if isinstance(value, str))


def _moment(claims: dict[str, Any], name: str) -> int:
    """Return a moment that is not to come; 0 for anything else."""
    value = claims.get(name)
    is_moment = isinstance(value, int) and not isinstance(value, bool)
    return value if is_moment and 0 < value <= time.time() + LEEWAY else 0
