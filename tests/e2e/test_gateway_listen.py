"""The listening side: sockets that cannot be had, and an end that lets work finish, with real signals."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from golive.core.errors import ConfigError, PortInUse
from golive.gateway.listen import bind, url_of

DRAINING = """
import asyncio, sys
from golive.gateway.listen import HttpServer, bind, run_loop

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await finish.wait()
        await send({"type": "http.response.body", "body": b"ended"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

async def drain():
    print("draining", flush=True)
    if sys.argv[1] == "hang":
        await asyncio.Event().wait()
    if sys.argv[1] == "hurry":
        await hurried.wait()
    await asyncio.sleep(0.3)
    finish.set()
    print("drained", flush=True)

async def main():
    global finish, hurried
    finish, hurried = asyncio.Event(), asyncio.Event()
    server = HttpServer(app, bind("127.0.0.1", 0))
    await server.run(drain, lambda: print(server.url, flush=True), hurried.set)
    print("stopped", flush=True)

run_loop(main())
"""


async def start(path: Path, how: str) -> tuple[asyncio.subprocess.Process, str]:
    """The program above, serving; and its address."""
    script = path / "serve.py"
    script.write_text(DRAINING)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), how, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().strip()


def test_a_port_in_use_is_told_with_its_remedy() -> None:
    """The second server on a port is refused before anything else happens, and told what to do."""
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse) as refused:
            bind("127.0.0.1", port)
    assert str(port) in refused.value.message
    assert "server.port" in refused.value.remedy
    bind("127.0.0.1", port).close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1", "not an address"])
def test_an_address_that_is_not_ours_is_a_configuration_error(host: str) -> None:
    """An unknown or foreign host names server.host, without a traceback of sockets."""
    with pytest.raises(ConfigError) as refused:
        bind(host, 0)
    assert refused.value.fields["key"] == "server.host"


def test_addresses_are_written_as_they_can_be_opened() -> None:
    """A server on all interfaces is shown by an address that a browser on this machine can open; IPv6 in brackets."""
    with bind("0.0.0.0", 0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with bind("::1", 0) as listener:
            assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_while_still_listening(tmp_path: Path, number: int) -> None:
    """After the signal an open stream ends whole, new connections are still answered, and the process ends with 0."""
    process, url = await start(tmp_path, "finish")
    assert process.stdout is not None
    async with aiohttp.ClientSession(url) as http, http.get("/slow") as slow:
        assert await slow.content.readexactly(6) == b"begun "
        os.kill(process.pid, number)
        assert await process.stdout.readline() == b"draining\n"
        async with http.get("/") as response:
            assert await response.text() == "ok"
        assert await slow.content.read() == b"ended"
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert out == b"drained\nstopped\n"
    assert err == b""
    assert process.returncode == 0


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait for the draining signals again, and the process ends without a traceback."""
    process, _ = await start(tmp_path, "hang")
    assert process.stdout is not None
    process.terminate()
    assert await process.stdout.readline() == b"draining\n"
    process.terminate()
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (out, err, process.returncode) == (b"stopped\n", b"", 0)


async def test_a_second_signal_lets_answers_end_that_end_soon(tmp_path: Path) -> None:
    """At the second signal the work is told to hurry; an answer that then ends is sent whole before the server goes."""
    process, url = await start(tmp_path, "hurry")
    assert process.stdout is not None
    async with aiohttp.ClientSession(url) as http, http.get("/slow") as slow:
        assert await slow.content.readexactly(6) == b"begun "
        process.terminate()
        assert await process.stdout.readline() == b"draining\n"
        process.terminate()
        assert await slow.content.read() == b"ended"
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (out, err, process.returncode) == (b"drained\nstopped\n", b"", 0)


async def test_an_answer_that_does_not_end_is_broken_off(tmp_path: Path) -> None:
    """Whatever the work makes of the second signal, the process ends soon, and a stream that is cut looks cut."""
    process, url = await start(tmp_path, "hang")
    assert process.stdout is not None
    async with aiohttp.ClientSession(url) as http, http.get("/slow") as slow:
        assert await slow.content.readexactly(6) == b"begun "
        process.terminate()
        assert await process.stdout.readline() == b"draining\n"
        process.terminate()
        with pytest.raises(aiohttp.ClientPayloadError):
            await slow.content.read()
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
