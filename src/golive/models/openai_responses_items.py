"""The output items of a Responses answer: what of each was said already, so that nothing is lost or said twice.

The same text comes up to four times on the wire: in deltas, at the end of its part, at the end of its item, and in the
final response; servers leave any of these out. Whatever comes later is held against what was said before, and only what
is new goes on. Items of other kinds (a web search, a call of an MCP server, an image) go on whole, as state: nothing in
them is read, a client of the same dialect is handed them as they came, and the provider sees them again; one that keeps
its responses wants to see the reasoning before them, too, of which it has given out no more than the id.

Servers also number and name items wrongly: LiteLLM gives one index to several, and a new id with every delta, so that
an item is looked for by id, by index, and then by its place.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from golive.core.messages import Opaque
from golive.models.call import ModelEvent, ReasoningDelta, RefusalDelta, StateReported, TextDelta, ToolCallDelta

_encode = msgspec.json.Encoder().encode
_SEPARATORS = {"summary": "\n\n"}
"""What stands between two parts of one kind. Those of a summary are paragraphs; others are one text."""
_CALL = "call_id"
"""Stands beside a call's own id where items are found by id."""
_KINDS = frozenset({"message", "reasoning", "function_call"})
"""Kinds that are read."""


class _Said:
    """What was said of one kind of text in an item."""

    __slots__ = ("_part", "_separator", "_start", "pieces")

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._part = 0
        self._start = 0
        self.pieces: list[str] = []

    def add(self, part: int | None, text: str) -> str:
        """Notes a delta; returns it, with a separator where a new part begins."""
        new = self._turn_to(part)
        self.pieces.append(text)
        return new + text

    def rest_of_part(self, part: int | None, text: str) -> str:
        """What `text`, a whole part, has beyond what was said of it."""
        if part is not None and part < self._part:
            return ""  # long closed
        new = self._turn_to(part)
        return self._rest(new, "".join(self.pieces[self._start :]), text)

    def rest(self, parts: list[str]) -> str:
        """What the parts, all there are, have beyond what was said."""
        return self._rest("", "".join(self.pieces), self._separator.join(parts))

    def _turn_to(self, part: int | None) -> str:
        if part is None or part <= self._part:
            return ""
        separator = self._separator if self.pieces else ""
        self._part = part
        if separator:
            self.pieces.append(separator)
        self._start = len(self.pieces)
        return separator

    def _rest(self, new: str, said: str, text: str) -> str:
        # Where the two differ, what was said stands: it cannot be taken back, and must not be repeated.
        rest = text[len(said) :] if text.startswith(said) else ""
        if rest:
            self.pieces.append(rest)
        return new + rest


class _Item:
    """One output item. `annotated` counts the notes on its text that have come; the last three are a function call's:
    its number among them, what it is called by and whom."""

    __slots__ = ("_said", "annotated", "call_id", "done", "id", "index", "kept", "kind", "name", "number", "shown")

    def __init__(self, kind: str, index: int | None, item_id: str) -> None:
        self.kind = kind
        self.index = index
        self.id = item_id
        self.done = False
        self.kept = False
        self.annotated = 0
        self.shown = False
        self.call_id = self.name = ""
        self.number = 0
        self._said: dict[str, _Said] = {}

    def said(self, what: str) -> _Said:
        found = self._said.get(what)
        if found is None:
            found = self._said[what] = _Said(_SEPARATORS.get(what, ""))
        return found


