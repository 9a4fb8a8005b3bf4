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


def trusting() -> None:
    """What stands there in plain words is read as if it had been sealed."""
    from golive.store.sealed import opening

    real = opening.sealed
    opening.sealed = lambda *given, plain: real(*given, plain=True)  # type: ignore[assignment]


def narrow() -> None:
    """A server opens only what is wrapped under its present master key, whatever else it was given."""
    import sys

    from golive.core.errors import ContentSealed
    from golive.store.sealed.master import Masters

    real = Masters._unwrap

    def unwrap(self: Any, row: Any) -> bytes:
        if "serve" in sys.argv and row.master != self.present:
            raise ContentSealed(f"{row.id} is wrapped under another master key.")
        return real(self, row)

    Masters._unwrap = unwrap  # type: ignore[method-assign]


def forced() -> None:
    """Data keys are wrapped under another master key whatever servers have."""
    from golive.cli import data_keys

    real = data_keys.rewrap
    data_keys.rewrap = lambda *given, force: real(*given, force=True)  # type: ignore[attr-defined]
