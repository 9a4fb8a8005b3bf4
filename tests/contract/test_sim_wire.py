"""The simulator on the wire: framing, faults, its bill and its own endpoints, seen by a client that reads bytes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from golive.core.clock import SystemClock
from golive.sim.script import Script
from golive.sim.server import Simulator
from tests.contract.sim_kit import Client, chat, control, events, payload, until, words


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=7, clock=SystemClock(), default_script=Script(tokens=10))
    await simulator.start()
    yield simulator
    await simulator.stop()


async def test_a_stream_has_a_role_words_a_reason_and_an_end(sim: Simulator) -> None:
    """The order of a stream's events, and `usage` nowhere unless it was asked for."""
    _, headers, body = await chat(sim, stream=True)
    found = events(body)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["x-request-id"] == "req_1"
    first, last = msgspec.json.decode(found[0]), msgspec.json.decode(found[-2])
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert found[-1] == b"[DONE]"
    assert len(found) == 10 + 3
    assert b"usage" not in body


async def test_include_usage_is_honoured_exactly(sim: Simulator) -> None:
    """One last event with usage and no choices; `"usage": null` in all others; it says what the bill says."""
    _, _, body = await chat(sim, stream=True, stream_options={"include_usage": True})
    parsed = [msgspec.json.decode(event) for event in events(body)[:-1]]
    assert [event["usage"] for event in parsed[:-1]] == [None] * 12
    assert parsed[-1]["choices"] == []
    usage, line = parsed[-1]["usage"], sim.bill.lines[0]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (line.input_tokens, line.output_tokens) == (5, 10)
    assert (line.state, line.cost_microusd) == ("completed", 45)


@pytest.mark.parametrize("size", [1, 3, 7, 64])
async def test_pieces_of_any_size_join_into_the_same_stream(sim: Simulator, size: int) -> None:
    """Cut at every so many bytes, also inside characters, the body is the same."""
    _, _, body = await chat(sim, Script(text="Grüße, 世界 🌍!", bytes_per_write=size), stream=True)
    assert words(body) == "Grüße, 世界 🌍!"
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("burst", [0, 1, 4, 100])
async def test_bursts_do_not_change_what_is_said(sim: Simulator, burst: int) -> None:
    """However many chunks go in one write, the text is the same."""
    _, _, body = await chat(sim, Script(tokens=30, burst=burst), stream=True)
    assert len(events(body)) == 33
    assert words(body) == words((await chat(sim, Script(tokens=30), stream=True))[2])


async def test_the_same_seed_says_the_same_in_any_order() -> None:
    """Generated text depends on seed, model and messages alone; another seed says something else."""
    said = []
    for seed, order in ((1, "ab"), (1, "ba"), (2, "ab")):
        sim = Simulator(seed=seed, clock=SystemClock(), default_script=Script(tokens=20))
        await sim.start()
        said.append({who: words((await chat(sim, said=who, stream=True))[2]) for who in order})
        await sim.stop()
    assert said[0] == said[1]
    assert said[0]["a"] != said[0]["b"]
    assert said[0] != said[2]


@pytest.mark.parametrize("cut", ["close", "reset", "end"])
@pytest.mark.parametrize("after", [0, 4, 10])
async def test_a_stream_breaks_off_where_the_script_says(sim: Simulator, cut: Any, after: int) -> None:
    """After exactly N tokens: an end without the last chunk, a reset, or a clean end; never a finish_reason."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(stream=True), Script(tokens=10, cut_after=after, cut=cut),
                connection="close")  # fmt: skip
    await client.head()
    body = b""
    try:
        while data := await client.reader.read(65_536):
            body += data
        ended = "fin"
    except ConnectionResetError:
        ended = "rst"
    assert ended == ("rst" if cut == "reset" else "fin")
    assert body.endswith(b"0\r\n\r\n") == (cut == "end")
    assert body.count(b'"content":') == 1 + after
    assert b"[DONE]" not in body
    assert b'"finish_reason":"' not in body
    assert [(line.state, line.output_tokens) for line in sim.bill] == [("cut", after)]


async def test_a_cut_beyond_the_end_never_happens(sim: Simulator) -> None:
    """An answer shorter than `cut_after` is whole."""
    _, _, body = await chat(sim, Script(tokens=3, cut_after=4), stream=True)
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_whole_answer_can_break_off_too(sim: Simulator) -> None:
    """Without streaming, a cut leaves fewer bytes than were announced; `end` leaves broken JSON."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(), Script(cut_after=1))
    _, headers = await client.head()
    assert 0 < len(await client.rest()) < int(headers["content-length"])
    _, _, body = await chat(sim, Script(cut_after=1, cut="end"))
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body)
    assert [line.state for line in sim.bill] == ["cut", "cut"]


