"""What a docstring tells a model: a description, and one line per parameter (Google, NumPy and reST styles)."""

import inspect
from typing import NamedTuple

from docstring_parser import ParseError, parse


class Documented(NamedTuple):
    """`parameters` maps a parameter's name to its description."""

    description: str
    parameters: dict[str, str]


def read_docstring(docstring: str | None) -> Documented:
    """Splits a docstring; one in no known style is a description as it stands."""
    if not docstring or not docstring.strip():
        return Documented("", {})
    try:
        parsed = parse(docstring)
    except ParseError:
        return Documented(inspect.cleandoc(docstring), {})
    description = "\n\n".join(part.strip() for part in (parsed.short_description, parsed.long_description) if part)
    parameters = {param.arg_name: " ".join(param.description.split()) for param in parsed.params if param.description}
    return Documented(description, parameters)
