"""The contract of `Toolset`, over both implementations: what tools declare of their effects, and calls that may no
longer begin."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import ToolConfig, WorkerConfig
from golive.core.deadline import Deadline
from golive.core.errors import AgentError
from golive.core.tasks import Tasks
from golive.guards.redact import Redactor
from golive.tools.toolset import (
    CarriedOut,
    EffectRules,
    NotCarriedOut,
    NotKnown,
    StatusAnswer,
    ToolInvocation,
    ToolOutcome,
    Toolset,
)
from golive.workers.inline import InlineToolset
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import CLOCK, ToolBench, call, closed_at_work, wait_for


@pytest.fixture(params=[WorkerToolset, InlineToolset], ids=["worker", "inline"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(request.param, tmp_path)
    yield bench
    await bench.close()


PAYMENTS = """
    import asyncio, datetime, threading
    from typing import Any
    from golive.tools.context import ToolContext

    paid: dict[str, Any] = {}
    told: list[Any] = []

    async def pay(amount: int, day: datetime.date, note: str = "none", *, ctx: ToolContext) -> dict[str, Any]:
        paid[ctx.idempotency_key] = amount
        return {"paid": amount}
    async def _paid(amount, note, ctx: ToolContext):
        told.append([amount, note, ctx.idempotency_key, ctx.tool, ctx.undoes, ctx.tenant, ctx.run])
        return {"paid": paid[ctx.idempotency_key]} if ctx.idempotency_key in paid else None
    def take_back(day, result: str, /, *, context: "ToolContext") -> str:
        told.append([type(day).__name__, result, context.idempotency_key, context.tool, context.undoes])
        del paid[context.undoes]
        return "taken back"

    def mail(to: str) -> str: return "sent"
    def _mailed(to: str) -> Any:
        if to == "raise": raise LookupError("no mailbox at postgres://shop:hunter22@db/x")
        if to == "hang": threading.Event().wait()
        if to == "strange": return object()
        if to == "late": raise asyncio.CancelledError
        return {"yes": "", "no": None, "false": False, "empty": []}[to]
    def _unmail() -> None: raise RuntimeError("gone for good")

    def read() -> list[Any]: return told
"""
TOOLS = {
    "pay": ToolConfig(idempotent=True, status="_paid", undo="take_back"),
    "mail": ToolConfig(status="_mailed", undo="_unmail", on_unknown="ask", timeout_s=0.2),
}
LATE = "mail (status) was not done within 0.2 s (tools.mail.timeout_s)."
PAID = '{"amount": "7", "day": "2026-01-02"}'


def asked(name: str, arguments: str, key: str = "run_1//1", begin_by: float = math.inf) -> ToolInvocation:
    return ToolInvocation("acme", "run_1", key, name, arguments, begin_by)


async def status(toolset: Toolset, name: str, arguments: str = "{}", begin_by: float = math.inf) -> StatusAnswer:
    deadline = Deadline.after(CLOCK, 20.0, "limits.deadline_s")
    return await toolset.status(asked(name, arguments, begin_by=begin_by), deadline)


async def undo(toolset: Toolset, name: str, arguments: str, result: str, begin_by: float = math.inf) -> ToolOutcome:
    deadline = Deadline.after(CLOCK, 20.0, "limits.deadline_s")
    return await toolset.undo(asked(name, arguments, begin_by=begin_by), result, deadline)


@pytest.fixture
async def payments(bench: ToolBench) -> Toolset:
    toolset: Toolset = await bench.open(PAYMENTS, tools=TOOLS, redact=Redactor([]).text)
    return toolset


async def test_functions_about_calls_are_no_tools(payments: Toolset) -> None:
    """What is named as status or undo is not offered to the model, though it be public; nor can it be called."""
    assert [spec.name for spec in payments.specs] == ["mail", "pay", "read"]
    assert payments.effects == {
        "mail": EffectRules(status=True, undo=True, on_unknown="ask", timeout_s=0.2),
        "pay": EffectRules(idempotent=True, status=True, undo=True),
        "read": EffectRules(),
    }
    outcome = await call(payments, "take_back")
    assert (outcome.error_code, outcome.begun) == ("tool.unknown", False)


async def test_status_tells_whether_a_call_was_carried_out(payments: Toolset) -> None:
    """None says no, anything else is the result, written down as a tool's own. The function is given the call's own
    arguments as the tool would get them, defaults included, and the call's key."""
    assert await status(payments, "pay", PAID) == NotCarriedOut()
    assert await call(payments, "pay", PAID) == ToolOutcome(True, '{"paid":7}')
    assert await status(payments, "pay", PAID) == CarriedOut(ToolOutcome(True, '{"paid":7}'))
    seen = '[7,"none","run_1//1","pay",null,"acme","run_1"]'
    assert (await call(payments, "read")).content == f"[{seen},{seen}]"


