"""The outside world that tools act on: a process of its own, and a file that is only appended to, each line synced.

    python -m tests.chaos.ledger FILE        prints {"port": …}, ends with standard input

It is never killed, so that it is the truth about what was done. A request is a connection with a line of JSON.
A payment takes an idempotency key: the same key pays once. Mails and faxes go out as often as they are asked for; of
a mail one may ask whether it was accepted. A note overwrites itself. An accepted request is carried out, whether or not
anybody still waits for the answer.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

BEFORE_S = 0.12
AFTER_S = 0.12
"""Most time between accepting a request and doing it, and between doing it and answering."""

Tool = Literal["pay", "mail", "note", "fax"]
TOOLS: tuple[Tool, ...] = ("pay", "mail", "note", "fax")


class Line(NamedTuple):
    """One line of the file. `what`: "attempt" (a request was accepted) or "effect" (it was carried out)."""

    what: str
    tool: str
    key: str
    run: str
    pid: int
    """The process that asked."""
    at: float
    asked_at: float
    """When the tool began its call, by its own clock: far before `at` where its process was frozen in between."""


class Ledger:
    """Keeps the file; see the module."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        self._file = path.open("ab", buffering=0)
        self._chance = random.Random(seed)
        self._accepted: set[tuple[str, str]] = set()
        self._receipts: dict[str, int] = {}

    def _write(self, what: str, request: dict[str, Any]) -> None:
        line = Line(what, request["tool"], request["key"], request["run"], request["pid"], time.time(), request["at"])
        self._file.write(json.dumps(line).encode() + b"\n")
        os.fsync(self._file.fileno())

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carries one request out."""
        tool, key = request["tool"], request["key"]
        if request.get("look"):
            return {"accepted": (tool, key) in self._accepted}
        self._write("attempt", request)
        self._accepted.add((tool, key))
        await asyncio.sleep(self._chance.uniform(0, BEFORE_S))
        if tool != "pay" or key not in self._receipts:
            self._receipts[key] = len(self._receipts) + 1
            self._write("effect", request)
        await asyncio.sleep(self._chance.uniform(0, AFTER_S))
        return {"receipt": self._receipts[key]}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            line = await reader.readline()
            if line.endswith(b"\n"):
                writer.write(json.dumps(await self.answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # who asked is gone; what was accepted is done
        finally:
            writer.close()


def read(path: Path) -> list[Line]:
    """Everything that the outside world saw, in order."""
    return [Line(*json.loads(line)) for line in path.read_bytes().splitlines()]


async def _main(path: Path) -> None:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(Ledger(path).serve, "127.0.0.1", 0, backlog=1_024)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
