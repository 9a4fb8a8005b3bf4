"""A run's stream in a terminal: the answer as it comes; tool calls, failovers, cost and time beside it."""

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from golive.cli.show import count, note, safe, short, width
from golive.core.money import usd_text

ROOM = 20
"""Shortest piece of arguments or results that is shown, characters."""


class RunPrinter:
    """Prints a run's frames: the answer to standard output as it streams, everything else by `beside`.

    `speaker` stands where an answer begins, and again where it goes on after something beside it; the lines in between
    are moved in by its width, so that a line of the answer is not taken for another speaker's.

    `result` is the whole run once `run.finished` has come, and empty before. `run` and `last_event_id` say where to go
    on when the stream breaks off.
    """

    def __init__(self, beside: Callable[[str], None] = note, *, speaker: str = "", quiet: bool = False) -> None:
        """`quiet`: print nothing, only take notice (for `--json`)."""
        self.result: dict[str, Any] = {}
        self.run = ""
        self.last_event_id = ""
        self._say = beside
        self._quiet = quiet
        self._speaker = speaker
        self._speaking = False
        self._open_line = False
        self._failed = False

    def frame(self, event: str, data: bytes, event_id: str = "") -> None:
        """Takes one server-sent event."""
        fields: dict[str, Any] = msgspec.json.decode(data)
        self.last_event_id = event_id or self.last_event_id
        if event == "run.accepted":
            self.run = fields["run"]
        elif event == "run.finished":
            self.result = fields
        if not self._quiet:
            self._print(event, fields)

    def _print(self, event: str, fields: dict[str, Any]) -> None:
        match event:
            case "text.delta":
                self._answer(fields["text"])
            case "tool.started":
                self._beside("→ {} {}", fields["name"], fields["arguments"])
            case "tool.finished":
                mark = "✓" if fields["ok"] else "✗"
                self._beside(f"{mark} {{}} ({fields['latency_ms']:.0f} ms) {{}}", fields["name"], fields["content"])
            case "model.failed":
                self._failed = True
                self._beside("✗ {}{}", fields["message"])
            case "model.finished" if self._failed:
                self._failed = False
                self._beside("✓ {} answered{}", fields["target"])
            case "text.reset":
                if "length" in fields:
                    self._beside("({}{})", "the answer broke off: it is begun anew, and what stands above is void")
                else:
                    self._beside("({}{})", "the server was restarted: the last words above are said anew")
            case "decision.requested":
                self._beside("? {}{}", fields["question"])
                self._beside(
                    "  {}{}", f"golive runs decide {self.run or 'RUN'} {fields['id']} {'|'.join(fields['choices'])}"
                )
            case "decision.made":
                self._beside("✓ decided: {}{}", fields["choice"] + ("" if fields["by"] else " (the time was over)"))
            case "error":
                self._beside("✗ {}{}", f"{fields['message']} {fields['remedy']}".strip())
            case "run.finished":
                self._end(fields)
            case _:
                pass

    def _answer(self, text: str) -> None:
        for number, part in enumerate((safe(text) if sys.stdout.isatty() else text).split("\n")):
            if number:
                sys.stdout.write("\n")
                self._open_line = False
            if part:
                sys.stdout.write(part if self._open_line else self._margin() + part)
                self._open_line = True
        sys.stdout.flush()

    def _margin(self) -> str:
        """What stands before a line of the answer that is just beginning."""
        margin = " " * len(self._speaker) if self._speaking else self._speaker
        self._speaking = True
        return margin

    def close(self) -> None:
        """Ends a line of the answer that is still open."""
        if self._open_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._open_line = False

    def _beside(self, pattern: str, first: str, second: str = "") -> None:
        """One line; `second` is cut to what the terminal has room for."""
        self.close()
        self._speaking = False
        room = width() - len(pattern) - len(first)
        self._say(pattern.format(first, short(second, max(room, ROOM))).rstrip())

    def _end(self, result: dict[str, Any]) -> None:
        if result["message"]:
            self._beside("{}{}", result["message"])
        seconds = (result["finished_at"] or 0) - result["created_at"]
        usage = result["usage"]
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        parts = (
            result["outcome"] + ("" if result["reason"] in ("done", result["outcome"]) else f" ({result['reason']})"),
            f"{seconds:.2f} s",
            count(result["steps"], "step"),
            count(result["tool_calls"], "tool call"),
            count(tokens, "token"),
            _cost(result),
            result["run"],
        )
        self._beside("{}{}", " · ".join(parts))


def _cost(result: dict[str, Any]) -> str:
    if not result["priced"]:
        return "price unknown"
    return usd_text(result["cost_microusd"]) + (" (estimated)" if result.get("estimated") else "")
