"""The contract of `Toolset`, over both implementations: what goes into a call, and what comes out.

Deadlines, capacity, lifespan and refusals are in `test_toolset_lifecycle.py`.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.guards.redact import Redactor
from golive.tools.toolset import ToolOutcome, Toolset
from golive.workers.inline import InlineToolset
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import ToolBench, call, wait_for


@pytest.fixture(params=[WorkerToolset, InlineToolset], ids=["worker", "inline"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(request.param, tmp_path)
    yield bench
    await bench.close()


BASICS = """
    import asyncio, dataclasses, datetime, decimal, enum, os, sys, time
    from typing import Any, Literal
    import msgspec
    from pydantic import BaseModel
    from golive.tools.context import ToolContext

    class Item(BaseModel):
        sku: str
        count: int = 1

    @dataclasses.dataclass
    class Priced:
        amount: decimal.Decimal
        at: datetime.date

    class Wire(msgspec.Struct):
        x: int

    class Strange: ...

    async def add(a: int, b: int = 2) -> int:
        "Adds two numbers."
        return a + b

    def greet(name: str) -> str:
        "Greets."
        return f"Grüß dich, {name}"

    def order(items: list[Item], when: datetime.datetime | None = None, kind: Literal["a", "b"] = "a") -> list[Any]:
        return [type(items[0]).__name__, items[0].count, when, kind]

    def nothing() -> None: ...
    def priced() -> Priced: return Priced(decimal.Decimal("1.10"), datetime.date(2026, 1, 2))
    def wire() -> list[Wire]: return [Wire(3)]
    def not_a_number() -> Any: return {"x": float("nan"), "y": [float("inf")]}
    def strange() -> Any: return {"deep": [Strange()]}
    def half() -> str: return "\\ud800"
    def circle() -> Any:
        a: list[Any] = []
        a.append(a)
        return a
    async def forgotten() -> Any: return asyncio.sleep(0)
    def big(size: int) -> str: return "x" * size
    def big_list(size: int) -> Any: return ["é"] * size
    def raises(text: str) -> None: raise LookupError(text)
    async def raises_later() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("later")
    class Mute(Exception):
        def __str__(self) -> str: raise ValueError
    def raises_mute() -> None: raise Mute()
    def exits() -> None: sys.exit(7)
    async def exits_async() -> None: sys.exit(7)
    async def interrupts() -> None: raise KeyboardInterrupt
    async def cancels_itself() -> None: raise asyncio.CancelledError
    def context(first: int, ctx: ToolContext, last: int = 0) -> Any:
        return [first, last, ctx.tenant, ctx.run, ctx.idempotency_key, ctx.tool, ctx.state, 0 < ctx.remaining() <= 20]
    def _private() -> None: ...
