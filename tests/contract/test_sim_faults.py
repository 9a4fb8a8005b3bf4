"""Every fault in every dialect of the simulator, on the wire."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from golive.core.clock import SystemClock
from golive.sim.control import Outage
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator
from tests.contract.sim_kit import Client, until

KEYS = ("key-one", "key-two")


class SetClock(SystemClock):
    """Wall time as it is set."""

    at = 1_000.0

    def now(self) -> float:
        return self.at


class Speaking(NamedTuple):
    """A dialect: where a request goes, streamed or not, what stands in it, and how a stream is known to be whole."""

    path: str
    streamed: str
    body: dict[str, Any]
    key: str
    end: bytes
    text: bytes
    """What stands before the text of a delta."""


HI = [{"role": "user", "content": "hi"}]
DIALECTS = {
    "chat": Speaking(
        "/v1/chat/completions", "/v1/chat/completions", {"model": "sim-x", "messages": HI}, "authorization",
        b"data: [DONE]", b'"delta":{"content":',
    ),
    "responses": Speaking(
        "/v1/responses", "/v1/responses", {"model": "sim-x", "input": "hi"}, "authorization",
        b"event: response.completed", b'"delta":',
    ),
    "messages": Speaking(
        "/v1/messages", "/v1/messages", {"model": "sim-x", "messages": HI, "max_tokens": 9_999}, "x-api-key",
        b"event: message_stop", b'"text_delta","text":',
    ),
    "gemini": Speaking(
        "/v1beta/models/sim-x:generateContent", "/v1beta/models/sim-x:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "hi"}]}]}, "x-goog-api-key", b'"finishReason":"STOP"', b'{"text":',
    ),
}  # fmt: skip


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=7, clock=SetClock(), api_keys=KEYS, default_script=Script(tokens=10))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture(params=sorted(DIALECTS))
def speaking(request: pytest.FixtureRequest) -> Speaking:
    return DIALECTS[request.param]


async def send(
    sim: Simulator, speaking: Speaking, script: Script | None = None, *, stream: bool = False, key: str = KEYS[0]
) -> Client:
    """A client whose request is on its way; its connection ends with the answer."""
    client = await Client.to(sim)
    body = speaking.body | ({"stream": True} if stream and "contents" not in speaking.body else {})
    headers = {speaking.key: f"Bearer {key}" if speaking.key == "authorization" else key, "connection": "close"}
    if speaking.path == "/v1/messages":
        headers["anthropic-version"] = "2023-06-01"
    client.send("POST", speaking.streamed if stream else speaking.path, msgspec.json.encode(body), script, **headers)
    return client


async def ask(sim: Simulator, speaking: Speaking, script: Script | None = None, **more: Any) -> Any:
    """Status, headers and body of the answer."""
    client = await send(sim, speaking, script, **more)
    answer = await client.answer()
    client.writer.close()
    return answer


async def broken(client: Client) -> tuple[bytes, bool]:
    """What came after the head until the connection ended, and whether it was reset."""
    await client.head()
    body = b""
    try:
        while data := await client.reader.read(65_536):
            body += data
    except ConnectionResetError:
        return body, True
    return body, False


async def test_a_whole_stream_has_its_end(sim: Simulator, speaking: Speaking) -> None:
    """Ten tokens, the end mark, and what the bill says."""
    status, _, body = await ask(sim, speaking, stream=True)
    assert (status, body.count(speaking.text), body.count(speaking.end)) == (200, 10, 1)
    assert [(line.state, line.output_tokens, line.stream) for line in sim.bill] == [("completed", 10, True)]


@pytest.mark.parametrize("cut", ["close", "reset", "end", "error"])
@pytest.mark.parametrize("after", [0, 4, 10])
async def test_a_stream_breaks_off_where_the_script_says(
    sim: Simulator, speaking: Speaking, cut: Any, after: int
) -> None:
    """After exactly N tokens, in every way, without the end mark; an error event names the error."""
    script = Script(tokens=10, cut_after=after, cut=cut, status=529 if cut == "error" else None, error_message="busy")
    body, reset = await broken(await send(sim, speaking, script, stream=True))
    assert reset == (cut == "reset")
    assert body.endswith(b"0\r\n\r\n") == (cut in ("end", "error"))
    assert (body.count(speaking.text), speaking.end in body) == (after, False)
    assert (b"busy" in body) == (cut == "error")
    assert [(line.state, line.output_tokens) for line in sim.bill] == [("cut", after)]


async def test_a_hang_and_a_refusal(sim: Simulator, speaking: Speaking) -> None:
    """Nothing comes until the client leaves; or the connection is reset."""
    client = await send(sim, speaking, Script(hang_ms=-1), stream=True)
    await until(lambda: sim.requests_seen == 1)
    client.writer.transport.abort()
    await until(lambda: len(sim.bill))
    with pytest.raises(ConnectionResetError):
        await (await send(sim, speaking, Script(refuse=True))).rest()
    assert [line.state for line in sim.bill] == ["aborted by client", "failed"]


@pytest.mark.parametrize("size", [1, 7])
async def test_pieces_of_any_size_join_into_the_same_stream(sim: Simulator, speaking: Speaking, size: int) -> None:
    """Cut at every so many bytes, also inside characters."""
    script = Script(text="Grüße, 世界 🌍!", bytes_per_write=size)
    body = (await ask(sim, speaking, script, stream=True))[2]
    assert body == (await ask(sim, speaking, Script(text="Grüße, 世界 🌍!"), stream=True))[2].replace(b"sim2", b"sim1")
    assert (body.count(speaking.text), "Grüße".encode() in body) == (6, True)


@pytest.mark.parametrize("kind", ["json", "utf8"])
@pytest.mark.parametrize("stream", [True, False])
async def test_malformed_bytes(sim: Simulator, speaking: Speaking, kind: Any, stream: bool) -> None:
    """One event, or the whole answer, cannot be read."""
    _, _, body = await ask(sim, speaking, Script(tokens=6, malformed=kind, malformed_after=2), stream=stream)
    events = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: {")]
    unread = 0
    for event in events if stream else [body]:
        try:
            event.decode()
            msgspec.json.decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            unread += 1
    assert unread == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_proxys_page(sim: Simulator, speaking: Speaking, stream: bool) -> None:
    """HTML with status 200 or another, free of charge."""
    status, headers, body = await ask(sim, speaking, Script(garbage="html"), stream=stream)
    assert (status, headers["content-type"], body[:15]) == (200, "text/html; charset=UTF-8", b"<!DOCTYPE html>")
    assert (await ask(sim, speaking, Script(garbage="html", status=502)))[0] == 502
    assert [(line.state, line.cost_microusd) for line in sim.bill] == [("failed", 0)] * 2


async def test_gzip_that_is_none(sim: Simulator, speaking: Speaking) -> None:
    """The header says gzip, the bytes do not."""
    _, headers, body = await ask(sim, speaking, Script(garbage="gzip"))
    assert (headers["content-encoding"], body[:2]) == ("gzip", b"\x1f\x8b")


async def test_a_header_without_an_end(sim: Simulator, speaking: Speaking) -> None:
    """It goes on for as long as somebody reads."""
    client = await send(sim, speaking, Script(garbage="headers"))
    read = b""
    while len(read) < 3_000_000:
        read += await client.reader.read(65_536)
    assert b"\r\n\r\n" not in read
    client.writer.transport.abort()
    await until(lambda: sim.open_connections == 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_one_token_may_be_huge(sim: Simulator, speaking: Speaking, stream: bool) -> None:
    """Ten megabytes in one delta, billed as one token."""
    _, _, body = await ask(sim, speaking, Script(token_bytes=10_000_000), stream=stream)
    assert body.count(b"x" * 1_000_000) >= 10
    assert sim.bill.lines[0].output_tokens == 1


async def test_ids_may_be_the_same(sim: Simulator, speaking: Speaking) -> None:
    """Two calls with one id."""
    script = Script(tool_calls=(ToolUse("f"), ToolUse("g")), duplicate_ids=True)
    _, _, body = await ask(sim, speaking, script)
    assert body.count(b'sim1x0"') >= 2
    assert b"sim1x1" not in body.replace(b"fc_sim1x1", b"")


async def test_an_event_that_nobody_knows(sim: Simulator, speaking: Speaking) -> None:
    """It comes before the first token, and the rest is as ever."""
    _, _, body = await ask(sim, speaking, Script(tokens=10, unknown_event=True), stream=True)
    assert body.index(b"nknown") < body.index(speaking.text)
    assert (body.count(speaking.text), body.count(speaking.end)) == (10, 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_may_be_anything(sim: Simulator, speaking: Speaking, stream: bool) -> None:
    """Missing, negative, no number at all; the bill is right."""
    if stream and speaking.path.endswith("completions"):
        speaking = speaking._replace(body=speaking.body | {"stream_options": {"include_usage": True}})
    bodies = [
        (await ask(sim, speaking, Script(tokens=10, usage=usage), stream=stream))[2]
        for usage in ("missing", "negative", "nan")
    ]
    assert [b"oken" in body.replace(b"max_output_tokens", b"") for body in bodies] == [False, True, True]
    assert [b":-" in body for body in bodies] == [False, True, False]
    assert [b":NaN" in body for body in bodies] == [False, False, True]
    assert [line.output_tokens for line in sim.bill] == [10, 10, 10]


async def test_a_credential_has_a_limit_of_its_own(sim: Simulator, speaking: Speaking) -> None:
    """Two requests for each key, then 429 with the time to wait; nothing is charged for it."""
    sim.scripts.install("sim-x", Script(tokens=1, limit_per_key=2, limit_window_s=30.0))
    answers = [await ask(sim, speaking, key=key) for key in (*[KEYS[0]] * 3, *[KEYS[1]] * 3)]
    assert [answer[0] for answer in answers] == [200, 200, 429] * 2
    _, headers, body = answers[2]
    if speaking.key == "x-goog-api-key":
        waits = [one["retryDelay"] for one in msgspec.json.decode(body)["error"]["details"] if "retryDelay" in one]
        assert waits == ["30s"]
    else:
        assert headers["retry-after"] == "30"
    assert [line.state for line in sim.bill] == ["completed", "completed", "failed"] * 2


async def test_the_window_of_a_limit_ends() -> None:
    """After it, the key may ask again."""
    clock = SetClock()
    sim = Simulator(clock=clock, default_script=Script(tokens=1, limit_per_key=1, limit_window_s=30.0))
    await sim.start()
    found = []
    for at in (0.0, 29.0, 30.0):
        clock.at = 1_000.0 + at
        found.append((await ask(sim, DIALECTS["chat"]))[0])
    await sim.stop()
    assert found == [200, 429, 200]


async def test_limit_headers_say_what_the_script_wants(sim: Simulator) -> None:
    """OpenAI's and Anthropic's, with an answer and with a status; without Retry-After if none is scripted."""
    script = Script(status=429, limit_remaining=0, limit_window_s=90.0)
    _, chat, _ = await ask(sim, DIALECTS["chat"], script)
    assert [chat[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining", "reset")] == ["100", "0", "1m30s"]
    assert "retry-after" not in chat
    _, messages, _ = await ask(sim, DIALECTS["messages"], Script(tokens=1, limit_remaining=7, limit_per_key=9))
    named = {name: messages[f"anthropic-ratelimit-requests-{name}"] for name in ("limit", "remaining", "reset")}
    assert (named["limit"], named["remaining"], len(named["reset"]), named["reset"][-1]) == ("9", "7", 20, "Z")


async def test_an_outage_is_every_vendors(sim: Simulator, speaking: Speaking) -> None:
    """One switch for all of them, each in its own shape."""
    sim.begin_outage(Outage(kind="status", status=503))
    assert (await ask(sim, speaking))[0] == 503
    sim.end_outage()
    assert (await ask(sim, speaking))[0] == 200
