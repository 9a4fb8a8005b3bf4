"""One issuer: where its keys are, fetching them, and keeping them through its outages.

The key set is read at the start, then whenever it has grown old (the issuer's own max-age, `keys_s` at most), and when
a token names a key that it does not hold: at once, but no sooner than `UNKNOWN_S` after the last time, so that invented
key ids cannot become load on the issuer. Whoever waits for a reading shares it. A reading that fails changes nothing
until the last one is `keys_stale_s` too old. `jwks.py` owns what is in a set.

Source: OpenID Connect Discovery 1.0.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from golive.config.auth import OidcConfig
from golive.config.auth_faults import is_safe
from golive.core.clock import Clock
from golive.core.tasks import Tasks
from golive.tenants.jwks import Key, KeySet, KeySetUnusable, read_key_set

UNKNOWN_S = 10.0
"""Least time between two readings that tokens cause, and before one that failed is tried again."""
FETCH_S = 5.0
"""Longest wait for the discovery document and the key set together."""
MAX_BYTES = 262_144
"""Longest document that is read."""
MIN_AGE_S = 60.0
"""A key set is used for this long at least, whatever its issuer says."""

_WELL_KNOWN = "/.well-known/openid-configuration"


class Fetched(Struct, frozen=True):
    """An answer over HTTP. `max_age_s`: for how long its Cache-Control says it is good; None: it does not say."""

    status: int
    body: bytes
    max_age_s: float | None = None


class FetchFailed(Exception):
    """There was no answer; the text says why, for the operator."""


Fetch = Callable[[str], Awaitable[Fetched]]
"""GETs an address, following no redirect and reading at most `MAX_BYTES`. Raises FetchFailed."""


def discovery_url(config: OidcConfig) -> str:
    """Where the issuer's discovery document is."""
    return config.issuer.rstrip("/") + _WELL_KNOWN


def document_of(fetched: Fetched, config: OidcConfig, *wanted: str) -> dict[str, Any]:
    """The discovery document, with these members. Raises FetchFailed where it is none, or another issuer's."""
    try:
        document: Any = json.loads(fetched.body.decode())
        issuer = document["issuer"]
        lacking = [name for name in wanted if name not in document]
    except (ValueError, RecursionError, TypeError, KeyError):
        issuer, lacking = None, list(wanted)
    if issuer is None or lacking:
        raise FetchFailed(f"the discovery document names no issuer or no {' or '.join(wanted)}")
    if issuer != config.issuer:
        raise FetchFailed(f"the discovery document is that of {ascii(issuer)[:200]}: write `issuer` exactly so")
    found: dict[str, Any] = document
    return found


def address_in(document: dict[str, Any], name: str, config: OidcConfig) -> str:
    """An address of the discovery document. Raises FetchFailed where it leads nowhere, or somewhere unsafe."""
    url = document[name]
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or not all("!" <= c <= "~" for c in url):
        raise FetchFailed(f"its {name} {ascii(url)[:200]} is no address")
    if not is_safe(url) and not config.insecure_http:
        raise FetchFailed(f"its {name} {ascii(url)[:200]} is plain HTTP on another machine")
    return url


class IssuerState(Struct, frozen=True):
    """An issuer as it stands, for the operator. `age_s`: of the keys, None where there are none. `error`: of the last
    reading, "" when it went well."""

    name: str
    issuer: str
    jwks_url: str | None
    keys: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]
    age_s: float | None
    error: str


