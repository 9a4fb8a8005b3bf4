"""How the documents of OpenID Connect issuers come in: over golive's own HTTP transport, small ones, soon, and from
where they are asked alone."""

import re

from golive.models.transport import Transport, TransportError
from golive.tenants.issuer import FETCH_S, MAX_BYTES, Fetch, Fetched, FetchFailed

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?(\d{1,9})")
_UNKEPT = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?:$|[,\s])")
_HEADERS = {"Accept": "application/json, application/jwk-set+json"}


def fetching(transport: Transport) -> Fetch:
    """Answers GETs through the transport, which follows no redirect; the caller limits the whole time."""

    async def fetch(url: str) -> Fetched:
        try:
            response = await transport.send("GET", url, _HEADERS, None, connect_s=FETCH_S)
            try:
                body = await response.read(MAX_BYTES)
                return Fetched(response.status, body, _max_age(response.header("cache-control") or ""))
            finally:
                response.close()
        except TransportError as error:
            raise FetchFailed(f"{url}: {error}") from None

    return fetch


def _max_age(text: str) -> float | None:
    """For how long an answer is good, as its Cache-Control says; None: it does not say."""
    lower = text.lower()
    if _UNKEPT.search(lower):
        return 0.0
    found = _MAX_AGE.search(lower)
    return float(found.group(1)) if found else None
