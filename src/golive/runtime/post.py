"""One attempt to tell a webhook something: a signed POST, and what its answer means."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from golive.config.outward import WebhookConfig
from golive.core.clock import Clock
from golive.core.errors import ConfigError
from golive.core.outsiders import WORDS
from golive.core.signing import key_of, signature
from golive.models.transport import ProtocolBroken, Response, Transport, TransportError
from golive.models.vendor_errors import retry_after_s

CONNECT_S = 10.0
"""Longest wait for a connection, within the webhook's own `timeout_s`."""
GOOD_BYE_S = 1.0
"""How long the body of an answer that says all in its status is waited for, to keep the connection."""
MAX_ANSWER_BYTES = 65_536
QUOTED_CHARS = 200
"""How much of a refusal's own words is kept."""
_PATIENT = (429, 503)


class Attempt(Struct, frozen=True):
    """What came of one attempt: `sent`; `failed`: another may succeed; `gone`: the receiver wants no more (410).

    `error` says in words why it failed. `retry_after_s`: when the receiver wants the next one, where it says so.
    """

    verdict: Literal["sent", "failed", "gone"]
    status: int | None = None
    error: str = ""
    retry_after_s: float | None = None
    seconds: float = 0.0


class Post:
    """Makes attempts."""

    def __init__(
        self, transport: Transport, resolve: Callable[[str], str], redact: Callable[[str], str], clock: Clock
    ) -> None:
        """Takes what it uses.

        Args:
            resolve: the value of a reference to a secret; raises ConfigError.
            redact: takes credentials out of a text.
        """
        self._transport = transport
        self._resolve = resolve
        self._redact = redact
        self._clock = clock

    async def deliver(self, name: str, webhook: WebhookConfig, id_: str, body: bytes) -> Attempt:
        """Sends one message, signed as of now; takes no longer than the webhook's `timeout_s`, give or take a second.

        Args:
            name: the webhook's.
            id_: the message's, the same at each attempt.
        """
        began = self._clock.monotonic()
        try:
            headers = self._headers(name, webhook, id_, body)
        except ConfigError as error:
            why = WORDS.get(error.code, WORDS["config.invalid"])  # whom it is shown to cannot be known here
            return Attempt("failed", error=f"it cannot be signed: {why} ({error.code}, webhooks.{name})")
        limit = asyncio.timeout(webhook.timeout_s)
        try:
            async with limit:
                connect_s = min(CONNECT_S, webhook.timeout_s)
                response = await self._transport.send("POST", webhook.url, headers, body, connect_s=connect_s)
        except TransportError as error:
            said = self._redact(str(error))
            if isinstance(error, ProtocolBroken):
                said = f"what answers at {_place(webhook.url)} is not HTTP ({said})"
            return Attempt("failed", error=said, seconds=self._clock.monotonic() - began)
        except TimeoutError:
            if not limit.expired():
                raise
            said = f"no answer within {webhook.timeout_s:g} s (webhooks.{name}.timeout_s)"
            return Attempt("failed", error=said, seconds=self._clock.monotonic() - began)
        try:
            return await self._judge(response, began)
        finally:
            response.close()

    def _headers(self, name: str, webhook: WebhookConfig, id_: str, body: bytes) -> dict[str, str]:
        now = int(self._clock.now())
        named = (("secret", webhook.secret), ("old_secret", webhook.old_secret))
        keys = [signing_key(f"webhooks.{name}.{key}", ref, self._resolve) for key, ref in named if ref is not None]
        return {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(signature(key, id_, now, body) for key in keys),
        }

    async def _judge(self, response: Response, began: float) -> Attempt:
        status, seconds = response.status, self._clock.monotonic() - began
        said = b""
        with suppress(TransportError, TimeoutError):
            async with asyncio.timeout(GOOD_BYE_S):
                said = await response.read(MAX_ANSWER_BYTES)
        if 200 <= status < 300:
            return Attempt("sent", status, seconds=seconds)
        if status == 410:
            return Attempt("gone", status, "answered 410: it wants no more", seconds=seconds)
        if 300 <= status < 400:
            place = self._redact(response.header("location") or "another address")[:QUOTED_CHARS]
            return Attempt("failed", status, f"answered {status}, to {place}; no redirect is followed", seconds=seconds)
        words = self._redact(" ".join(said[: 4 * QUOTED_CHARS].decode("utf-8", "replace").split()))[:QUOTED_CHARS]
        wait_s = retry_after_s(response.header, self._clock.now()) if status in _PATIENT else None
        return Attempt("failed", status, f"answered {status}{': ' if words else ''}{words}", wait_s, seconds)


def _place(url: str) -> str:
    """Host and port."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def signing_key(setting: str, reference: str, resolve: Callable[[str], str]) -> bytes:
    """The key behind the reference that `setting` holds.

    Raises:
        ConfigError: there is no secret, or it is no key.
    """
    try:
        return key_of(resolve(reference))
    except ValueError as error:
        remedy = "Make one with: echo whsec_$(openssl rand -base64 32)"
        message = f"the secret `{reference}` of `{setting}` is no key for signatures: {error}."
        raise ConfigError(message, remedy=remedy, key=setting, value=reference, origin=reference) from None
