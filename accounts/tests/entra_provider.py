"""A directory's sign-in as a process of its own: a real provider, which can be told to lie.

oidc-provider-mock answers; what is added is what Entra does and it does not (a named key,
PKCE that is checked) and the tokens that an attacker would like to be believed. Run as
`python -m accounts.tests.entra_provider PORT`.
"""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import time
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field

import flask
import jwt
import oidc_provider_mock
import requests
from authlib import jose

KEY_ID = "entra-1"


def provider() -> flask.Flask:
    """The provider; PUT /lie says what is wrong with the tokens from then on."""
    app = oidc_provider_mock.app()
    challenges: dict[str, str] = {}
    remembered: dict[str, str] = {}
    other_key = jose.RSAKey.generate_key(2048, is_private=True)

    @app.put("/lie")
    def lie():
        remembered["lie"] = flask.request.json["lie"]
        return "", 204

    @app.get("/asked")
    def asked():
        return json.loads(remembered.get("asked", "{}"))

    @app.before_request
    def check_pkce():
        if flask.request.path != "/oauth2/token":
            return None
        verifier = flask.request.form.get("code_verifier", "")
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if challenges.get(flask.request.form.get("code", "")) != challenge:
            return {"error": "invalid_grant"}, 400
        if flask.request.form.get("client_secret") != "s3cret":
            return {"error": "invalid_client"}, 401
        return None

    @app.after_request
    def as_entra(response):
        request = flask.request
        if request.path == "/oauth2/authorize" and request.method == "POST":
            query = urllib.parse.urlsplit(response.headers.get("Location", "")).query
            answer = dict(urllib.parse.parse_qsl(query))
            code = answer.get("code", "")
            if "state" not in answer:
                # The mock forgets it when somebody cancels.
                state = urllib.parse.quote(request.args.get("state", ""))
                response.headers["Location"] += f"&state={state}"
            challenges[code] = request.args.get("code_challenge", "")
            remembered["asked"] = json.dumps(request.args.to_dict())
        if request.path == "/jwks":
            keys = response.get_json()
            for key in keys["keys"]:
                key["kid"] = KEY_ID
            response.set_data(json.dumps(keys))
        if request.path == "/oauth2/token" and response.status_code == 200:
            answer = response.get_json()
            answer["id_token"] = signed(answer["id_token"])
            response.set_data(json.dumps(answer))
        return response

    def signed(token: str) -> str:
        claims = jwt.decode(token, options={"verify_signature": False})
        lying = remembered.get("lie", "")
        remembered.setdefault("first", "")
        changes = {
            "audience": {"aud": ["another-app"]},
            "second audience": {"aud": [*claims["aud"], "another-app"]},
            "authorized party": {"azp": "another-app"},
            "expired": {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600},
            "not yet": {"nbf": int(time.time()) + 3600},
            "issuer": {"iss": "https://login.example"},
            "tenant": {"tid": "99999999-9999-4999-8999-999999999999"},
            "nonce": {"nonce": secrets.token_urlsafe(32)},
        }
        claims |= changes.get(lying, {})
        for name in ("tid", "nonce", "exp", "oid"):
            if lying == f"no {name}":
                del claims[name]
        header = {"alg": "RS256", "kid": KEY_ID}
        key = flask.g.oidc_provider_mock_storage.jwk
        if lying == "signature":
            key = other_key
        if lying == "key":
            header["kid"] = "nobody's"
        if lying == "unsigned":
            return jwt.encode(claims, "", algorithm="none", headers={"kid": KEY_ID})
        if lying == "shared secret":
            secret = hashlib.sha256(b"s3cret").hexdigest()
            return jwt.encode(claims, secret, "HS256", headers={"kid": KEY_ID})
        made = jose.jwt.encode(header, claims, key).decode()
        if lying == "replay":
            return remembered["last"]
        remembered["last"] = made
        return made

    return app


@dataclass
class Entra:
    """A running provider, and the browser of whoever signs in there."""

    url: str
    people: dict[str, dict] = field(default_factory=dict)
    # What it was told last: it is told nothing twice.
    known: dict[str, dict] = field(default_factory=dict)
    lying: str | None = None

    def add(self, sub: str, /, **claims) -> None:
        """Let the directory know somebody, or know them differently."""
        self.people[sub] = self.people.get(sub, {}) | claims
        told = {key: one for key, one in self.people[sub].items() if one is not None}
        if told != self.known.get(sub):
            self._put(f"users/{sub}", told)
            self.known[sub] = told

    def lie(self, how: str = "") -> None:
        """Tell the provider what shall be wrong with its tokens."""
        if how != self.lying:
            self._put("lie", {"lie": how})
            self.lying = how

    def _put(self, path: str, told: dict) -> None:
        requests.put(f"{self.url}/{path}", json=told, timeout=5).raise_for_status()

    def asked(self) -> dict[str, str]:
        """What the portal asked last."""
        return requests.get(f"{self.url}/asked", timeout=5).json()

    def answer(self, url: str, name: str, *, action: str = "authorize") -> str:
        """Sign somebody in at the address that was asked; return the way back."""
        answer = requests.post(
            url, data={"sub": name, "action": action}, allow_redirects=False, timeout=5
        )
        assert answer.status_code == 302, answer.text
        back = urllib.parse.urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"


@contextmanager
def running_entra(port: int):
    """Run the provider as a process until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "accounts.tests.entra_provider", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://localhost:{port}"
        _wait_for(url, process)
        yield Entra(url)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        try:
            requests.get(f"{url}/jwks", timeout=2).raise_for_status()
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the provider does not answer")


if __name__ == "__main__":
    provider().run("localhost", int(sys.argv[1]), debug=False, threaded=True)
