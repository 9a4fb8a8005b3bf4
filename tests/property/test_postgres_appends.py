"""The same interleavings of appends and takeovers as over SQLite, over PostgreSQL."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.postgres_kit import Database
from tests.property.test_sqlite_appends import play, ticks

_numbers = count()


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    found = Database()
    yield found
    found.drop()


@given(script=ticks)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_interleaved_appends_keep_every_promise(database: Database, script: list[list[tuple[Any, ...]]]) -> None:
    """Each outcome is the model's; every example has a tenant of its own."""

    async def go() -> None:
        store = await database.open()
        try:
            await play(store, script, f"t{next(_numbers)}")
        finally:
            await store.close()

    asyncio.run(go())
