"""What must hold after chaos. Each checker is a function from the evidence to findings, and knows the promises alone:
it reads what the API, the clients, the outside world and the provider's bill say, and none of the server's code."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.chaos.evidence import Evidence
from tests.chaos.project import DECLARED, EXPECTED

BETWEEN_STEPS = "\n\n"
"""What stands between the texts of two steps."""
CUT_OFF = ("model.cut", "model.not_continued")
"""How a run may end whose client cannot take back what it was shown (a chat), when the model breaks off."""


class Finding(NamedTuple):
    """Something that must not be. `rule` is the checker's name."""

    rule: str
    run: str
    what: str


Checker = Callable[[Evidence], Iterator[Finding]]


def nothing_is_lost(found: Evidence) -> Iterator[Finding]:
    """Every run that was acknowledged exists, and has ended; no client gave up waiting for one."""
    for record in found.records:
        if record.run and record.run not in found.runs:
            yield Finding("lost", record.run, f"client {record.number} was told of it, and it is nowhere")
        if not record.ended:
            yield Finding("lost", record.run, f"client {record.number} ({record.kind}) gave up: no end came")
    for run, row in found.runs.items():
        if row["state"] != "finished":
            yield Finding("lost", run, f"it is still {row['state']}")


def agents_runs_are_carried_on(found: Evidence) -> Iterator[Finding]:
    """A crash ends no agent's run: it is gone on with. (A relayed call cannot be: that it ended is told.)"""
    for run, row in found.runs.items():
        allowed = row["reason"] in CUT_OFF and found.journals[run][0]["body"].get("unbroken")
        if row["source"] == "agent" and row["outcome"] != "completed" and not allowed:
            yield Finding("not completed", run, f"{row['outcome']} ({row['reason']}): {found.results[run]['message']}")


def journals_are_whole(found: Evidence) -> Iterator[Finding]:
    """Events count from 1 without a gap, epochs never go back, it begins with accepted and ends with finished."""
    for run, events in found.journals.items():
        numbers = [event["seq"] for event in events]
        if numbers != list(range(1, len(events) + 1)):
            yield Finding("gap", run, f"events are numbered {_short(numbers)}")
        epochs = [event["epoch"] for event in events]
        if epochs != sorted(epochs):
            yield Finding("old epoch", run, f"epochs go {_short(epochs)}")
        kinds = [event["kind"] for event in events]
        if not kinds or kinds[0] != "run.accepted":
            yield Finding("gap", run, f"it begins with {kinds[:1]}")
        if "run.finished" in kinds[:-1]:
            yield Finding("gap", run, "something follows its end")


def streams_join(found: Evidence) -> Iterator[Finding]:
    """Positions of a client's stream fit end to end, and what it shows at the end is the run's text."""
    for record in found.records:
        for torn in record.torn:
            yield Finding("stream", record.run, f"client {record.number}: {torn}")
        if record.ended != "finished" or record.run not in found.results:
            continue
        text = found.results[record.run]["text"]
        if record.kind == "relay":  # what is relayed is nowhere kept
            text = EXPECTED[record.agent].texts[0]
        shown = record.shown() if record.kind == "stream" else record.text
        if shown != text:
            how = f"client {record.number} ({record.kind}) shows {shown[-60:]!r} ({len(shown)} characters)"
            yield Finding("stream", record.run, f"{how}, the run says {text[-60:]!r} ({len(text)})")
        told = record.result
        if told is not None and (told["outcome"], told["text"]) != (found.results[record.run]["outcome"], text):
            yield Finding("stream", record.run, f"client {record.number} was told of another end: {told['outcome']}")


def journals_tell_the_text(found: Evidence) -> Iterator[Finding]:
    """The blocks of a journal, less what was reset, are the run's text."""
    for run, events in found.journals.items():
        parts: list[list[str]] = []
        for event in events:
            body = event["body"]
            if event["kind"] == "text.block" and body["channel"] == "answer":
                parts.append([body["item"], body["text"]])
            elif event["kind"] == "text.reset":
                keep = body["length"]
                for part in parts:
                    if part[0] == body["item"]:
                        part[1] = part[1][: max(0, keep)]
                        keep -= len(part[1])
        text = "".join(text for _, text in parts)
        if text != found.results[run]["text"]:
            yield Finding(
                "text", run, f"its journal says {text[-60:]!r}, its result {found.results[run]['text'][-60:]!r}"
            )


def nothing_cut_is_completed(found: Evidence) -> Iterator[Finding]:
    """A completed run gave every word that the model had to say, and did all that it was to do."""
    for run, row in found.runs.items():
        expected = EXPECTED.get(row["agent"])
        if expected is None or row["outcome"] != "completed" or row["source"] == "relay":
            continue
        text = BETWEEN_STEPS.join(expected.texts)
        if found.results[run]["text"] != text:
            said = found.results[run]["text"]
            yield Finding("cut", run, f"it is completed with {len(said)} of {len(text)} characters: …{said[-60:]!r}")
        called = [event["body"]["name"] for event in found.journals[run] if event["kind"] == "tool.finished"]
        if sorted(called) != sorted(expected.tools):
            yield Finding("cut", run, f"it is completed with outcomes of {called}")