@pytest.mark.parametrize(
    ("to", "answer"),
    [
        ("yes", CarriedOut(ToolOutcome(True, ""))),
        ("false", CarriedOut(ToolOutcome(True, "false"))),
        ("empty", CarriedOut(ToolOutcome(True, "[]"))),
        ("no", NotCarriedOut()),
        ("raise", NotKnown("LookupError: no mailbox at postgres://shop:[redacted]@db/x", "tool.raised")),
        ("late", NotKnown("CancelledError", "tool.raised")),
        (
            "hang",
            NotKnown(f"{LATE} It may have taken effect all the same.", "tool.timeout"),
        ),
    ],
)
async def test_what_a_status_function_returns_decides(payments: Toolset, to: str, answer: StatusAnswer) -> None:
    """Only None is a no, whatever else is false; one that raises or hangs says nothing."""
    assert await status(payments, "mail", f'{{"to": "{to}"}}') == answer


async def test_a_result_that_cannot_be_written_down_is_a_yes_all_the_same(payments: Toolset) -> None:
    """The call was carried out, and the model is told why it does not see the result."""
    answer = await status(payments, "mail", '{"to": "strange"}')
    assert isinstance(answer, CarriedOut)
    assert (answer.outcome.ok, answer.outcome.error_code) == (False, "tool.result_invalid")


@pytest.mark.parametrize(
    ("head", "wait"),
    [("def", "time.sleep(0.005)"), ("async def", "await asyncio.sleep(0.005)")],
)
async def test_a_no_does_not_count_while_the_call_still_runs(bench: ToolBench, head: str, wait: str) -> None:
    """A call that timed out and does not end may take effect yet; a yes is a yes all the same."""
    toolset = await bench.open(
        f"""
        import asyncio, os, time
        {head} pay() -> str:
            while not os.path.exists({str(bench.folder / "free")!r}):
                try: {wait}
                except asyncio.CancelledError: pass
            return "paid"
        def _paid() -> str | None: return "paid" if os.path.exists({str(bench.folder / "paid")!r}) else None
        """,
        tools={"pay": ToolConfig(status="_paid", timeout_s=0.1)},
    )
    assert (await call(toolset, "pay")).error_code == "tool.timeout"
    told = "pay is still running, and has not taken effect so far."
    assert await status(toolset, "pay") == NotKnown(told, "tool.timeout")
    (bench.folder / "paid").touch()
    assert await status(toolset, "pay") == CarriedOut(ToolOutcome(True, "paid"))
    (bench.folder / "free").touch()


async def test_undo_takes_back_under_a_key_of_its_own(payments: Toolset) -> None:
    """It is given the call's arguments, what the call had returned, and the call's key besides its own."""
    done = await call(payments, "pay", PAID)
    assert await undo(payments, "pay", PAID, done.content) == ToolOutcome(True, "taken back")
    told = '["date","{\\"paid\\":7}","run_1//1/undo","pay","run_1//1"]'
    assert (await call(payments, "read")).content == f"[{told}]"
    assert await status(payments, "pay", PAID) == NotCarriedOut()


async def test_an_undo_that_fails_is_an_outcome(bench: ToolBench, payments: Toolset) -> None:
    """What it raises is told like a tool's, and the log names tool and role."""
    outcome = await undo(payments, "mail", '{"to": "yes"}', "sent")
    assert outcome == ToolOutcome(False, "RuntimeError: gone for good", "tool.raised")
    await wait_for(lambda: any(fields.get("tool") == "mail (undo)" for _, fields in bench.logged))


async def test_without_a_function_nothing_is_known_and_nothing_undone(payments: Toolset) -> None:
    """Asking a tool that declares none is an answer, not a crash."""
    says = "read has no {role} function. Name one as tools.read.{role}."
    assert await status(payments, "read") == NotKnown(says.format(role="status"), "tool.unknown")
    nothing = ToolOutcome(False, says.format(role="undo"), "tool.unknown", begun=False)
    assert await undo(payments, "read", "{}", "") == nothing
    assert isinstance(await status(payments, "no_such"), NotKnown)