class Issuer:
    """See the module. `start` begins to read; `find` answers from memory wherever it can."""

    def __init__(
        self,
        name: str,
        config: OidcConfig,
        fetch: Fetch,
        clock: Clock,
        *,
        changed: Callable[[], None] = lambda: None,
        told: Callable[["IssuerState"], None] = lambda _: None,
    ) -> None:
        """Takes where the network and the time come from.

        Args:
            changed: called when a key is gone or is another one: what was verified by it counts no longer.
            told: called with the state after each reading whose outcome differs from that of the one before.
        """
        self.name = name
        self.config = config
        self._fetch = fetch
        self._clock = clock
        self._changed = changed
        self._told = told
        self._keys: KeySet | None = None
        self._jwks_url = config.jwks_url
        self._read_at = float("-inf")
        self._good_for_s = 0.0
        self._tried_at = float("-inf")
        self._error: str | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tasks = Tasks(f"issuer {name}")

    def start(self) -> None:
        """Begins to read the keys, and to keep them fresh; returns at once, for an issuer may be away."""
        self._tasks.start(self._follow(), "follow")

    async def close(self) -> None:
        """Stops reading."""
        await self._tasks.close()

    def known(self, kid: str | None, alg: str) -> Key | None:
        """The key, if it is in memory and may still be used."""
        keys = self._keys
        if keys is None:
            return None
        if self._clock.monotonic() - self._read_at > self._good_for_s + self.config.keys_stale_s:
            return None
        return keys.find(kid, alg)

    async def find(self, kid: str | None, alg: str) -> Key | None:
        """The key for a token; reads the key set anew where it does not hold it, as often as `UNKNOWN_S` allows."""
        return self.known(kid, alg) or await self.find_anew(kid, alg)

    async def find_anew(self, kid: str | None, alg: str) -> Key | None:
        """As `find`, when what is in memory will not do: a token that names no key may be by a newer one."""
        if self._reading is not None or self._clock.monotonic() - self._tried_at >= UNKNOWN_S:
            await self.refresh()
        return self.known(kid, alg)

    async def refresh(self) -> None:
        """Reads the key set now; whoever asks meanwhile waits for the same reading. Never raises: see `state`."""
        if self._reading is None:
            self._reading = self._tasks.start(self._read(), "read")
        await asyncio.wait([self._reading])  # goes on for the others when this caller is cancelled

    def state(self) -> IssuerState:
        """How it stands."""
        keys = self._keys
        return IssuerState(
            self.name,
            self.config.issuer,
            self._jwks_url,
            () if keys is None else tuple((kid or "-", alg) for kid, alg in keys.keys),
            () if keys is None else keys.skipped,
            None if keys is None else self._clock.monotonic() - self._read_at,
            self._error or "",
        )

    # ---- reading -----------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            await self.refresh()
            wait_s = self._good_for_s if not self._error else UNKNOWN_S
            await asyncio.sleep(wait_s)

    async def _read(self) -> None:
        self._tried_at = self._clock.monotonic()
        before, error = self._error, ""
        try:
            async with asyncio.timeout(FETCH_S):
                self._take(await self._ask())
        except (FetchFailed, KeySetUnusable) as failed:
            error = str(failed)[:500]
        except TimeoutError:
            error = f"no answer within {FETCH_S:g} s"
        finally:
            self._reading = None
        self._error = error
        if error != before:
            self._told(self.state())

    async def _ask(self) -> Fetched:
        url = self.config.jwks_url
        if url is None:
            try:
                url = self._jwks_url = self._discovered(await self._get(discovery_url(self.config)))
            except FetchFailed:
                if self._jwks_url is None:
                    raise
                url = self._jwks_url  # the keys may be there all the same
        return await self._get(url)

    async def _get(self, url: str) -> Fetched:
        fetched = await self._fetch(url)
        if fetched.status != 200:
            raise FetchFailed(f"{url} answered {fetched.status}")
        return fetched

    def _discovered(self, fetched: Fetched) -> str:
        """Where the key set is. Raises FetchFailed where the document is another's, or leads somewhere unsafe."""
        return address_in(document_of(fetched, self.config, "jwks_uri"), "jwks_uri", self.config)

    def _take(self, fetched: Fetched) -> None:
        keys = read_key_set(fetched.body, self.config.algorithms)
        before, self._keys = self._keys, keys
        self._read_at = self._clock.monotonic()
        age_s = self.config.keys_s if fetched.max_age_s is None else min(fetched.max_age_s, self.config.keys_s)
        self._good_for_s = max(age_s, MIN_AGE_S)
        if before is not None and not keys.keeps(before):
            self._changed()
