"""One statement over many rows, in as few steps of SQLite as possible.

The sqlite3 module lets go of the interpreter's lock at every step, and a busy event loop then keeps the writer waiting
up to a switch interval (5 ms) before each next one. `executemany` steps once a row; a multi-row VALUES steps once.
Rows are cut into powers of two, so that few statements exist and all of them stay prepared.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

_MOST_ROWS = 64


class Bulk:
    """`head VALUES (?, ...), (?, ...) tail`, for any number of rows."""

    def __init__(self, head: str, width: int, tail: str = "") -> None:
        row = "(" + ",".join("?" * width) + ")"
        self._width = width
        self._sql = [f"{head} VALUES {','.join([row] * (1 << bit))} {tail}" for bit in range(_MOST_ROWS.bit_length())]

    def execute(self, connection: sqlite3.Connection, values: Sequence[Any]) -> int:
        """Runs it over `values`, the rows laid end to end; returns how many rows of the table changed."""
        width = self._width
        rows = len(values) // width
        if rows in _SIZES:  # the usual case, without a copy
            return connection.execute(self._sql[rows.bit_length() - 1], values).rowcount
        changed = start = 0
        while rows:
            bit = min(rows, _MOST_ROWS).bit_length() - 1
            end = start + (width << bit)
            changed += connection.execute(self._sql[bit], values[start:end]).rowcount
            start = end
            rows -= 1 << bit
        return changed


_SIZES = frozenset(1 << bit for bit in range(_MOST_ROWS.bit_length()))