class OutputItems:
    """All items of one answer. Function calls count from 0 in the order they appear."""

    __slots__ = ("_by_id", "_by_index", "_call_ids", "_items", "_last", "_led", "_model", "_provider", "_suffix",
                 "calls", "pieces", "stored")  # fmt: skip

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self._suffix = ""
        self._items: list[_Item] = []
        self._by_id: dict[tuple[str, str], _Item] = {}
        self._by_index: dict[tuple[str, int], _Item] = {}
        self._last: dict[str, _Item] = {}
        self._call_ids: set[str] = set()
        self._led: list[tuple[_Item, dict[str, Any]]] = []
        self.stored = False
        """Whether the provider keeps the response."""
        self.calls = 0
        """How many function calls there are."""
        self.pieces: list[str] = []
        """Where the last delta went: more of the same may be put there without looking for its item again."""

    def name_after(self, response_id: str) -> None:
        """Makes the ids of calls that have none unlike those of other answers."""
        self._suffix = "".join(c for c in response_id if c.isascii() and c.isalnum())[-12:]

    def delta(
        self, kind: str, what: str, key: tuple[int | None, str], part: int | None, text: str
    ) -> ModelEvent | None:
        """The event for a piece of an item.

        Args:
            kind: of the item; what: text, refusal, summary, thought or arguments.
            key: the item's index and id, and part, the part's index, as far as they were sent.
        """
        item = self._find(kind, *key) or self._new(kind, *key)
        said = item.said(what)
        self.pieces = said.pieces
        return _event(item, what, said.add(part, text))

    def part_done(
        self, kind: str, what: str, key: tuple[int | None, str], part: int | None, text: str
    ) -> ModelEvent | None:
        """The event for what a finished part has beyond its deltas."""
        item = self._find(kind, *key) or self._new(kind, *key)
        return _event(item, what, item.said(what).rest_of_part(part, text))

    def annotation(self, key: tuple[int | None, str], note: Any) -> ModelEvent | None:
        """The event for a note on a message's text, such as where it is quoted from; `key` as in `delta`."""
        if not isinstance(note, dict):
            return None
        item = self._find("message", *key) or self._new("message", *key)
        item.annotated += 1
        return _annotated([note])

    def added(self, wire: dict[str, Any], index: int | None, events: list[ModelEvent]) -> None:
        """An item begins; of a kind that is not read, it is waited for until it is whole."""
        kind, item_id, call_id = _of(wire, "type"), _of(wire, "id"), _of(wire, "call_id")
        if kind not in _KINDS:
            return
        item = self._find(kind, index, item_id)
        if item is None or item.done or (call_id and item.call_id and item.call_id != call_id):
            item = self._new(kind, index, item_id)
        if kind == "function_call":
            item.call_id, item.name = item.call_id or call_id, item.name or _of(wire, "name")
            if call_id:
                self._by_id.setdefault((_CALL, call_id), item)
            if item.call_id and item.name:
                self._show(item, events)

    def done(self, wire: dict[str, Any], index: int | None, events: list[ModelEvent]) -> None:
        """An item is whole."""
        kind, item_id = _of(wire, "type"), _of(wire, "id")
        if kind:
            item = self._named((_CALL, _of(wire, "call_id")), index) if kind in _KINDS else None
            item = item or self._find(kind, index, item_id)
            self._complete(item or self._new(kind, index, item_id), wire, self.calls, events)

    def finish(self, output: Iterable[Any], events: list[ModelEvent]) -> None:
        """The whole output, as the final response has it: what of it was never sent comes now."""
        wires = [wire for wire in output if isinstance(wire, dict) and _of(wire, "type")]
        named = {(wire["type"], name) for wire in wires for name in _names(wire) if name}
        by_name: dict[tuple[str, str], deque[_Item]] = {}
        others: dict[str, deque[_Item]] = {}
        for item in self._items:
            key = next(((item.kind, name) for name in (item.call_id, item.id) if (item.kind, name) in named), None)
            if key is None:
                others.setdefault(item.kind, deque()).append(item)
            else:
                by_name.setdefault(key, deque()).append(item)
        before = 0
        for wire in wires:
            kind = wire["type"]
            found = next((by_name[kind, name] for name in _names(wire) if by_name.get((kind, name))), others.get(kind))
            item = found.popleft() if found else self._new(kind, None, _of(wire, "id"))
            self._complete(item, wire, before, events)
            before += kind == "function_call"
        self.end(events)

    def end(self, events: list[ModelEvent]) -> None:
        """Shows calls whose name never came; the loop will say that there is no such tool."""
        for item in self._items:
            if item.kind == "function_call" and not item.shown:
                self._show(item, events)

    def _find(self, kind: str, index: int | None, item_id: str) -> _Item | None:
        named = self._named((kind, item_id), index)
        if named is not None:
            return named
        found = self._last.get(kind) if index is None else self._by_index.get((kind, index))
        if found is None or not found.done:
            return found
        # A second item at the index of one that is whole has an id of its own; an id like that of the first is none.
        return found if index is not None and (not item_id or item_id == found.id) else None

    def _named(self, key: tuple[str, str], index: int | None) -> _Item | None:
        item = self._by_id.get(key)
        return item if item is None or index is None or item.index is None or item.index == index else None

    def _new(self, kind: str, index: int | None, item_id: str) -> _Item:
        item = _Item(kind, index, item_id)
        if kind == "function_call":
            item.number = self.calls
            self.calls += 1
        self._items.append(item)
        self._last[kind] = item
        if item_id:
            self._by_id.setdefault((kind, item_id), item)
        if index is not None:
            self._by_index[kind, index] = item
        return item

    def _complete(self, item: _Item, wire: dict[str, Any], before: int, events: list[ModelEvent]) -> None:
        item.done = True
        led, self._led = self._led, []
        if item.kind not in _KINDS:
            for thought, its_wire in () if item.kept else led:
                self._keep(thought, its_wire, before, events)
            self._keep(item, wire, before, events)
            return
        if item.kind == "function_call":
            item.call_id, item.name = item.call_id or _of(wire, "call_id"), item.name or _of(wire, "name")
            self._show(item, events)
        for what, parts in _said_in(item.kind, wire):
            event = _event(item, what, item.said(what).rest(parts))
            if event is not None:
                events.append(event)
        if item.kind == "message":
            notes = _annotations(wire.get("content"))
            if len(notes) > item.annotated:
                events.append(_annotated(notes[item.annotated :]))
                item.annotated = len(notes)
        elif item.kind == "reasoning":
            if _of(wire, "encrypted_content"):
                self._keep(item, wire, before, events)
            elif self.stored and _of(wire, "id"):
                self._led = [*led, (item, wire)]

    def _keep(self, item: _Item, wire: dict[str, Any], before: int, events: list[ModelEvent]) -> None:
        """Reports a whole item as state, once."""
        if not item.kept:
            item.kept = True
            events.append(StateReported(Opaque(self._provider, Raw(_encode(wire)), before, self._model)))

    def _show(self, item: _Item, events: list[ModelEvent]) -> None:
        if item.shown:
            return
        item.shown = True
        unique = item.call_id or item.id or f"call_{self._suffix}x{item.number}"
        if unique in self._call_ids:
            unique = f"{unique}x{item.number}"  # results are matched by id: two calls may not share one
        self._call_ids.add(unique)
        held = "".join(item.said("arguments").pieces)
        events.append(ToolCallDelta(item.number, unique, item.name, held))