async def test_refusal_is_a_reset_without_an_answer(sim: Simulator) -> None:
    """The connection is reset and nothing is charged."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(), Script(refuse=True))
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert [(line.state, line.cost_microusd) for line in sim.bill] == [("failed", 0)]


@pytest.mark.parametrize(
    "script",
    [Script(hang_ms=-1), Script(first_token_ms=60_000), Script(stall_after=0), Script(tokens=9, pace_ms=60_000)],
)
async def test_a_client_that_leaves_is_noticed_and_billed(sim: Simulator, script: Script) -> None:
    """A call abandoned in a silence ends at once and is charged for its input and what was produced by then."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(stream=True), script)
    await until(lambda: sim.requests_seen == 1)
    client.writer.transport.abort()
    await until(lambda: len(sim.bill))
    line = sim.bill.lines[0]
    assert (line.state, line.input_tokens) == ("aborted by client", 5)
    assert line.output_tokens == (1 if script.pace_ms else 0)
    assert line.cost_microusd == 5 + 4 * line.output_tokens


async def test_a_stall_is_a_silence_in_the_middle(sim: Simulator) -> None:
    """After N tokens nothing comes for a while, then the rest does."""
    _, _, body = await chat(sim, Script(tokens=6, stall_after=2, stall_ms=1), stream=True)
    assert words(body) == words((await chat(sim, Script(tokens=6), stream=True))[2])


@pytest.mark.parametrize(("kind", "error"), [("json", msgspec.DecodeError), ("utf8", UnicodeDecodeError)])
async def test_one_chunk_is_malformed(sim: Simulator, kind: Any, error: type[Exception]) -> None:
    """Exactly the chunk after N tokens is broken, and the stream goes on."""
    _, _, body = await chat(sim, Script(tokens=6, malformed=kind, malformed_after=2), stream=True)
    broken = []
    for position, event in enumerate(events(body)[:-1]):
        try:
            event.decode()
            msgspec.json.decode(event)
        except error:
            broken.append(position)
    assert broken == [3]


