"""The variables that every client of PostgreSQL reads beside the address, golive's driver too: for saying what counts.

Source: https://www.postgresql.org/docs/18/libpq-envars.html (2026-11).
"""

import os


def given(parameter: str) -> tuple[str, str]:
    """The variable of a parameter (`sslmode`: PGSSLMODE), and what it holds; empty where it is not set."""
    variable = f"PG{parameter.upper()}"
    return variable, os.environ.get(variable, "")
