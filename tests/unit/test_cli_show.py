"""What the terminal shows of a run, and how text from elsewhere is kept from harming it."""

import json
from typing import Any

import msgspec
import pytest

from golive.cli.agents import _lost
from golive.cli.frames import RunPrinter
from golive.cli.runs import _caching, _row
from golive.cli.show import Column, count, moment, safe, short, table

RESULT: dict[str, Any] = {
    "run": "run_1", "outcome": "completed", "reason": "done", "message": "", "created_at": 10.0, "finished_at": 11.5,
    "usage": {"input_tokens": 3, "output_tokens": 4}, "cost_microusd": 1234, "priced": True, "steps": 1,
    "tool_calls": 2,
}  # fmt: skip


def play(printer: RunPrinter, *frames: tuple[str, dict[str, Any]]) -> None:
    for number, (event, fields) in enumerate(frames, 1):
        printer.frame(event, msgspec.json.encode(fields), f"1-{number}")


def test_the_answer_and_what_stands_beside_it_are_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Text goes to standard output as it comes, ended by one line break; the rest is told on standard error."""
    play(
        RunPrinter(),
        ("run.accepted", {"run": "run_1"}),
        ("tool.started", {"name": "look", "arguments": '{"a": 1}'}),
        ("tool.finished", {"name": "look", "ok": False, "latency_ms": 12.4, "content": "it\nbroke"}),
        ("text.delta", {"text": "Good "}),
        ("text.delta", {"text": "evening."}),
        ("run.finished", RESULT),
    )
    out, err = capsys.readouterr()
    assert out == "Good evening.\n"
    assert err.splitlines() == [
        '→ look {"a": 1}',
        "✗ look (12 ms) it broke",
        "completed · 1.50 s · 1 step · 2 tool calls · 7 tokens · $0.001234 · run_1",
    ]


def test_a_failover_names_who_answered(capsys: pytest.CaptureFixture[str]) -> None:
    """A failed target is told; the one that then answers is named, and only then."""
    failed = {"target": "a/x", "code": "model.unreachable", "message": "a/x cannot be reached (connection refused)."}
    play(
        RunPrinter(),
        ("model.finished", {"target": "a/x"}),
        ("model.failed", failed),
        ("model.finished", {"target": "b/x"}),
    )
    assert capsys.readouterr().err == "✗ a/x cannot be reached (connection refused).\n✓ b/x answered\n"


def test_how_it_ended_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A partial run has its reason and its message, and an unknown price is not shown as an amount."""
    ended = {"outcome": "partial", "reason": "deadline", "message": "Out of time.", "priced": False, "cost_microusd": 0}
    play(RunPrinter(), ("run.finished", RESULT | ended))
    said, summary = capsys.readouterr().err.splitlines()
    assert said == "Out of time."
    assert summary.startswith("partial (deadline) · ")
    assert "· price unknown ·" in summary


def test_an_estimated_cost_is_not_told_as_a_bill(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the answer it is named as an estimate, in a list it has a mark; an older server says nothing of either."""
    play(RunPrinter(), ("run.finished", RESULT | {"estimated": True}), ("run.finished", RESULT | {"estimated": False}))
    assert ["(estimated)" in line for line in capsys.readouterr().err.splitlines()] == [True, False]
    row = RESULT | {"agent": "support", "version_name": "1.0.0"}
    costs = [_row(row | more)[6] for more in ({"estimated": True}, {"estimated": False}, {})]
    assert costs == ["~$0.001234", "$0.001234", "$0.001234"]


def test_a_speaker_is_named_where_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of one answer are moved in, however they arrive, empty ones are left empty, and the name comes once; after
    a tool call it comes again."""
    play(
        RunPrinter(lambda line: print(f"    {line}"), speaker="  agent  "),
        ("text.delta", {"text": "Two:\n- a lamp"}),
        ("text.delta", {"text": "\n"}),
        ("text.delta", {"text": "\n- a desk"}),
        ("tool.started", {"name": "look", "arguments": "{}"}),
        ("text.delta", {"text": "\nDone."}),
        ("run.finished", RESULT),
    )
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "  agent  Two:", "         - a lamp", "", "         - a desk", "    → look {}", "", "  agent  Done.",
    ]  # fmt: skip


