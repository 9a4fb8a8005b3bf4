"""Reading what a client sends: bodies within a limit, queries, and errors that say where, what, and what instead.

msgspec decides whether the input fits. Only when it does not, the input is read a second time, slowly, to say exactly
where it fails: the position of broken JSON or UTF-8, or the field with what was found there.
"""

import difflib
import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from golive.core.errors import BodyTooLarge, InvalidRequest
from golive.gateway.exchange import Exchange
from golive.gateway.plain import no_nul, plain

VALUE_CHARS = 80
"""Most characters of a wrong value that are repeated to the client."""

S = TypeVar("S", bound=Struct)

# msgspec tells path and kind of a mismatch in its message alone; a message that reads otherwise is passed on as it is.
_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_EXPECTED = re.compile(r"^Expected (?P<expected>.+), got (?P<found>.+)$", re.DOTALL)
_BOUND = re.compile(r"^Expected (?P<expected>[^,]+)$")
_NO_CHOICE = re.compile(r"^Invalid (enum )?value ", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_NO_NUMBER = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(-?Infinity|NaN)', re.DOTALL)
"""What Python's json module takes for a number and JSON does not know, outside of texts (which match without it)."""
_NUL = b"\\u0000"
"""The one way to write it in JSON, which may mean something else."""
_ENTRY = "[...]"
"""How msgspec writes that a value of a mapping is meant, of whichever key."""


async def read_body(exchange: Exchange, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: more than `limit` bytes are announced, or have come.
        InvalidRequest: the client left before the end, or fell silent and was given up (`protocol.py`).
    """
    announced = exchange.headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit, int(announced))
    message = await _receive(exchange)
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    pieces, size = [body], len(body)
    while message.get("more_body"):
        if size > limit:
            raise _too_large(limit)
        message = await _receive(exchange)
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
    if size > limit:
        raise _too_large(limit)
    return b"".join(pieces)


async def _receive(exchange: Exchange) -> Any:
    message = await exchange.receive()
    if message["type"] == "http.disconnect":
        raise InvalidRequest("The connection closed before the request's body was whole.", field="body")
    return message


def _too_large(limit: int, size: int | None = None) -> BodyTooLarge:
    said = f"The request's body has {size} bytes" if size else "The request's body is larger than allowed"
    return BodyTooLarge(
        f"{said}; at most {limit} are taken.",
        remedy="Send less.",
        advice="Or raise server.max_body_bytes in golive.toml.",
        field="body",
        limit=limit,
    )


class Reader(Generic[S]):
    """Reads one kind of body; made once per route."""

    def __init__(self, struct: type[S], *, content: bool = False) -> None:
        """`content`: texts in it are kept sealed, and so may hold what no column of a database does."""
        self.struct = struct
        self._content = content
        self._decoder = msgspec.json.Decoder(struct)
        self._names: tuple[str, ...] | None = None

    async def read(self, exchange: Exchange, limit: int, empty: S | None = None) -> S:
        """The body as the struct; `empty` stands for no body at all, where that is allowed.

        Raises:
            BodyTooLarge: it exceeds `limit` bytes.
            InvalidRequest: it does not fit; names field, what was found, what is expected.
        """
        body = await read_body(exchange, limit)
        if not body and empty is not None:
            return empty
        found = self.decode(body)
        if not self._content and _NUL in body:
            no_nul(msgspec.json.decode(body))
        return found

    def decode(self, body: bytes) -> S:
        """The struct; raises InvalidRequest as `read` does."""
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._explain(body, error) from None

    def query(self, query_string: bytes) -> S:
        """The struct from a query string; raises InvalidRequest for unknown, repeated or unfit parameters."""
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="replace")
        values = dict(pairs)
        try:
            if len(values) < len(pairs):
                name = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
                raise InvalidRequest(f"Parameter {name!r} is given twice.", remedy="Give it once.", field=name)
            for name, value in values.items():
                plain("a parameter's name", name)
                plain(name, value)
            return msgspec.convert(values, self.struct, strict=False)
        except msgspec.ValidationError as error:
            raise self._unfit(values, str(error)) from None

    def _explain(self, body: bytes, error: Exception) -> InvalidRequest:
        try:
            document = json.loads(body.decode())
        except UnicodeDecodeError as broken:
            return InvalidRequest(
                f"The body is not valid UTF-8: byte {broken.start} is {body[broken.start]:#04x}.",
                remedy="Encode the body as UTF-8.",
                field="body",
                position=broken.start,
            )
        except json.JSONDecodeError as broken:
            if not body.strip():
                return InvalidRequest(
                    "The body is empty.", remedy=f"Send a JSON object with {self._wanted()}.", field="body"
                )
            return InvalidRequest(
                f"The body is not valid JSON: {broken.msg} (line {broken.lineno}, column {broken.colno}).",
                remedy="Correct the JSON at that position.",
                field="body",
                position=broken.pos,
            )
        except ValueError:
            return InvalidRequest(
                "The body holds a number of thousands of digits.", remedy="Send a shorter number.", field="body"
            )
        except RecursionError:
            return _too_deep()
        if isinstance(error, RecursionError):  # what msgspec follows is less than what the json module does
            return _too_deep()
        if not isinstance(error, msgspec.ValidationError) and (odd := _no_number(body.decode())) is not None:
            return odd
        if _holds_half(document):  # which the json module takes and msgspec does not
            return InvalidRequest(
                "The body holds half a character: a \\ud800 to \\udfff without its other half.",
                remedy="Cut texts between characters, not inside one.",
                field="body",
            )
        return self._unfit(document, str(error))

    def _unfit(self, document: Any, message: str) -> InvalidRequest:
        """The error for input that can be read but does not fit the struct."""
        at = _PATH.search(message)
        path = at["path"] if at else ""
        reason = message[: at.start()] if at else message
        place, value = self._place(document, path, message)
        if named := _NAMED.match(reason):
            return self._named(place, named["name"], named["what"].startswith("missing"))
        field = place.lstrip(".") or "body"
        found = _shown(value)
        fields: dict[str, Any] = {"field": field, "found": found}
        if mismatch := _EXPECTED.match(reason) or _BOUND.match(reason):
            expected = mismatch["expected"].replace("`", "")
            kind = mismatch.groupdict().get("found", "").replace("`", "")
            return InvalidRequest(
                f"{field} is {found}{f', which is {kind}' if kind else ''}; expected is {expected}.",
                remedy=f"Send {field} as {expected}.",
                expected=expected,
                **fields,
            )
        if _NO_CHOICE.match(reason) and (choices := _choices_at(self.struct, path)):
            allowed = ", ".join(choices)
            near = difflib.get_close_matches(str(value), choices, n=1)
            return InvalidRequest(
                f"{field} is {found}; expected is one of {allowed}.",
                remedy=f"Did you mean {near[0]!r}?" if near else f"Use one of {allowed}.",
                choices=choices,
                **fields,
            )
        return InvalidRequest(f"{field} is {found}: {reason}.", remedy=f"Correct {field}.", **fields)

    def _place(self, document: Any, path: str, message: str) -> tuple[str, Any]:
        """msgspec's path with the keys of mappings in it, and what stands there, as far as it can be followed."""
        if _ENTRY not in path:
            return path, _value_at(document, path)
        place, value = "", document
        for name, index in _STEP.findall(path):
            step = name or index
            if index == "...":
                found = self._entry(document, value, message) if isinstance(value, dict) else None
                if found is None:
                    break
                step = found
            place += f"[{step}]" if index.isdigit() else f".{step[:VALUE_CHARS]}"
            try:
                value = value[int(step)] if index.isdigit() else value[step]
            except (KeyError, IndexError, TypeError):
                break
        return place, value

    def _entry(self, document: Any, mapping: dict[str, Any], message: str) -> str | None:
        """The first key in a mapping of the document whose value is what the message says: found by halving."""
        entries = list(mapping.items())

        def unfit(count: int) -> bool:
            mapping.clear()
            mapping.update(entries[:count])
            try:
                self._decoder.decode(json.dumps(document))
            except (msgspec.MsgspecError, RecursionError) as error:
                return str(error) == message
            return False

        count = bisect_left(range(1, len(entries) + 1), True, key=unfit)
        mapping.update(entries)
        return entries[count][0] if count < len(entries) else None

    def _named(self, path: str, name: str, missing: bool) -> InvalidRequest:
        field = f"{path}.{name}".lstrip(".")
        if missing:
            return InvalidRequest(f"{field} is missing.", remedy=f"Add {field}.", field=field)
        near = difflib.get_close_matches(name, self.names(), n=1)
        remedy = (
            f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(self.struct.__struct_encode_fields__)}."
        )
        return InvalidRequest(f"{field} is not a known field.", remedy=remedy, field=field)

    def _wanted(self) -> str:
        required = [field.name for field in msgspec.structs.fields(self.struct) if field.required]
        return ", ".join(required) or "its fields"

    def names(self) -> tuple[str, ...]:
        """All field names that may stand anywhere in the struct."""
        if self._names is None:
            self._names = tuple(dict.fromkeys(_names_in(self.struct, set())))
        return self._names


def _names_in(kind: Any, seen: set[Any]) -> Iterator[str]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        if kind in seen:
            return
        seen.add(kind)
        yield from kind.__struct_encode_fields__
        for field in msgspec.structs.fields(kind):
            yield from _names_in(field.type, seen)
        return
    for inner in get_args(kind):
        yield from _names_in(inner, seen)


def _choices_at(struct: type[Struct], path: str) -> list[str]:
    """What may stand at msgspec's path, where that is one of a few texts; [] where it is not."""
    kinds = [*_alternatives(struct)]
    choices: list[str] = []
    for name, index in _STEP.findall(path):
        inner: list[Any] = []
        choices = []
        for kind in kinds:
            if index:
                inner += [item for item in get_args(kind) if item is not ...]
            elif isinstance(kind, type) and issubclass(kind, Struct):
                inner += [field.type for field in msgspec.structs.fields(kind) if field.encode_name == name]
                config = kind.__struct_config__
                choices += [str(config.tag)] if config.tag_field == name else []
        kinds = [one for kind in inner for one in _alternatives(kind)]
    return choices + [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]


def _alternatives(kind: Any) -> Iterator[Any]:
    """The members of a union; anything else is its own only one."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _alternatives(member)
    else:
        yield kind


def _value_at(document: Any, path: str) -> Any:
    """What stands at msgspec's path, as far as it can be followed."""
    value = document
    for name, index in _STEP.findall(path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return value
    return value


def _no_number(text: str) -> InvalidRequest | None:
    """The error for the first NaN or Infinity in a body; None where there is none."""
    found = next((found for found in _NO_NUMBER.finditer(text) if found[1]), None)
    if found is None:
        return None
    at = found.start()
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return InvalidRequest(
        f"The body is not valid JSON: {found[1]} is no number there (line {line}, column {column}).",
        remedy="Send a finite number, or null.",
        field="body",
        position=at,
    )


def _too_deep() -> InvalidRequest:
    return InvalidRequest("The body is nested too deeply.", remedy="Send a flatter body.", field="body")


def _holds_half(value: Any) -> bool:
    """Whether half a surrogate pair stands in it: JSON can write one down, and UTF-8 cannot."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return True
    except (OverflowError, RecursionError):  # something else is wrong with it, and is told instead
        return False
    return False


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"
