"""SmolLM2-135M on this machine (the extra `local`) as an OpenAI-compatible provider that binds answers to a schema.

The server of llama-cpp-python takes a schema under a name of its own; the few lines here translate OpenAI's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from golive.cli.local_model import MODEL_NAME, local_model

MODEL = MODEL_NAME


@asynccontextmanager
async def bound_model() -> AsyncIterator[str]:
    """Serves the model for the time of the block; its base address.

    Raises:
        ConfigError: the extra is not installed.
    """
    async with local_model() as live, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:

        async def translate(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            wanted = body.get("response_format") or {}
            if wanted.get("type") == "json_schema":
                body["response_format"] = {"type": "json_object", "schema": wanted["json_schema"]["schema"]}
            async with session.post(f"{live.base_url}/chat/completions", json=body) as answer:
                reply = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
                await reply.prepare(request)
                async for piece in answer.content.iter_any():
                    await reply.write(piece)
                await reply.write_eof()
                return reply

        app = web.Application()
        app.router.add_post("/v1/chat/completions", translate)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()
