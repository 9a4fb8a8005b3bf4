"""Fixtures of the contract suites: each is drawn once for every implementation."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from golive.store.ports import Store
from tests.contract.store_kit import IMPLEMENTATIONS, Opener


@pytest.fixture(params=list(IMPLEMENTATIONS))
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:

        def opened() -> Store:
            store = IMPLEMENTATIONS[request.param](tmp_path)
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest.fixture
async def store(open_store: Opener) -> Store:
    return open_store()
