"""The transport to providers is tested on both event loops: the server's own, uvloop, and asyncio's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.contract.transport.kit import Net, network


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with network() as made:
        yield made
