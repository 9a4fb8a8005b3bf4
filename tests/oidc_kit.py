"""A real OpenID Connect provider for tests (`oidc-provider-mock`), on this machine: login, code, tokens, keys."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import flask
import oidc_provider_mock
import werkzeug.serving
from authlib.jose import JsonWebSignature, RSAKey

CLIENT = "golive"
REDIRECT = "http://localhost:9/callback"


class Provider:
    """One provider. `asked`: the paths that were asked of it, in order; `forms`: what came to its token endpoint.

    `alter`: what becomes of the claims of its ID tokens before they are signed; `forge`: they are signed by another key
    of the same id; `answer`: what its token endpoint answers instead.
    """

    def __init__(self) -> None:
        self._app = oidc_provider_mock.app()
        self._app.debug = False
        self._storage: Any = None
        self._new_key: Any = None
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.alter: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        self.forge = False
        self.answer: dict[str, Any] | None = None
        self._app.before_request(self._before)
        self._app.after_request(self._after)
        self._server: werkzeug.serving.BaseWSGIServer | None = None
        self.port = 0
        self.start()

    @property
    def issuer(self) -> str:
        """As it stands in its tokens."""
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        """Answers, at the address that it had before."""
        self._server = werkzeug.serving.make_server("localhost", self.port, self._app.wsgi_app, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Answers no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def rotate(self) -> None:
        """From the next request on it signs by another key, and publishes that alone."""
        self._new_key = RSAKey.generate_key(is_private=True)

    def _before(self) -> None:
        self.asked.append(flask.request.path)
        if self._new_key is not None:
            flask.g.oidc_provider_mock_storage.jwk, self._new_key = self._new_key, None

    def _after(self, response: flask.Response) -> flask.Response:
        if flask.request.path != "/oauth2/token" or response.status_code != 200:
            return response
        self.forms.append(dict(flask.request.form))
        told = response.get_json()
        if self.alter is not None or self.forge:
            own = flask.g.oidc_provider_mock_storage.jwk
            header, claims = (
                json.loads(base64.urlsafe_b64decode(part + "==")) for part in told["id_token"].split(".")[:2]
            )
            key = RSAKey.generate_key(is_private=True) if self.forge else own
            claims = claims if self.alter is None else self.alter(claims)
            told["id_token"] = JsonWebSignature().serialize_compact(header, json.dumps(claims).encode(), key).decode()
        response.set_data(json.dumps(told if self.answer is None else self.answer))
        return response

    async def user(self, sub: str, **claims: Any) -> None:
        """Sets what tokens say of the user."""
        async with aiohttp.ClientSession() as http, http.put(f"{self.issuer}/users/{sub}", json=claims) as answer:
            assert answer.status == 204, await answer.text()

    async def login(self, sub: str, client: str = CLIENT) -> dict[str, Any]:
        """The whole code flow of a user in a browser: the form, the consent, the redirect, the tokens."""
        asked = {
            "client_id": client, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid profile email",
            "state": "s1", "nonce": "n1",
        }  # fmt: skip
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{self.issuer}/oauth2/authorize", params=asked) as form:
                assert form.status == 200, await form.text()
            async with http.post(
                f"{self.issuer}/oauth2/authorize", params=asked, data={"sub": sub}, allow_redirects=False
            ) as granted:
                assert granted.status == 302, await granted.text()
                there = parse_qs(urlsplit(granted.headers["Location"]).query)
                assert there["state"] == ["s1"]
            body = {"grant_type": "authorization_code", "code": there["code"][0], "redirect_uri": REDIRECT}
            headers = {"Authorization": aiohttp.encode_basic_auth(client, "secret")}
            async with http.post(f"{self.issuer}/oauth2/token", data=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                tokens: dict[str, Any] = await answer.json()
                return tokens


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider for the time of the block."""
    with _insecure():
        found = Provider()
        try:
            yield found
        finally:
            found.stop()


@contextmanager
def _insecure() -> Iterator[None]:
    """The provider's library refuses plain HTTP unless told that this is a test."""
    import os

    before = os.environ.get("AUTHLIB_INSECURE_TRANSPORT")
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AUTHLIB_INSECURE_TRANSPORT"]
        else:
            os.environ["AUTHLIB_INSECURE_TRANSPORT"] = before
