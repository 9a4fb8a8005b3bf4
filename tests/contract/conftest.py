"""Fixtures of the contract suites: each is drawn once for every implementation."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from golive.store.ports import Store
from tests.contract.store_kit import IMPLEMENTATIONS, Opener, Place


@pytest.fixture(params=list(IMPLEMENTATIONS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    found = IMPLEMENTATIONS[request.param](tmp_path)
    yield found
    found.remove()


@pytest.fixture
async def open_store(place: Place) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:

        async def opened() -> Store:
            store = await place.open()
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest.fixture
async def store(open_store: Opener) -> Store:
    return await open_store()