"""


@pytest.fixture
async def basics(bench: ToolBench) -> Toolset:
    toolset: Toolset = await bench.open(BASICS, max_tool_result_bytes=1_000)
    return toolset


async def test_specs_are_the_public_functions_sorted_by_name(basics: Toolset) -> None:
    """Specs are sorted by name, hold docstring and schema, and leave out what is private or imported."""
    names = [spec.name for spec in basics.specs]
    assert names == sorted(names)
    assert "add" in names
    assert not {"_private", "dataclass", "BaseModel", "Item"} & set(names)
    add = next(spec for spec in basics.specs if spec.name == "add")
    assert add.description == "Adds two numbers."
    assert json.loads(bytes(add.parameters)) == {
        "type": "object", "additionalProperties": False, "required": ["a"],
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "content"),
    [
        ("add", '{"a": 1, "b": 5}', "6"),
        ("add", '{"a": 1}', "3"),
        ("add", '{"a": "1"}', "3"),
        ("greet", '{"name": "Zoë"}', "Grüß dich, Zoë"),
        ("nothing", "", "null"),
        ("nothing", " ", "null"),
        ("order", '{"items": [{"sku": "x"}], "when": "2026-01-02T03:04:05Z"}', '["Item",1,"2026-01-02T03:04:05Z","a"]'),
        ("priced", "{}", '{"amount":"1.10","at":"2026-01-02"}'),
        ("wire", "{}", '[{"x":3}]'),
        ("not_a_number", "{}", '{"x":null,"y":[null]}'),
        ("context", '{"first": 1}', '[1,0,"acme","run_1","run_1//1","context",null,true]'),
    ],
)
async def test_a_result_is_text_or_json(basics: Toolset, name: str, arguments: str, content: str) -> None:
    """Text comes back as it is, anything else as JSON, whether the function is sync or async."""
    assert await call(basics, name, arguments) == ToolOutcome(True, content)


@pytest.mark.parametrize(
    ("name", "arguments", "code", "says"),
    [
        ("ad", "{}", "tool.unknown", "Did you mean add?"),
        ("_private", "{}", "tool.unknown", "There is no tool '_private'"),
        ("\ud800", "{}", "tool.unknown", "There is no tool"),
        ("add", "{", "tool.arguments_invalid", "not JSON"),
        ("add", '{"a": "\\ud800"}', "tool.arguments_invalid", "not JSON"),
        ("add", '{"a": "\ud800"}', "tool.arguments_invalid", "not valid Unicode"),
        ("add", "[1]", "tool.arguments_invalid", "one JSON object"),
        ("add", "{}", "tool.arguments_invalid", "- a: is required"),
        ("add", '{"a": 1, "c": 1}', "tool.arguments_invalid", "- c: there is no such parameter. There are: a, b."),
        ("add", '{"a": "x"}', "tool.arguments_invalid", "- a: Input should be a valid integer"),
        ("order", '{"items": [{"sku": "x", "count": "y"}]}', "tool.arguments_invalid", "- items.0.count: "),
        ("order", '{"items": [], "kind": "c"}', "tool.arguments_invalid", "- kind: Input should be 'a' or 'b'"),
        ("context", '{"first": 1, "ctx": 1}', "tool.arguments_invalid", "- ctx: there is no such parameter"),
        ("raises", '{"text": "gone"}', "tool.raised", "LookupError: gone"),
        ("raises_later", "{}", "tool.raised", "RuntimeError: later"),
        ("raises_mute", "{}", "tool.raised", "Mute: (its message failed with ValueError)"),
        ("exits", "{}", "tool.raised", "SystemExit: 7"),
        ("exits_async", "{}", "tool.raised", "SystemExit: 7"),
        ("interrupts", "{}", "tool.raised", "KeyboardInterrupt"),
        ("cancels_itself", "{}", "tool.raised", "CancelledError"),
        ("strange", "{}", "tool.result_invalid", "it holds a"),
        ("half", "{}", "tool.result_invalid", "UTF-8"),
        ("circle", "{}", "tool.result_invalid", "Circular"),
        ("forgotten", "{}", "tool.result_invalid", "it holds a coroutine"),
        ("big", '{"size": 1001}', "tool.result_invalid", "1,001 bytes, and the limit is 1,000"),
        ("big_list", '{"size": 200}', "tool.result_invalid", "1,001 bytes, and the limit is 1,000"),
    ],
)
async def test_a_failure_is_an_outcome_with_a_code(
    basics: Toolset, name: str, arguments: str, code: str, says: str
) -> None:
    """Whatever goes wrong in a call, the caller gets a value that says what, and the next call works."""
    outcome = await call(basics, name, arguments)
    assert (outcome.ok, outcome.error_code) == (False, code)
    assert says in outcome.content
    assert await call(basics, "add", '{"a": 1}') == ToolOutcome(True, "3")


async def test_what_a_tool_raises_is_told_without_secrets(bench: ToolBench) -> None:
    """A known secret and what has a credential's shape are replaced before the text is cut, so that no half of one is
    left at the cut; whatever kind of failure it is. What a tool returns is its own affair."""
    secret = "correct-horse-battery"
    toolset = await bench.open(
        """
        from typing import Annotated, Any
        from pydantic import AfterValidator, BaseModel, model_serializer
        SECRET = "correct-horse-battery"
        def fits(value: int) -> int: raise ValueError(f"not with {SECRET}")
        class Odd(BaseModel):
            @model_serializer
            def dump(self) -> str: raise RuntimeError(SECRET)
        def raises(before: int) -> str: raise OSError("." * before + SECRET + " at postgres://shop:hunter22@db/x")
        async def raises_deep() -> str: raise LookupError(b"", {"Authorization": "Bearer abc123def456"})
        def checked(n: Annotated[int, AfterValidator(fits)]) -> str: return ""
        def odd() -> Any: return Odd()
        def returns() -> str: return SECRET
        """,
        redact=Redactor([secret]).text,
    )
    told = await call(toolset, "raises", '{"before": 0}')
    assert told == ToolOutcome(False, "OSError: [redacted] at postgres://shop:[redacted]@db/x", "tool.raised")
    cut = await call(toolset, "raises", '{"before": 1985}')
    assert cut.content == "OSError: " + "." * 1_985 + "[redac…"
    for name, arguments in (("raises_deep", "{}"), ("checked", '{"n": 1}'), ("odd", "{}")):
        outcome = await call(toolset, name, arguments)
        assert not outcome.ok
        assert "[redacted]" in outcome.content
        assert secret not in outcome.content
        assert "abc123" not in outcome.content
    assert await call(toolset, "returns") == ToolOutcome(True, secret)


async def test_a_result_of_exactly_the_limit_is_given(basics: Toolset) -> None:
    """The limit itself is allowed."""
    assert (await call(basics, "big", '{"size": 1000}')).content == "x" * 1_000


async def test_the_model_is_told_the_message_and_the_log_the_traceback(bench: ToolBench, basics: Toolset) -> None:
    """A traceback never reaches the model; it goes to the log, with run and tool. A long message is shortened."""
    outcome = await call(basics, "raises", json.dumps({"text": "m" * 5_000}))
    assert outcome.content == "LookupError: " + "m" * 1_987 + "…"
    await wait_for(lambda: any(event == "tool.raised" for event, _ in bench.logged))
    fields = next(fields for event, fields in bench.logged if event == "tool.raised")
    assert (fields["run"], fields["tool"], fields["tenant"]) == ("run_1", "raises", "acme")
    assert "raise LookupError(text)" in fields["traceback"]
    assert fields["error"] == "LookupError"
    assert re.fullmatch(r"(\S+:\d+ in \S+ > )*tools\.py:\d+ in raises", fields["at"])
