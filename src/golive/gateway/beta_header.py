"""The headers by which a client of a plain model asks a vendor for features that are not public yet.

Source: https://platform.claude.com/docs/en/api/beta-headers (November 2026); OpenAI's SDKs send `OpenAI-Beta`.
"""

import re

import msgspec

from golive.core.errors import InvalidRequest
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Param
from golive.models.call import ModelRequest

MAX_BETAS = 32
"""Most features that one request names."""
MAX_CHARACTERS = 100
"""Longest name of a feature."""

_HEADERS = {"anthropic": b"anthropic-beta", "openai-chat": b"openai-beta", "openai-responses": b"openai-beta"}
"""By the dialect of the request."""
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._=:-]{{0,{MAX_CHARACTERS - 1}}}")


def beta_param(dialect: str) -> Param:
    """The header of requests of this dialect, for the documentation."""
    name = _HEADERS[dialect].decode()
    return Param(name, "header", f"Plain models: handed on to a provider of the dialect {dialect}, and to no other.")


def with_betas(exchange: Exchange, request: ModelRequest) -> ModelRequest:
    """The request with the features that its header names; as it is where there is none.

    Raises:
        InvalidRequest: it names too many, or what cannot be a name; `field` is the header.
    """
    header = _HEADERS[request.dialect]
    if header not in exchange.headers:
        return request
    lines = [value.decode("latin-1") for name, value in exchange.scope["headers"] if name == header]
    names = dict.fromkeys(name.strip() for line in lines for name in line.split(","))
    names.pop("", None)
    wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
    field = header.decode()
    if wrong is not None:
        raise InvalidRequest(
            f"{field} names {wrong[:40]!r}, which is no name of a feature.",
            remedy=f"Send names of letters, digits and `._=:-` ({MAX_CHARACTERS} at most), with commas between.",
            field=field, value=wrong[:40],
        )  # fmt: skip
    if len(names) > MAX_BETAS:
        raise InvalidRequest(
            f"{field} names {len(names)} features.", remedy=f"Send {MAX_BETAS} at most.", field=field, value=len(names)
        )
    return msgspec.structs.replace(request, betas=tuple(names))
