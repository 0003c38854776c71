"""Asking a company's directory who somebody is: allauth's OpenID Connect, made strict.

allauth finds the provider, keeps the state, makes the PKCE challenge and trades the code
for tokens. It lets the address choose scopes and parameters, sends no nonce, believes an
ID token unseen because it came over TLS, and takes whoever has a known e-mail address for
that person: none of these is used here (id_tokens.py, services/company_sign_in.py).
"""

import json
import secrets

import requests
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import (
    OpenIDConnectProvider,
)
from allauth.socialaccount.providers.openid_connect.views import (
    OpenIDConnectOAuth2Adapter,
)
from django.conf import settings
from django.http import HttpRequest

from accounts.companies import site_path
from accounts.id_tokens import identity_in, provider_configuration
from accounts.identities import Identity, SignInRefused
from accounts.models import CompanyTenant

SCOPE = ["openid", "profile", "email"]


class TenantProvider(OpenIDConnectProvider):
    """One company's directory as allauth knows providers; nothing of it is stored."""

    def __init__(self, request: HttpRequest, tenant: CompanyTenant):
        app = SocialApp(
            provider=self.id,
            provider_id=tenant.provider_id,
            name=tenant.provider_id,
            client_id=tenant.client_id,
            secret=tenant.client_secret,
            settings={
                "server_url": tenant.issuer,
                "oauth_pkce_enabled": True,
                "scope": SCOPE,
                "token_auth_method": "client_secret_post",
            },
        )
        super().__init__(request, app=app)
        self.tenant = tenant

    def get_oauth2_adapter(self, request: HttpRequest) -> "TenantAdapter":
        return TenantAdapter(request, self)


class TenantAdapter(OpenIDConnectOAuth2Adapter):
    """Where a tenant is asked, and where it answers: an address of its own."""

    def __init__(self, request: HttpRequest, provider: TenantProvider):
        super().__init__(request, provider.tenant.provider_id)
        self.provider = provider

    def get_provider(self) -> TenantProvider:
        return self.provider

    @property
    def openid_config(self) -> dict:
        return provider_configuration(self.provider.tenant)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return callback_address(self.provider.tenant)


def callback_address(tenant: CompanyTenant) -> str:
    """Return the redirect URI to register: no tenant answers at another's (RFC 9700)."""
    return settings.PUBLIC_BASE_URL + site_path("company:callback", pk=tenant.pk)


def question_for(
    tenant: CompanyTenant,
    request: HttpRequest,
    *,
    process: str,
    person: int | None = None,
    address: str = "",
    target: str = "",
) -> str:
    """Return where a browser asks the tenant, and remember what was asked in its session.

    `process` is what follows the answer; `person` whom alone it may be about here. To
    prove somebody anew the tenant is told to ask them, not to know them. Raises
    SignInRefused when the tenant's provider cannot be asked.
    """
    nonce = secrets.token_urlsafe(32)
    parameters = {"nonce": nonce, "response_mode": "query"}
    if address:
        parameters["login_hint"] = address
    if process == "connect":
        parameters["prompt"] = "select_account"
    if process == "prove":
        parameters |= {"prompt": "login", "max_age": "0"}
    if tenant.mfa_context:
        wanted = {"essential": True, "value": tenant.mfa_context}
        parameters["claims"] = json.dumps({"id_token": {"acrs": wanted}})
    response = TenantProvider(request, tenant).redirect(
        request,
        process=process,
        next_url=target,
        auth_params=parameters,
        nonce=nonce,
        person=person,
    )
    return response["Location"]


def answer_of(
    tenant: CompanyTenant, request: HttpRequest
) -> tuple[dict[str, object], Identity]:
    """Return what was asked and whom the tenant names, proved; each question counts once.

    Raises SignInRefused with the reason "state" when this browser asked no such thing,
    "cancelled", "provider" when the tenant gives no answer, and as identity_in does.
    """
    provider = TenantProvider(request, tenant)
    asked = statekit.unstash_state(
        request,
        provider_id=provider.sub_id,
        state_id=request.GET.get("state", ""),
    )
    if asked is None:
        raise SignInRefused("state")
    error, code = request.GET.get("error", ""), request.GET.get("code", "")
    if error or not code:
        raise SignInRefused(
            "cancelled" if error == TenantAdapter.login_cancelled_error else "provider",
            "no code",
        )
    client = provider.get_oauth2_adapter(request).get_client(request, provider.app)
    try:
        tokens = client.get_access_token(
            code, pkce_code_verifier=asked["pkce_code_verifier"]
        )
    except (OAuth2Error, requests.RequestException, KeyError) as refusal:
        # Its text may quote what the provider sent.
        raise SignInRefused("provider", type(refusal).__name__) from None
    token = tokens.get("id_token")
    if not isinstance(token, str):
        raise SignInRefused("token", "none")
    return asked, identity_in(token, tenant=tenant, nonce=str(asked["nonce"]))
