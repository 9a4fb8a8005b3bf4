"""How OpenID Connect issuers are asked: over golive's own HTTP transport; small answers, soon, and from where they are
asked alone."""

import re
from collections.abc import Mapping

from golive.models.transport import Transport, TransportError
from golive.tenants.code_flow import Post
from golive.tenants.issuer import FETCH_S, MAX_BYTES, Fetch, Fetched, FetchFailed

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?(\d{1,9})")
_UNKEPT = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?:$|[,\s])")
_HEADERS = {"Accept": "application/json, application/jwk-set+json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def fetching(transport: Transport) -> Fetch:
    """Answers GETs through the transport, which follows no redirect; the caller limits the whole time."""

    async def fetch(url: str) -> Fetched:
        return await _ask(transport, "GET", url, _HEADERS, None)

    return fetch


def posting(transport: Transport) -> Post:
    """Sends forms likewise."""

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> Fetched:
        return await _ask(transport, "POST", url, {**_HEADERS, **_FORM, **headers}, body)

    return post


async def _ask(transport: Transport, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Fetched:
    try:
        response = await transport.send(method, url, headers, body, connect_s=FETCH_S)
        try:
            answer = await response.read(MAX_BYTES)
            return Fetched(response.status, answer, _max_age(response.header("cache-control") or ""))
        finally:
            response.close()
    except TransportError as error:
        raise FetchFailed(f"{url}: {error}") from None


def _max_age(text: str) -> float | None:
    """For how long an answer is good, as its Cache-Control says; None: it does not say."""
    lower = text.lower()
    if _UNKEPT.search(lower):
        return 0.0
    found = _MAX_AGE.search(lower)
    return float(found.group(1)) if found else None
