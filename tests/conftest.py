"""What holds for every test: property tests draw the same examples each time, and never fail for being slow; nobody
opens a database's files beside SQLite."""

import asyncio
import gc
import signal
from typing import Any

import pytest
import uvicorn.server
from hypothesis import HealthCheck, settings

from golive.core.open_files import raise_limit
from tests import untouched

untouched.guard()
raise_limit()  # tests of load are clients too; children get what holds here, unless a test says otherwise

# Under nohup and in the background of a script these are ignored, and children would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "golive", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("golive")


class _Brisk:
    """asyncio as uvicorn sees it here: of its polls each of a thousand servers waits for two, of 0.1 s, at its end."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay / 10)


setattr(uvicorn.server, "asyncio", _Brisk())  # noqa: B010 - a module has no such attribute to assign, says mypy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is given more time than others begins first: nobody is left waiting for it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays to the end: no collection of garbage looks through it again.

    Some hundreds of tests collect garbage to see what they left behind, which costs 0.4 s each time otherwise.
    """
    gc.collect()
    gc.freeze()