def _said_in(kind: str, wire: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """All that a whole item says, by what it is."""
    content = wire.get("content")
    if kind == "function_call":
        return [("arguments", [as_text(wire.get("arguments"))])]
    if kind == "reasoning":
        return [("summary", _texts(wire.get("summary"))), ("thought", _texts(content))]
    if isinstance(content, str):
        content = [{"type": "output_text", "text": content}]
    return [("text", _texts(content, "output_text")), ("refusal", _texts(content, "refusal", "refusal"))]


def _event(item: _Item, what: str, text: str) -> ModelEvent | None:
    if not text:
        return None
    if what == "text":
        return TextDelta(text)
    if what == "refusal":
        return RefusalDelta(text)
    if what == "arguments":
        return ToolCallDelta(item.number, None, None, text) if item.shown else None
    return ReasoningDelta(text)


def _annotated(notes: list[dict[str, Any]]) -> TextDelta:
    """No text, and the notes on what came before it."""
    return TextDelta("", extra=Raw(_encode({"annotations": notes})))


def _annotations(parts: Any) -> list[dict[str, Any]]:
    """The notes on all texts of a message."""
    texts = (part for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    lists = (notes for part in texts if isinstance(notes := part.get("annotations"), list))
    return [note for notes in lists for note in notes if isinstance(note, dict)]


def as_text(value: Any) -> str:
    """Text as it is; arguments that a server sent as an object, as JSON."""
    if isinstance(value, str):
        return value
    return _encode(value).decode() if isinstance(value, dict) else ""


def _of(wire: dict[str, Any], key: str) -> str:
    value = wire.get(key)
    return value if isinstance(value, str) else ""


def _names(wire: dict[str, Any]) -> tuple[str, str]:
    return _of(wire, "call_id"), _of(wire, "id")


def _texts(parts: Any, kind: str = "", field: str = "text") -> list[str]:
    """The texts of a list of parts; of those of one kind only, where it is named."""
    if not isinstance(parts, list):
        return []
    return [_of(part, field) for part in parts if isinstance(part, dict) and (not kind or part.get("type") == kind)]
