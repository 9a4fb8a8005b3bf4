"""The forms in which a known secret is written down by others, and what finds all forms of all secrets in one pass.

A provider quotes a credential as it saw it: percent-encoded, in base64 beside something else, escaped for JSON or HTML,
in hexadecimal, in another case. What is cut, turned around or encrypted is found by nobody.

Each begins with characters by which it is looked up: what a text costs grows with its length and not with the number
of secrets, 0.1 us a character with 1 secret as with 1,000; to learn one costs 70 us (`bench/redact_cpu.py`).
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MOST_CHARS = 1_024
"""Of longer values (files of keys) only the commonest forms are looked for."""
MIN_CHARS = 8
_PERCENT = re.compile(r"%[0-9A-F]{2}")


def disguises(secret: str) -> frozenset[str]:
    """The secret in all forms, its own among them."""
    found = {secret, *_escaped_for_json(secret), *_in_base64(secret.encode("utf-8", "surrogatepass"))}
    if len(secret) <= MOST_CHARS:
        found |= {secret.lower(), secret.upper()}
        found |= {form for case in (secret, secret.lower(), secret.upper()) for form in _for_the_web(case)}
        data = secret.encode("utf-8", "surrogatepass")
        found |= {data.hex(), data.hex().upper(), data.hex(":"), data.hex(" ")}
    return frozenset(form for form in found if len(form) >= MIN_CHARS)


def _escaped_for_json(secret: str) -> Iterator[str]:
    for ascii_only in (True, False):
        whole = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield whole
        yield whole.replace("/", "\\/")
        yield whole.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("'", "\\u0027")
    if len(secret) <= MOST_CHARS:
        units = secret.encode("utf-16-be", "surrogatepass").hex()
        quads = [units[at : at + 4] for at in range(0, len(units), 4)]
        yield "".join(f"\\u{quad}" for quad in quads)
        yield "".join(f"\\u{quad.upper()}" for quad in quads)


def _in_base64(data: bytes) -> Iterator[str]:
    """Wherever it begins in what was encoded: without the first and last digit that others have a share in."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data).decode()
        core = whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _for_the_web(secret: str) -> Iterator[str]:
    given = secret.encode("utf-8", "surrogatepass")
    for encoded in (quote(given, safe=""), quote(given, safe="/"), quote_plus(given), quote(given, safe="!'()*")):
        yield encoded
        yield _PERCENT.sub(lambda found: found[0].lower(), encoded)
    escaped = html.escape(secret)
    yield escaped
    yield escaped.replace("&#x27;", "&#39;")
    yield escaped.replace("&#x27;", "&apos;")
    yield html.escape(secret, quote=False)
    yield html.escape(secret, quote=False).replace('"', "&quot;")
    yield escaped.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


class Finder:
    """Finds any of many texts. May be added to while other threads look."""

    def __init__(self) -> None:
        self._by_begin: dict[str, tuple[str, ...]] = {}
        """By its first `MIN_CHARS` characters each text, the longest first."""

    def add(self, texts: Iterable[str]) -> None:
        """Has these found, too; none is shorter than `MIN_CHARS`."""
        for text in texts:
            begin = text[:MIN_CHARS]
            alike = {*self._by_begin.get(begin, ()), text}
            self._by_begin[begin] = tuple(sorted(alike, key=lambda one: (-len(one), one)))

    def replaced(self, text: str, by: str) -> str:
        """The text with `by` in the place of each that stands in it: the leftmost first, of those that begin there the
        longest."""
        begins = self._by_begin
        if not begins:
            return text
        hits = [at for at in range(len(text) - MIN_CHARS + 1) if text[at : at + MIN_CHARS] in begins]
        parts, end = [], 0
        for at in hits:
            if at < end:
                continue
            for one in begins[text[at : at + MIN_CHARS]]:
                if text.startswith(one, at):
                    parts += [text[end:at], by]
                    end = at + len(one)
                    break
        return "".join([*parts, text[end:]]) if parts else text
