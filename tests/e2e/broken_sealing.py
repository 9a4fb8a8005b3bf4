"""Servers in which sealing is broken; see `broken_server.py`."""

from typing import Any


def plain() -> None:
    """Nothing is sealed: what is said stands in the files."""
    from golive.core.sealing import SealingKey

    SealingKey.seal = lambda self, plain, place, nonce: b"\x01" + plain  # type: ignore[method-assign]
    SealingKey.open = lambda self, sealed, place: sealed[1:]  # type: ignore[method-assign]


def unbound() -> None:
    """A value opens wherever it stands."""
    from golive.store.sealed import values

    values.place = lambda *parts: b"anywhere"


def keyless() -> None:
    """A server knows no data key any more that is wrapped under a master key it was not given."""
    from golive.store.sealed.keys import Unwrapped

    real = Unwrapped.take

    def take(self: Any, rows: Any, *asked: Any) -> Any:
        self._keys = {}
        return real(self, rows, *asked)

    Unwrapped.take = take  # type: ignore[method-assign]
