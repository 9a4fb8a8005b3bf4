"""`golive serve` as root says so."""

import os
from typing import Any

import pytest

from golive.cli.serve import warn_of_root


@pytest.mark.parametrize(("user", "lines"), [(0, 1), (1000, 0)])
def test_a_server_of_root_is_told(monkeypatch: pytest.MonkeyPatch, user: int, lines: int) -> None:
    """Tools are then kept from nothing that the server may do."""
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    warn_of_root(lambda event, **fields: told.append((event, fields)))
    assert [event for event, _ in told] == ["server.runs_as_root"] * lines
    assert all("user of its own" in fields["remedy"] for _, fields in told)