def effects_happen_once(found: Evidence) -> Iterator[Finding]:
    """No effect twice (a note may be written again), none without an intent, none lost that the run says is done."""
    done = Counter((line.run, line.tool) for line in found.effects if line.what == "effect")
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in found.effects:
        keys[line.run, line.tool].add(line.key)
    for (run, tool), count in done.items():
        if len(keys[run, tool]) > 1:
            yield Finding("twice", run, f"{tool} under {len(keys[run, tool])} keys: {sorted(keys[run, tool])}")
        elif count > 1 and tool != "note":
            which = "woke" if _woke(found, run, tool) else "twice"
            yield Finding(which, run, f"{tool} {count} times under one key{_when(found, run, tool)}")
    intents = {
        (run, event["body"]["key"])
        for run, events in found.journals.items() for event in events if event["kind"] == "tool.started"
    }  # fmt: skip
    for line in found.effects:
        if (line.run, line.key) not in intents:
            yield Finding("no intent", line.run, f"{line.tool} under {line.key}, which its journal does not have")
    for run, events in found.journals.items():
        for event in events:
            body = event["body"]
            if event["kind"] == "tool.finished" and body["ok"] and not done[run, body["name"]]:
                yield Finding("effect lost", run, f"{body['name']} is said to be done, and was not")


def _woke(found: Evidence, run: str, tool: str) -> bool:
    """Whether the later request came from a process that had begun it, and then stood still past a lease.

    A question "was it done?" cannot see a request that a frozen process has not sent yet. Whoever receives must tell
    by the key, as the payments of this test do.
    """
    attempts = [line for line in found.effects if (line.what, line.run, line.tool) == ("attempt", run, tool)]
    return all(
        any(ice.pid == line.pid and ice.since < line.at and ice.until > line.asked_at for ice in found.frozen)
        for line in attempts[1:]
    )


def _when(found: Evidence, run: str, tool: str) -> str:
    lines = [line for line in found.effects if (line.run, line.tool) == (run, tool)]
    first = lines[0].at if lines else 0.0
    return "".join(f"; {line.what} +{line.at - first:.2f} s by {line.pid}" for line in lines)


def steps_are_paid_once(found: Evidence) -> Iterator[Finding]:
    """A step has one finished model call, an effect one outcome. It has one intent, too: another for each time that a
    person said to do it again, and as many as it takes for tools that declare that they may be called again."""
    for run, events in found.journals.items():
        seen: Counter[tuple[str, Any]] = Counter()
        for event in events:
            if event["kind"] == "model.finished":
                seen["model.finished of step", event["body"]["step"]] += 1
            elif event["kind"] == "tool.finished" or _is_single_intent(event):
                seen[event["kind"], event["body"]["key"]] += 1
        again = _said_again(events)
        for (what, which), count in seen.items():
            if count > 1 + (again[which] if what == "tool.started" else 0):
                yield Finding("again", run, f"{what} {which} stands {count} times")


def _is_single_intent(event: dict[str, Any]) -> bool:
    """An intent of a tool that declares neither that a lost call may be made again, nor how to find out about it."""
    return event["kind"] == "tool.started" and event["body"].get("name") not in DECLARED


def _said_again(events: list[dict[str, Any]]) -> Counter[Any]:
    """How often a person decided so, by the effect's key."""
    asked = {event["body"]["id"]: event["body"].get("key") for event in events if event["kind"] == "decision.requested"}
    made = [event["body"] for event in events if event["kind"] == "decision.made"]
    return Counter(asked.get(body["id"]) for body in made if body["choice"] == "again")


def money_is_right(found: Evidence) -> Iterator[Finding]:
    """A call that was finished costs what the provider says; a run costs the sum of its calls."""
    bill = {int(line["id"].rpartition("sim")[2]): line for line in found.bill}
    for run, events in found.journals.items():
        total = 0
        for event in events:
            body = event["body"]
            total += body.get("cost_microusd", 0) if event["kind"] in ("model.finished", "model.failed") else 0
            if event["kind"] != "model.finished" or body.get("usage_estimated"):
                continue
            number = (body.get("request_id") or "").rpartition("_")[2]
            line = bill.get(int(number)) if number.isdigit() else None
            if line is None:
                yield Finding("money", run, f"step {body['step']} was answered by {number!r}, which is not on the bill")
            elif line["cost_microusd"] != body["cost_microusd"]:
                yield Finding(
                    "money", run, f"step {body['step']}: {body['cost_microusd']}, billed {line['cost_microusd']}"
                )
        if total != found.runs[run]["cost_microusd"]:
            yield Finding("money", run, f"its calls cost {total}, the run {found.runs[run]['cost_microusd']}")


def decisions_are_recorded(found: Evidence) -> Iterator[Finding]:
    """Whatever was asked has been decided, and once."""
    for run, events in found.journals.items():
        asked = [event["body"]["id"] for event in events if event["kind"] == "decision.requested"]
        made = [event["body"]["id"] for event in events if event["kind"] == "decision.made"]
        if found.runs[run]["state"] == "finished" and sorted(asked) != sorted(made):
            yield Finding("decision", run, f"asked {asked}, decided {made}")
    for refusal in found.refusals:
        yield Finding("decision", "", refusal)


CHECKERS: tuple[Checker, ...] = (
    nothing_is_lost, agents_runs_are_carried_on, journals_are_whole, streams_join, journals_tell_the_text,
    nothing_cut_is_completed, effects_happen_once, steps_are_paid_once, money_is_right, decisions_are_recorded,
)  # fmt: skip


def judge(found: Evidence) -> list[Finding]:
    """Everything that must not be, by all checkers."""
    return [finding for checker in CHECKERS for finding in checker(found)]


def _short(values: list[int]) -> str:
    shown = ", ".join(map(str, values[:40]))
    return shown + (", …" if len(values) > 40 else "")
