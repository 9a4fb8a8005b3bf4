"""Sabotages of the audit log; see `broken_server.py`."""

from typing import Any


def unrecorded_denials() -> None:
    """Who is denied something leaves nothing."""
    from golive.gateway.audit import Trail

    real = Trail.hear

    def hear(self: Any, judged: Any) -> None:
        if judged.outcome != "denied":
            real(self, judged)

    Trail.hear = hear  # type: ignore[method-assign]


def unrecorded_acts() -> None:
    """Closing circuit breakers is recorded by nobody."""
    from golive.gateway import audit

    audit.ACTS = audit.ACTS - {"breakers.reset"}
    real = audit.Trail.hear

    def hear(self: Any, judged: Any) -> None:
        if judged.verb != "breakers.reset" or judged.outcome != "allowed":
            real(self, judged)

    audit.Trail.hear = hear  # type: ignore[method-assign]


def believing() -> None:
    """Whoever verifies looks at no hash."""
    from golive.audit import chain

    chain.link = lambda before, row: row.hash


def gapless() -> None:
    """Whoever verifies looks at no gap, and at no signature beyond the end."""
    from golive.audit.chain import Verifier

    real = Verifier._tell

    def tell(self: Any, what: Any, seq: int, message: str) -> None:
        if what not in ("missing", "truncated"):
            real(self, what, seq, message)

    Verifier._tell = tell  # type: ignore[method-assign]