async def test_a_call_that_may_no_longer_begin_does_not(bench: ToolBench) -> None:
    """Its begin_by is over: nothing runs, and the outcome says for sure that nothing was done; of status and undo as
    well. Until then it begins."""
    toolset = await bench.open(
        """
        runs = []
        def plain() -> str: return runs.append("plain") or "done"
        async def quick() -> str: return runs.append("quick") or "done"
        def _about() -> str: return runs.append("about") or "done"
        async def _back() -> str: return runs.append("back") or "done"
        def seen() -> list[str]: return runs
        """,
        tools={"plain": ToolConfig(status="_about"), "quick": ToolConfig(undo="_back")},
    )
    over = CLOCK.monotonic() - 0.001
    deadline = Deadline.after(CLOCK, 20.0, "limits.deadline_s")
    for name in ("plain", "quick"):
        outcome = await toolset.call(asked(name, "{}", begin_by=over), deadline)
        words = f"{name} was not begun: the time by which it had to begin was over. Nothing was done."
        assert outcome == ToolOutcome(False, words, "tool.not_begun", begun=False)
    answer = await status(toolset, "plain", begin_by=over)
    assert isinstance(answer, NotKnown)
    assert answer.error_code == "tool.not_begun"
    back = await undo(toolset, "quick", "{}", "done", begin_by=over)
    assert (back.error_code, back.begun) == ("tool.not_begun", False)
    assert (await call(toolset, "seen")).content == "[]"
    for name in ("plain", "quick"):
        assert (await toolset.call(asked(name, "{}", begin_by=CLOCK.monotonic() + 60), deadline)).content == "done"
    assert (await call(toolset, "seen")).content == '["plain","quick"]'


async def test_a_call_waits_for_a_place_only_until_it_had_to_begin(bench: ToolBench) -> None:
    """Whoever asked learns at once that it was not begun, long before the deadline."""
    free, began = bench.folder / "free", bench.folder / "began"
    toolset = await bench.open(
        f"""
        import asyncio, pathlib
        async def hold() -> None:
            pathlib.Path({str(began)!r}).touch()
            while not pathlib.Path({str(free)!r}).exists():
                await asyncio.sleep(0.005)
        async def quick() -> str: return "quick"
        """,
        WorkerConfig(concurrency=1),
    )
    async with Tasks("test") as tasks:
        tasks.start(call(toolset, "hold"), "hold")
        await wait_for(began.exists)
        deadline = Deadline.after(CLOCK, 3_600.0, "limits.deadline_s")
        outcome = await toolset.call(asked("quick", "{}", begin_by=CLOCK.monotonic() + 0.05), deadline)
        free.touch()
    assert (outcome.error_code, outcome.begun) == ("tool.not_begun", False)


BEGUN = """
    import asyncio, os, threading
    from typing import Annotated
    from pydantic import AfterValidator
    def never(value: int) -> int: raise OSError("validator")
    def ok(n: int = 1) -> int: return n
    def checked(n: Annotated[int, AfterValidator(never)]) -> int: return n
    def raises() -> None: raise OSError("down")
    def odd() -> object: return object()
    async def hang() -> None: await asyncio.Event().wait()
"""


@pytest.mark.parametrize(
    ("name", "arguments", "seconds", "code", "begun"),
    [
        ("ok", "{}", 20.0, None, True),
        ("raises", "{}", 20.0, "tool.raised", True),
        ("odd", "{}", 20.0, "tool.result_invalid", True),
        ("hang", "{}", 0.1, "tool.timeout", True),
        ("no_such", "{}", 20.0, "tool.unknown", False),
        ("ok", '{"n": "x"}', 20.0, "tool.arguments_invalid", False),
        ("ok", '{"n": "\ud800"}', 20.0, "tool.arguments_invalid", False),
        ("checked", '{"n": 1}', 20.0, "tool.raised", False),
        ("ok", "{}", 0.0, "tool.timeout", False),
    ],
)
async def test_outcomes_say_whether_the_function_was_called(
    bench: ToolBench, name: str, arguments: str, seconds: float, code: str | None, begun: bool
) -> None:
    """`begun` is False exactly where it surely was not."""
    toolset = await bench.open(BEGUN)
    outcome = await call(toolset, name, arguments, seconds)
    assert (outcome.error_code, outcome.begun) == (code, begun)


async def test_calls_on_a_closed_toolset_are_not_begun(bench: ToolBench) -> None:
    """One that ran when it closed was begun, one that waited or came later was not."""
    toolset, outcomes = await closed_at_work(bench)
    assert [outcome.begun for outcome in outcomes] == [True, False]
    assert not (await call(toolset, "hang")).begun


