"""A web search of the provider's own through /v1/responses, with the official SDK: whole, streamed, the next turn."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from golive.config.schema import ProviderConfig
from tests.contract.speakers.openai_responses import CITED, OPENAI_RESPONSES, SEARCH
from tests.e2e.gateway_kit import Server, serving

ASK: Any = {"model": "vendor/m", "tools": [{"type": "web_search"}]}


class Vendor:
    """A provider that searches the web before it answers, and keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        sent = await request.json()
        self.sent.append(sent)
        streamed = sent.get("stream", False)
        body = (OPENAI_RESPONSES.streamed if streamed else OPENAI_RESPONSES.whole)["search"]
        return web.Response(body=body, content_type="text/event-stream" if streamed else "application/json")


@pytest.fixture
async def vendor() -> AsyncIterator[tuple[Vendor, str]]:
    made = Vendor()
    served = web.Application()
    served.router.add_post("/v1/responses", made.answer)
    runner = web.AppRunner(served)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture
async def server(tmp_path: Path, vendor: tuple[Vendor, str]) -> AsyncIterator[Server]:
    provider = ProviderConfig(base_url=vendor[1], dialect="openai-responses")
    async with serving(tmp_path, providers=lambda base_url: {"vendor": provider}) as running:
        yield running


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_the_sdk_sees_the_search_and_sends_it_back(
    server: Server, vendor: tuple[Vendor, str], stream: bool
) -> None:
    """The item and the note as the vendor gave them, and the vendor is asked with both in the turn that follows."""
    async with server.openai() as sdk:
        if stream:
            async with sdk.responses.stream(input="Where?", **ASK) as events:
                found = [event.item.type async for event in events if event.type == "response.output_item.done"]
                answer: Any = await events.get_final_response()
            assert found == ["reasoning", "web_search_call", "message"]
        else:
            answer = await sdk.responses.create(input="Where?", **ASK)
        thought, searched, said = answer.output
        assert searched.to_dict() == SEARCH
        assert [note.to_dict() for note in said.content[0].annotations] == [CITED]
        assert answer.output_text == "Paris"
        output = [item.to_dict() for item in answer.output]
        await sdk.responses.create(input=[*output, {"role": "user", "content": "And then?"}], **ASK)
    sent = vendor[0].sent[-1]["input"]
    assert SEARCH in sent
    assert [item.get("type", "message") for item in sent][-3:] == ["web_search_call", "message", "message"]
    assert sent[-2]["content"][0]["annotations"] == [CITED]
    assert thought.type == "reasoning"
