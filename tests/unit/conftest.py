"""Fixtures of the tests of chains (`chain_kit.py`)."""

import asyncio

import pytest

from tests.unit.chain_kit import Time, World


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Time that passes only where something waits."""
    time = Time()
    monkeypatch.setattr(asyncio, "sleep", time.sleep)
    return time


@pytest.fixture
def patient(time: Time) -> World:
    """A world in which a target may be asked again after a wait."""
    return World(time)