PAY = "def pay(amount: int, to: str = 'x') -> str: return ''\n"


@pytest.mark.parametrize(
    ("more", "settings", "says", "remedy"),
    [
        (
            "def _find(order): ...\n",
            {"status": "_find"},
            "{tools}:2: _find (tools.pay.status), parameter order: pay has no such parameter.",
            "It may take parameters of pay (amount, to), `ctx: ToolContext`.",
        ),
        (
            "\ndef _back(amount, *rest): ...\n",
            {"undo": "_back"},
            "{tools}:3: _back (tools.pay.undo), parameter rest: nobody fills an open list of arguments.",
            "It may take parameters of pay (amount, to), `ctx: ToolContext` and `result: str`.",
        ),
        (
            "def _find(result): ...\n",
            {"status": "_find"},
            "{tools}:2: _find (tools.pay.status), parameter result: pay has no such parameter.",
            "It may take parameters",
        ),
        (
            "def _find(amount): yield\n",
            {"status": "_find"},
            "{tools}:2: _find (tools.pay.status): it is a generator.",
            "Return what it finds.",
        ),
        (
            "def _paid(amount): ...\n",
            {"status": "_piad"},
            "{toml}:5: tools.pay.status names _piad, and tools.py has no such function.",
            "Write one, or name another. Did you mean _paid?",
        ),
        (
            "",
            {"undo": "lifespan"},
            "{toml}:5: tools.pay.undo names lifespan, which is not about calls.",
            "Write one.",
        ),
    ],
)
async def test_what_nobody_can_call_is_refused_with_its_place(
    bench: ToolBench, more: str, settings: dict[str, Any], says: str, remedy: str
) -> None:
    """File, line and remedy: of tools.py where the function is at fault, else of agent.toml."""
    ((role, name),) = settings.items()
    toml = bench.folder / "agent.toml"
    toml.write_text(f'name = "shop"\nversion = "1"\n\n[tools.pay]\n{role} = "{name}"\n')
    with pytest.raises(AgentError) as caught:
        await bench.open(PAY + more, tools={"pay": ToolConfig(**settings)})
    assert caught.value.message == says.format(tools=bench.folder / "tools.py", toml=toml)
    assert caught.value.remedy.startswith(remedy)


async def test_a_tool_whose_argument_is_called_result_cannot_have_it_twice(bench: ToolBench) -> None:
    """Which of the two an undo function means would be a guess."""
    source = "def note(result: str) -> str: return ''\ndef _back(result): ...\n"
    with pytest.raises(AgentError, match=r"an argument of note as well.*Rename the parameter of note"):
        await bench.open(source, tools={"note": ToolConfig(undo="_back")})
    toolset = await bench.open(source, tools={"note": ToolConfig(status="_back")})
    assert toolset.effects["note"] == EffectRules(status=True)


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        (
            {"pay": ToolConfig(undo="refund"), "refund": ToolConfig(timeout_s=5)},
            r"tools\.pay\.undo names refund, which has settings of its own as a tool.*or remove \[tools\.refund\]",
        ),
        ({"pay": ToolConfig(status="pay")}, r"tools\.pay\.status names pay, which has settings of its own"),
        (
            {"pay": ToolConfig(status="refund", undo="refund")},
            r"tools\.pay\.undo names refund, and so does tools\.pay\.status: to ask about a call would be to take one",
        ),
        ({"pya": ToolConfig(idempotent=True)}, r"\[tools\.pya\] is about a function.*Did you mean pay\?"),
        ({"pya": ToolConfig(status="refund")}, r"\[tools\.pya\] is about a function.*Did you mean pay\?"),
    ],
)
async def test_settings_that_contradict_each_other_are_refused(
    bench: ToolBench, tools: dict[str, ToolConfig], says: str
) -> None:
    """A function is offered to the model, or tells of calls, or takes them back: one of the three."""
    with pytest.raises(AgentError, match=says):
        await bench.open(PAY + "def refund(amount: int) -> str: return ''\n", tools=tools)


async def test_without_a_tools_file_settings_are_refused_the_same(bench: ToolBench) -> None:
    """There is no tool whose calls could be asked about."""
    with pytest.raises(AgentError, match=r"\[tools\.pay\] is about a function"):
        await bench.open(None, tools={"pay": ToolConfig(status="_paid")})
