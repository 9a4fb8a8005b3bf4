"""Puts the fragments of tool calls in order, however a compatible server sends them.

Downstream, calls count from 0 in the order they appear within their choice, and `id` and `name` come once, with a
call's first fragment. Servers differ: some leave `index` out, some send 0 for every call, some repeat `id` and `name`
in each fragment, some send whole calls, some give no id at all, or the same one to two calls.
"""

import msgspec

from golive.models.call import ModelEvent, ToolCallDelta
from golive.models.openai_wire import WireFunction, WireToolCall

_encode = msgspec.json.Encoder().encode


class _Call:
    """One call so far. Until its name has come, what else came is held back."""

    __slots__ = ("held", "id", "index", "number", "shown")

    def __init__(self, number: int, index: int | None, call_id: str) -> None:
        self.number = number
        self.index = index
        self.id = call_id
        self.shown = False
        self.held = ""


class ToolFragments:
    """The tool calls of one choice."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_choice", "_last", "_suffix")

    def __init__(self, choice: int, response_id: str) -> None:
        self._choice = choice
        self._suffix = "".join(c for c in response_id if c.isascii() and c.isalnum())[-12:]
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None

    def add(self, fragment: WireToolCall, events: list[ModelEvent]) -> None:
        """Appends what the fragment means to `events`."""
        function = fragment.function
        name = (function.name if function is not None else None) or ""
        call = self._which(fragment.index, fragment.id or "", name)
        self._emit(call, name, _arguments(function), events)

    def legacy(self, function: WireFunction, events: list[ModelEvent]) -> None:
        """The same for `function_call`, of which there is one at most."""
        call = self._calls[0] if self._calls else self._new(None, "")
        self._emit(call, function.name or "", _arguments(function), events)

    def end(self, events: list[ModelEvent]) -> None:
        """Shows calls whose name never came; the loop will say that there is no such tool."""
        for call in self._calls:
            if not call.shown:
                self._show(call, "", "", events)

    def _which(self, index: int | None, call_id: str, name: str) -> _Call:
        named = self._by_id.get(call_id)
        if named is not None and (index is None or named.index is None or index == named.index):
            return named
        if index is not None:
            call = self._by_index.get(index)
            if call is not None and not (call_id and name and call.shown):
                return call
        elif not call_id and self._last is not None and not (name and self._last.shown):
            return self._last
        return self._new(index, call_id)

    def _new(self, index: int | None, call_id: str) -> _Call:
        number = len(self._calls)
        unique = call_id or f"call_{self._suffix}{self._choice}x{number}"
        if call_id in self._by_id:
            unique = f"{call_id}x{number}"  # results are matched by id: two calls may not share one
        call = _Call(number, index, unique)
        self._calls.append(call)
        if call_id:
            self._by_id.setdefault(call_id, call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _emit(self, call: _Call, name: str, arguments: str, events: list[ModelEvent]) -> None:
        self._last = call
        if call.shown:
            if arguments:
                events.append(ToolCallDelta(call.number, None, None, arguments, self._choice))
        elif name:
            self._show(call, name, arguments, events)
        else:
            call.held += arguments

    def _show(self, call: _Call, name: str, arguments: str, events: list[ModelEvent]) -> None:
        events.append(ToolCallDelta(call.number, call.id, name, call.held + arguments, self._choice))
        call.shown = True
        call.held = ""


def _arguments(function: WireFunction | None) -> str:
    if function is None or function.arguments is None:
        return ""
    return function.arguments if isinstance(function.arguments, str) else _encode(function.arguments).decode()
