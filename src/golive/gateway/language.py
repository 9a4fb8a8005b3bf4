"""Which languages the user reads: what the request says, else the client's Accept-Language."""

from golive.core.words import is_language
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Param

MOST = 16
"""More languages of one header are not looked at."""
MAX_CHARS = 1_000
"""A longer header is not read."""
LANGUAGE_PARAM = Param("Accept-Language", "header", "In which language to say what is missing, where the agent can.")


def languages(exchange: Exchange, named: str | None) -> tuple[str, ...]:
    """Language tags, the best first. What cannot be read is passed over: these are wishes (RFC 9110, 12.5.4)."""
    if named is not None and is_language(named):
        return (named,)
    told = exchange.header(b"accept-language") or ""
    return accepted(told) if len(told) <= MAX_CHARS else ()


def accepted(header: str) -> tuple[str, ...]:
    """The tags of an Accept-Language header by falling weight; those of weight 0 and `*` are left out."""
    weighted: list[tuple[float, str]] = []
    for entry in header.split(",")[:MOST]:
        tag, _, parameter = (part.strip() for part in entry.partition(";"))
        weight = _weight(parameter)
        if is_language(tag) and weight > 0:
            weighted.append((weight, tag))
    return tuple(tag for _, tag in sorted(weighted, key=lambda one: -one[0]))


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
