"""What a probe makes of a provider's answer, in virtual time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from golive.config.schema import GoliveConfig, ProviderConfig
from golive.core.errors import GoliveError, ModelNotFound, ModelRateLimited
from golive.models.health import MAX_PROBE_BYTES, ProviderHealth
from golive.models.plane import ModelPlane
from golive.models.transport import BodyTooLong, Disconnected
from tests.sim.loop import VirtualClock, simulate

BAD_KEY = {"error": {
    "code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
}}  # fmt: skip
"""As Google answers a wrong key."""


NOTHING = ("unknown", "answered 404 in the place of its models; base_url may be wrong")
"""What is known of a provider that has nothing at all at its address, or no list of models."""


class Refusing:
    """A transport whose server answers every probe with one status and one body, which comes after some seconds."""

    def __init__(self, status: int, body: Any, after_s: float = 0.0) -> None:
        self.status = status
        self.closed = 0
        self.content_type: str | None = None
        self.limits: list[int] = []
        self._body = body if isinstance(body, bytes | Exception) else msgspec.json.encode(body)
        self._after_s = after_s

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> "Refusing":
        return self

    def header(self, name: str) -> str | None:
        return self.content_type if name == "content-type" else None

    async def chunk(self) -> bytes:
        raise AssertionError("a refusal is read whole")

    async def read(self, limit: int) -> bytes:
        self.limits.append(limit)
        await asyncio.sleep(self._after_s)
        if isinstance(self._body, Exception):
            raise self._body
        return self._body

    def close(self) -> None:
        self.closed += 1


def state(network: Any, dialect: str) -> tuple[str, str]:
    """The provider's state and its detail."""

    async def main(clock: VirtualClock) -> tuple[str, str]:
        config = GoliveConfig(providers={"p": ProviderConfig(base_url="http://p", dialect=dialect, api_key="env:K")})
        found = (await ModelPlane(config, lambda reference: "k", network, clock).health())[0]
        return found.state, found.detail

    return simulate(main)


@pytest.mark.parametrize(
    ("dialect", "status", "body", "expected"),
    [
        ("gemini", 400, BAD_KEY, ("down", "credential refused")),
        ("gemini", 400, {"error": {"status": "INVALID_ARGUMENT"}}, ("up", "")),
        ("gemini", 403, {"error": {"status": "PERMISSION_DENIED"}}, ("down", "credential refused")),
        ("gemini", 429, {"error": {"status": "RESOURCE_EXHAUSTED"}}, ("up", "")),
        (
            "anthropic",
            401,
            {"type": "error", "error": {"type": "authentication_error"}},
            ("down", "credential refused"),
        ),
        ("openai-chat", 401, b"", ("down", "credential refused")),
        ("openai-responses", 403, b"<html>", ("down", "credential refused")),
        ("openai-chat", 404, b"no such page", NOTHING),
        ("openai-chat", 405, b"no such method", ("up", "")),
        ("openai-chat", 503, b"", ("down", "answered 503")),
        ("gemini", 503, {"error": {"status": "UNAVAILABLE"}}, ("down", "answered 503")),
    ],
)
def test_a_refused_probe_means_what_its_dialect_says(
    dialect: str, status: int, body: Any, expected: tuple[str, str]
) -> None:
    """A refused credential counts whatever the status; a complaint about the probe alone says that the server runs."""
    network = Refusing(status, body)
    assert state(network, dialect) == expected
    assert (network.limits, network.closed) == ([MAX_PROBE_BYTES], 1)


@pytest.mark.parametrize(("status", "expected"), [(401, ("down", "credential refused")), (404, NOTHING)])
@pytest.mark.parametrize(
    ("body", "after_s"), [(b"", 60.0), (Disconnected("gone"), 0.0), (BodyTooLong("long"), 0.0)], ids=str
)
def test_a_refusal_whose_body_cannot_be_had_is_judged_by_its_status(
    body: Any, after_s: float, status: int, expected: tuple[str, str]
) -> None:
    """Late, broken off or endless."""
    assert state(Refusing(status, body, after_s), "openai-chat") == expected


def seen_after(calls: list[GoliveError | None], network: Any) -> tuple[str, str]:
    """The provider's state and detail, a day after calls ended so (None: with an answer)."""

    async def main(clock: VirtualClock) -> tuple[str, str]:
        health = ProviderHealth("p", clock)
        for error in calls:
            health.observe(error, 1.0)
        await asyncio.sleep(86_400.0)
        found = await health.check(network, "http://p/models", {}, lambda *_: ModelNotFound("none"))
        return found.state, found.detail

    return simulate(main)


MISSED = ModelNotFound("no such model", status=404)
BUSY = ModelRateLimited("slow down", status=429)
WRONG = ("down", "answered 404, and calls answered 404: base_url is wrong, or every model's name")
PAGE = ("unknown", "answered with a web page in the place of its models; base_url may be wrong")


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], NOTHING), ([MISSED], WRONG), ([MISSED, MISSED], WRONG), ([None], ("up", "")), ([None, MISSED], ("up", "")),
        ([BUSY], ("up", "")), ([MISSED, BUSY], ("up", "")),
    ],
)  # fmt: skip
def test_whether_a_404_is_a_wrong_address_calls_tell(
    calls: list[GoliveError | None], expected: tuple[str, str]
) -> None:
    """One whose calls are answered merely has no list of models; one whose calls are 404, too, is not up."""
    assert seen_after(calls, Refusing(404, b"")) == expected


@pytest.mark.parametrize(("calls", "expected"), [([], PAGE), ([None], ("up", ""))])
def test_a_web_page_is_no_list_of_models(calls: list[GoliveError | None], expected: tuple[str, str]) -> None:
    network = Refusing(200, b"<html>")
    network.content_type = "text/html; charset=utf-8"
    assert seen_after(calls, network) == expected


def test_where_models_are_listed_a_404_was_about_one_of_them() -> None:
    network = Refusing(200, {"data": []})
    network.content_type = "application/json"
    assert seen_after([MISSED], network) == ("up", "")