def test_the_answer_on_a_pipe_is_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a speaker not a character is added but the line break at the end."""
    play(RunPrinter(), *(("text.delta", {"text": text}) for text in ("\n  a\n", "", "\n\nb", "\n", "c")))
    play(RunPrinter(), ("run.finished", RESULT))
    assert capsys.readouterr().out == "\n  a\n\n\nb\nc"


def test_where_to_go_on_is_remembered_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """A quiet printer prints nothing and knows the run, the last event's id and the result."""
    printer = RunPrinter(quiet=True)
    play(printer, ("run.accepted", {"run": "run_1"}), ("text.delta", {"text": "x"}))
    assert (printer.run, printer.last_event_id, printer.result) == ("run_1", "1-2", {})
    play(printer, ("run.finished", RESULT))
    assert printer.result == json.loads(json.dumps(RESULT))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "\x07", "\r", "\u202egnp.exe", "\u2066x", "\x00"])
def test_text_cannot_drive_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences, controls and reversals of a model or a tool are replaced, wherever they are printed."""
    assert "\N{REPLACEMENT CHARACTER}" in safe(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in safe(text))
    play(RunPrinter(), ("tool.started", {"name": f"look{text}", "arguments": text}))
    table([Column("A")], [[text + "x"]])
    shown = "".join(capsys.readouterr())
    assert not [char for char in shown if char != "\n" and (not char.isprintable() and char != "\t")]


def test_line_breaks_and_tabs_stay() -> None:
    """What lays a text out is no danger."""
    assert safe("a\n\tb é 漢 👍") == "a\n\tb é 漢 👍"


def test_a_table_on_a_pipe_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells are separated by tabs, never contain one, and no row spans two lines."""
    table([Column("A"), Column("B", drop=1)], [["x\ty", "one\ntwo"], [1, ""]])
    assert capsys.readouterr().out == "x y\tone two\n1\t\n"


def test_an_empty_table_says_so_beside(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads nothing; a person is told."""
    table([Column("A")], [], empty="Nothing.")
    assert capsys.readouterr() == ("", "Nothing.\n")


def test_small_words() -> None:
    """Singular and plural; one line, cut at its length; a moment that is none."""
    assert [count(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert (short("a\n b", 5), short("abcdef", 5), short("abcde", 5)) == ("a b", "abcd…", "abcde")
    assert (moment(None), moment(0.0), moment(1_764_000_000.0)) == ("-", "-", "2025-11-24 16:00:00")


def test_a_run_shows_what_caches_did() -> None:
    """Tokens read with their share, tokens written, and the saving, which is a cost where writing was dearer."""
    usage = {"input_tokens": 1_200, "cached_input_tokens": 900, "cache_write_tokens": 100}
    told = _caching({"usage": usage, "saved_microusd": 1_230})
    assert told == "cache: 900 of 1200 input tokens read (75%), 100 written, saved $0.00123"
    told = _caching({"usage": {"input_tokens": 100, "cache_write_tokens": 80}, "saved_microusd": -20})
    assert told == "cache: 0 of 100 input tokens read (0%), 80 written, cost $0.00002 more"
    assert _caching({"usage": {"input_tokens": 100}, "saved_microusd": 0}) == ""


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        ({}, "a person decides, or the model is told"),
        ({"on_unknown": "ask"}, "a person decides"),
        ({"on_unknown": "tell"}, "the model is told"),
        ({"status": True, "idempotent": True, "on_unknown": None}, "asked, else called again"),
        ({"idempotent": True, "on_unknown": "ask"}, "called again, else a person decides"),
    ],
)
def test_what_becomes_of_a_lost_call_is_told(effects: dict[str, Any], said: str) -> None:
    assert _lost(effects) == said