async def test_a_status_comes_with_the_vendors_error(sim: Simulator) -> None:
    """Any status, Retry-After as given, the vendor's error object and a request id; free of charge."""
    status, headers, body = await chat(sim, Script(status=429, retry_after=1.5, error_message="slow down"))
    assert (status, headers["retry-after"], headers["x-request-id"]) == (429, "1.5", "req_1")
    error = {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    assert msgspec.json.decode(body) == {"error": error}
    assert sim.bill.cost_microusd == 0


async def test_usage_may_be_wrong_or_missing_and_the_bill_is_right(sim: Simulator) -> None:
    """What is reported can lie; the bill does not."""
    _, _, wrong = await chat(sim, Script(tokens=10, usage="wrong"))
    _, _, missing = await chat(sim, Script(tokens=10, usage="missing"))
    usage = msgspec.json.decode(wrong)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (22, 5, 27)
    assert "usage" not in msgspec.json.decode(missing)
    assert [(line.input_tokens, line.output_tokens) for line in sim.bill] == [(5, 10), (5, 10)]


async def test_connections_are_kept_alive_and_bodies_may_be_chunked(sim: Simulator) -> None:
    """Several requests on one connection, with Content-Length and in chunks, answered one after the other."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(stream=True))
    assert (await client.answer())[0] == 200
    body = payload()
    client.writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ntransfer-encoding: chunked\r\n\r\n")
    for start in range(0, len(body), 9):
        piece = body[start : start + 9]
        client.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.writer.write(b"0\r\n\r\n")
    assert (await client.answer())[0] == 200
    client.send("GET", "/v1/nothing", connection="close")
    assert (await client.answer())[0] == 404
    assert await client.rest() == b""
    client.writer.close()


async def test_what_is_not_http_is_answered_and_closed(sim: Simulator) -> None:
    """Garbage gets a 400, and the server lives on."""
    client = await Client.to(sim)
    client.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert (await chat(sim))[0] == 200


async def test_paths_and_models_that_do_not_exist(sim: Simulator) -> None:
    """404 and 405 in the vendor's shape; a misspelt script is a 400 that says so."""
    status, _, body = await chat(sim, model="gpt-unknown")
    assert (status, msgspec.json.decode(body)["error"]["code"]) == (404, "model_not_found")
    assert (await control(sim, "GET", "/v1/chat/completions"))[0] == 405
    assert (await control(sim, "GET", "/v2"))[0] == 404
    assert (await control(sim, "GET", "/sim/nothing"))[0] == 404
    status, _, body = await chat(sim, model="sim-x?tokenz=3")
    assert (status, msgspec.json.decode(body)["error"]["code"]) == (400, "sim_script_invalid")


async def test_scripts_are_installed_over_http(sim: Simulator) -> None:
    """POST installs, for some requests or for good, and lists the model; DELETE forgets."""
    await control(sim, "POST", "/sim/scripts", {"model": "gpt-x", "script": {"status": 500}, "times": 1})
    await control(sim, "POST", "/sim/scripts", {"model": "gpt-x", "script": {"text": "well again"}})
    assert (await chat(sim, model="gpt-x"))[0] == 500
    assert words((await chat(sim, model="gpt-x", stream=True))[2]) == "well again"
    _, listed = await control(sim, "GET", "/v1/models")
    assert {"id": "gpt-x", "object": "model", "created": 1_767_225_600, "owned_by": "golive-sim"} in listed["data"]
    await control(sim, "DELETE", "/sim/scripts?model=gpt-x")
    assert (await chat(sim, model="gpt-x"))[0] == 404
    status, answer = await control(sim, "POST", "/sim/scripts", {"model": "a", "script": {"tokenz": 1}})
    assert status == 400
    assert "tokenz" in answer["error"]["message"]


async def test_an_outage_shoots_the_whole_provider_and_heals(sim: Simulator) -> None:
    """Refused, or answered with a status, everything under /v1; open streams cut if wanted; /sim stays reachable."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(stream=True), Script(tokens=5, stall_after=2))
    await client.head()
    await control(sim, "POST", "/sim/outage", {"kind": "refuse", "cut_open": True})
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await until(lambda: len(sim.bill))
    assert [(line.state, line.output_tokens) for line in sim.bill] == [("cut", 2)]
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await chat(sim)
    await control(sim, "POST", "/sim/outage", {"kind": "status", "status": 503, "retry_after": 2})
    status, headers, _ = await chat(sim)
    assert (status, headers["retry-after"]) == (503, "2")
    assert (await control(sim, "GET", "/v1/models"))[0] == 503
    await control(sim, "DELETE", "/sim/outage")
    assert (await chat(sim))[0] == 200


async def test_the_request_log_shows_what_was_sent_without_credentials(sim: Simulator) -> None:
    """Bodies are kept as they came; keys appear nowhere, not even in part."""
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(user="u1"), authorization="Bearer sk-very-secret",
                x_api_key="sk-very-secret", idempotency_key="once")  # fmt: skip
    await client.answer()
    client.send("POST", "/v1/chat/completions", b"not json \xff")
    await client.answer()
    for key in ("sk-very-secret", "sk-other-secret"):
        client.send("POST", "/v1/chat/completions", payload(), authorization=f"Bearer {key}")
        await client.answer()
    client.writer.close()
    _, log = await control(sim, "GET", "/sim/requests")
    sent, broken, same, other = log["requests"]
    assert sent["body"]["user"] == "u1"
    assert (sent["headers"]["authorization"], sent["headers"]["x-api-key"]) == ("[redacted]", "[redacted]")
    assert sent["headers"]["idempotency-key"] == "once"
    assert broken["body"] == "not json \ufffd"
    assert broken["credential"] == ""
    assert len(sent["credential"]) == 8
    assert same["credential"] == sent["credential"] != other["credential"]
    assert "secret" not in msgspec.json.encode(log).decode()
    assert [entry["id"] for entry in (await control(sim, "GET", "/sim/requests?last=1"))[1]["requests"]] == ["req_4"]


async def test_the_bill_is_read_and_reset_over_http(sim: Simulator) -> None:
    """GET shows lines and totals, DELETE begins anew."""
    await chat(sim, Script(tokens=4, cached_tokens=4, reasoning="why not", reasoning_tokens=6))
    _, bill = await control(sim, "GET", "/sim/bill")
    assert bill["totals"] == {
        "calls": 1, "input_tokens": 5, "cached_tokens": 4, "output_tokens": 12, "cost_microusd": 50,
        "cache_write_tokens": 0,
    }  # fmt: skip
    assert bill["lines"][0]["model"] == "sim-x"
    await control(sim, "DELETE", "/sim/bill")
    assert (await control(sim, "GET", "/sim/bill"))[1]["totals"]["calls"] == 0


async def test_a_reader_that_stops_holds_the_stream_back(sim: Simulator) -> None:
    """A slow client is not buffered for without end: generation waits, and goes on when it reads again."""
    client = await Client.to(sim)
    client.send(
        "POST", "/v1/chat/completions", payload(stream=True), Script(tokens=100_000, burst=50), connection="close"
    )
    await client.head()
    connection = next(iter(sim._connections))
    await until(lambda: connection.paused)
    assert len(sim.bill) == 0
    body = await client.rest()
    assert body.endswith(b"0\r\n\r\n")
    assert body.count(b'"content":') == 100_001
