"""A receiver of webhooks on a real socket, which answers as it is told and keeps what it got."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from golive.core.signing import key_of, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Behaviour = Callable[[str], Awaitable[int]]
"""Takes a message's id; the status to answer."""


class Receiver:
    """`got` holds (path, id, body) of each request, in order; its signature was right."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, Any]]] = []
        self.behaviour: dict[str, Behaviour] = {}
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body, path = await request.read(), request.path.strip("/")
        id_, at = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
        assert request.headers["webhook-signature"] == signature(key_of(SECRET), id_, at, body)
        assert request.headers["content-type"] == "application/json"
        self.got.append((path, id_, msgspec.json.decode(body)))
        behave = self.behaviour.get(path)
        return web.Response(status=await behave(id_) if behave is not None else 204)

    def to(self, path: str) -> list[tuple[str, dict[str, Any]]]:
        """Id and body of what came to this path."""
        return [(id_, body) for to, id_, body in self.got if to == path]

    async def until(self, path: str, number: int, seconds: float = 15.0) -> list[tuple[str, dict[str, Any]]]:
        """Waits until so many requests have come."""
        async with asyncio.timeout(seconds):
            while len(self.to(path)) < number:
                await asyncio.sleep(0.02)
        return self.to(path)

    def hook(self, name: str, **settings: Any) -> str:
        """A section of golive.toml."""
        lines = {"url": f"{self.url}/{name}", "secret": "env:HOOK_SECRET", "timeout_s": 1.0, "waits_s": [0.3] * 8}
        shown = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in (lines | settings).items()]
        return "\n".join(["", f"[webhooks.{name}]", *shown, ""])


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver for the block."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{name}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
