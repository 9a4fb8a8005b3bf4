"""How a user may be named: one rule for tokens, requests, commands and rows: whoever is let in can be addressed."""

MAX_USER_CHARS = 200
"""Longest name of a user, an issuer's prefix included."""
SAID = f"1 to {MAX_USER_CHARS} printable characters, without spaces at the ends"


def may_be_user(text: str) -> bool:
    """Whether a user may be named so: printable Unicode; of spaces only U+0020, and that within."""
    return 0 < len(text) <= MAX_USER_CHARS and text.isprintable() and text == text.strip()
