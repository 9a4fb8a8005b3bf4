"""CPU of the door: microseconds a request for knowing who asks, and whether they may, in a server without a socket.

    python bench/auth_cpu.py [--requests 20000] [--keys 1000]

What is counted is the user and system time of this process for the door's own steps (finding out who asks, deciding,
handing the decision on), warm-up excluded, uvloop as in the server. `plain`: a key of the role user; `scoped`: one with
an agent and verbs as scopes; `wrong`: the id of a key that there is, with another secret.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from golive.app import Server
from golive.config.load import load
from golive.gateway.exchange import Exchange

AGENT = 'name = "support"\nversion = "1.0.0"\n[models.default]\nchain = ["sim/none"]\n'
PATH = "/v1/agents/support/runs"


def project(root: Path) -> None:
    """A project with one agent; nobody calls its model."""
    (root / "golive.toml").write_text('[providers.sim]\nbase_url = "http://127.0.0.1:9/v1"\n[log]\nlevel = "error"\n')
    folder = root / "agents" / "support"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(AGENT)
    (folder / "prompt.md").write_text("Be brief.\n")


def exchange(server: Server, header: str) -> Exchange:
    """A request as the door sees it, its route found."""

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nobody reads or answers")

    scope = {
        "type": "http", "method": "POST", "path": PATH, "query_string": b"", "client": ("192.0.2.7", 1),
        "headers": [
            (b"host", b"localhost"), (b"authorization", header.encode()), (b"content-type", b"application/json"),
            (b"accept", b"*/*"), (b"user-agent", b"bench"), (b"content-length", b"0"),
        ],
    }  # fmt: skip
    made = Exchange(scope, nothing, nothing, server.gateway._hook)
    made.route, made.params, _ = server.gateway.router.find("POST", PATH)
    return made


async def timed(count: int, work: Callable[[], Awaitable[None]]) -> float:
    """CPU microseconds of one."""
    for _ in range(count // 10):
        await work()
    began = time.process_time()
    for _ in range(count):
        await work()
    return (time.process_time() - began) / count * 1e6


async def measure(server: Server, header: str, count: int) -> tuple[float, float]:
    """Microseconds for knowing who asks, and for deciding and handing the decision on; the clock's loop taken off."""
    gateway = server.gateway
    asked = exchange(server, header)
    route = asked.route
    assert route is not None

    async def idle() -> None: ...

    async def who() -> None:
        await gateway._authenticate(asked, route)

    async def may() -> None:
        await gateway._authorize(asked, route)

    empty = await timed(count, idle)
    known = await timed(count, who) - empty
    asked.principal = await gateway._authenticate(asked, route)
    # Entries of the audit log are written by a task of its own: it runs, and is counted, in what follows.
    return known, await timed(count, may) - empty


async def refused(server: Server, count: int) -> float:
    """Microseconds for refusing a wrong secret behind an id that there is."""
    made = await server.key_admin.create("default", "wrong", "user", created_by="bench")
    asked = exchange(server, f"Bearer {made.secret[:-1]}{'A' if made.secret[-1] != 'A' else 'B'}")
    route = asked.route

    async def refuse() -> None:
        try:
            await server.gateway._authenticate(asked, route)
        except Exception:
            return
        raise AssertionError("a wrong key was taken")

    return await timed(count, refuse)


async def main(count: int, keys: int) -> None:
    """Prints a line for each kind of key."""
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder))
        server = Server(load(Path(folder), {}), {}, inline=True)
        await server.start()
        try:
            for number in range(keys):
                server.keyring.lend("default", f"key {number}", "user", server._chance)
            for name, scopes in (("plain", ()), ("scoped", ("runs.create", "runs.read", "agent:support"))):
                made = await server.key_admin.create("default", name, "user", created_by="bench", scopes=scopes)
                who, may = await measure(server, f"Bearer {made.secret}", count)
                print(f"{name:8} who {who:5.1f} us   may {may:5.1f} us   together {who + may:5.1f} us")
            print(f"wrong    refused {await refused(server, count):5.1f} us")
        finally:
            await server.close()
        await asyncio.sleep(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--keys", type=int, default=1_000)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {given.requests} requests, {given.keys} keys")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(given.requests, given.keys))
