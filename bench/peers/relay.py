"""A bare relay: Starlette, aiohttp and msgspec, with no key, journal, meter or limit. What Python itself costs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

URL = os.environ["SIM_URL"] + "/chat/completions"
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-provider"}


class Chat(msgspec.Struct):
    """What must be known of a request."""

    model: str
    messages: list[msgspec.Raw]
    stream: bool = False


read = msgspec.json.Decoder(Chat).decode


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """One session with as many connections as are wanted."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:
        app.state.session = session
        yield


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions"""
    body = await request.body()
    asked = read(body)
    answer = await request.app.state.session.post(URL, data=body, headers=HEADERS)
    if asked.stream:
        return StreamingResponse(pieces(answer), media_type="text/event-stream")
    return Response(await answer.read(), status_code=answer.status, media_type="application/json")


async def pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """What has come, read by read."""
    while piece := await answer.content.readany():
        yield piece


async def health(_: Request) -> Response:
    """GET /health"""
    return PlainTextResponse("ok")


app = Starlette(
    routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)], lifespan=lifespan
)
