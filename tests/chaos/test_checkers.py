"""What judges chaos can fail: each checker finds what is really broken in evidence that is otherwise whole."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.checkers import judge
from tests.chaos.clients import Record, Seen
from tests.chaos.evidence import Evidence
from tests.chaos.figures import paid_for_nothing, restarts, takeovers, told_failed_but_done
from tests.chaos.ledger import TOOLS, Line
from tests.chaos.project import EXPECTED
from tests.chaos.replica import Down, Frozen, Start

RUN = "run_1"
TEXT = "\n\n".join(EXPECTED["clerk"].texts)


def event(kind: str, epoch: int = 1, **body: Any) -> dict[str, Any]:
    return {"kind": kind, "epoch": epoch, "at": 100.0, "body": body}


def journal() -> list[dict[str, Any]]:
    """A clerk's run, whole."""
    asks, says = EXPECTED["clerk"].texts
    events = [
        event("run.accepted"),
        event("text.block", item="m1", channel="answer", text=asks),
        event("model.finished", step=1, request_id="req_1", cost_microusd=10),
    ]
    for number, tool in enumerate(TOOLS, 1):
        events.append(event("tool.started", key=f"{RUN}//{number}", name=tool))
        events.append(event("tool.finished", key=f"{RUN}//{number}", name=tool, ok=True))
    events += [
        event("text.block", item="", channel="answer", text="\n\n"),
        event("text.block", item="m2", channel="answer", text=says + " surplus"),
        event("text.reset", 2, step=2, item="m2", length=len(says)),
        event("model.finished", 2, step=2, request_id="req_2", cost_microusd=5),
        event("run.finished", 2),
    ]
    return [{**one, "seq": seq, "at": 100.0 + seq} for seq, one in enumerate(events, 1)]


def evidence() -> Evidence:
    """A round in which nothing is wrong."""
    row = {"run": RUN, "agent": "clerk", "source": "agent", "state": "finished", "outcome": "completed",
           "reason": "done", "cost_microusd": 15}  # fmt: skip
    result = {**row, "text": TEXT, "message": ""}
    record = Record(0, "stream", "clerk", RUN, result=result, ended="finished")
    for frame in (
        Seen(1, 1, "run.accepted", {}),
        Seen(1, 1 + len(TEXT), "text.delta", {"item": "m1", "text": TEXT}),
        Seen(1, 6 + len(TEXT), "text.delta", {"item": "m1", "text": "lost!"}),
        Seen(2, 1 + len(TEXT), "text.reset", {"pos": 1 + len(TEXT)}),
        Seen(2, 2 + len(TEXT), "run.finished", result),
    ):
        record.take(frame)
    lines = [
        Line(what, tool, f"{RUN}//{number}", RUN, 7, 101.0, 100.9)
        for number, tool in enumerate(TOOLS, 1) for what in ("attempt", "effect")
    ]  # fmt: skip
    bill = [{"id": f"chatcmpl-sim{n}", "cost_microusd": cost, "state": "completed"} for n, cost in ((1, 10), (2, 5))]
    return Evidence("sqlite", {RUN: row}, {RUN: result}, {RUN: journal()}, [record], lines, bill)


def test_whole_evidence_is_not_found_fault_with() -> None:
    """Text that was taken back, and a change of epochs, are no fault."""
    assert judge(evidence()) == []


def _vanish(found: Evidence) -> None:
    found.runs.clear()
    found.results.clear()
    found.journals.clear()
    found.effects.clear()


def _hole(found: Evidence) -> None:
    del found.journals[RUN][1]


def _after_the_end(found: Evidence) -> None:
    found.journals[RUN].append({**event("step.started", 2), "seq": len(found.journals[RUN]) + 1})


def _old_writer(found: Evidence) -> None:
    found.journals[RUN][-1]["epoch"] = 1


def _second_payment(found: Evidence) -> None:
    found.effects.append(Line("effect", "pay", f"{RUN}//9", RUN, 7, 102.0, 102.0))


def _second_mail(found: Evidence) -> None:
    found.effects += [line._replace(at=103.0, asked_at=103.0) for line in found.effects if line.tool == "mail"]


def _second_mail_of_a_sleeper(found: Evidence) -> None:
    _second_mail(found)
    found.frozen.append(Frozen(7, 101.5, 103.5))


def _fax_never_sent(found: Evidence) -> None:
    found.effects = [line for line in found.effects if (line.what, line.tool) != ("effect", "fax")]


def _without_intent(found: Evidence) -> None:
    found.journals[RUN] = [one for one in found.journals[RUN] if one["body"].get("key") != f"{RUN}//2"]
    for seq, one in enumerate(found.journals[RUN], 1):
        one["seq"] = seq


def _cut_short(found: Evidence) -> None:
    for row in (found.results[RUN],):
        row["text"] = TEXT[:-5]


def _paid_again(found: Evidence) -> None:
    found.journals[RUN][-2]["body"]["step"] = 1


def _too_cheap(found: Evidence) -> None:
    found.journals[RUN][2]["body"]["cost_microusd"] = 1
    found.runs[RUN]["cost_microusd"] = 6


def _unbilled(found: Evidence) -> None:
    found.bill.pop()


def _sum_is_wrong(found: Evidence) -> None:
    found.runs[RUN]["cost_microusd"] = 16


def _frame_missing(found: Evidence) -> None:
    found.records[0].take(Seen(2, 9 + len(TEXT), "text.delta", {"item": "m2", "text": "x"}))


def _client_shows_more(found: Evidence) -> None:
    found.records[0].frames[1].data["text"] += "!"


def _client_gave_up(found: Evidence) -> None:
    found.records[0].ended = ""


def _undecided(found: Evidence) -> None:
    found.journals[RUN][1]["kind"], found.journals[RUN][1]["body"] = "decision.requested", {"id": "dec_1"}


def _interrupted(found: Evidence) -> None:
    found.runs[RUN] |= {"outcome": "failed", "reason": "interrupted"}


def _still_running(found: Evidence) -> None:
    found.runs[RUN]["state"] = "running"


BROKEN: tuple[tuple[Callable[[Evidence], None], str], ...] = (
    (_vanish, "lost"), (_client_gave_up, "lost"), (_still_running, "lost"), (_interrupted, "not completed"),
    (_hole, "gap"), (_after_the_end, "gap"), (_old_writer, "old epoch"), (_second_payment, "twice"),
    (_second_mail, "twice"), (_second_mail_of_a_sleeper, "woke"), (_fax_never_sent, "effect lost"),
    (_without_intent, "no intent"), (_cut_short, "cut"), (_cut_short, "text"), (_cut_short, "stream"),
    (_paid_again, "again"), (_too_cheap, "money"), (_unbilled, "money"), (_sum_is_wrong, "money"),
    (_frame_missing, "stream"), (_client_shows_more, "stream"), (_undecided, "decision"),
)  # fmt: skip


@pytest.mark.parametrize(("breaks", "rule"), BROKEN, ids=[f"{breaks.__name__}-{rule}" for breaks, rule in BROKEN])
def test_what_is_broken_is_found(breaks: Callable[[Evidence], None], rule: str) -> None:
    """One thing broken, and the rule that it breaks is named."""
    found = copy.deepcopy(evidence())
    breaks(found)
    assert rule in {finding.rule for finding in judge(found)}


def test_a_second_intent_needs_a_persons_word() -> None:
    """An effect that is begun again is a fault, unless somebody said so."""
    found = evidence()
    twice = {**event("tool.started", key=f"{RUN}//1", name="pay"), "seq": 5}
    found.journals[RUN].insert(4, twice)
    assert "again" not in {finding.rule for finding in judge(found)}, "payments declare that they may be repeated"
    for started in found.journals[RUN]:
        if started["kind"] == "tool.started":
            started["body"]["name"] = "fax"
    assert "again" in {finding.rule for finding in judge(found)}
    found.journals[RUN][4:4] = [
        {**event("decision.requested", id="dec_1", key=f"{RUN}//1"), "seq": 5},
        {**event("decision.made", id="dec_1", choice="again"), "seq": 6},
    ]
    assert "again" not in {finding.rule for finding in judge(found)}


def test_a_text_that_was_begun_anew_is_shown_as_it_stands() -> None:
    """A reset by item and length takes back that item's text alone; one by position goes back in the stream."""
    record = Record(0, "stream", "talk")
    for frame in (
        Seen(1, 3, "text.delta", {"item": "a", "text": "one"}),
        Seen(1, 5, "text.delta", {"item": "", "text": "\n\n"}),
        Seen(1, 8, "text.delta", {"item": "b", "text": "two"}),
        Seen(1, 9, "text.reset", {"item": "b", "length": 1}),
        Seen(1, 12, "text.delta", {"item": "b", "text": "hre"}),
        Seen(2, 11, "text.reset", {"pos": 11}),
    ):
        record.take(frame)
    assert (record.shown(), record.torn, record.resets) == ("one\n\nthr", [], 2)


def test_a_reset_behind_another_takes_that_one_back_too() -> None:
    """A stream that stands before a reset has the text that the reset took away."""
    record = Record(0, "stream", "talk")
    for frame in (
        Seen(1, 3, "text.delta", {"item": "a", "text": "one"}),
        Seen(1, 4, "text.reset", {"item": "a", "length": 0}),
        Seen(2, 2, "text.reset", {"pos": 2}),
    ):
        record.take(frame)
    assert record.shown() == "on"


def test_times_are_taken_from_the_journals() -> None:
    """From exec and from ready to the first event that is written after."""
    found = evidence()
    events = found.journals[RUN]
    events[-3]["at"], events[-2]["at"] = 120.0, 130.0
    events[-1]["at"] = 131.0
    found.downs = [Down("r1", "kill", 125.0)]
    found.starts = [Start("r1", 90.0, 91.0), Start("r1", 126.0, 127.0)]
    assert restarts(found) == {
        "ready_after_exec": [1.0, 1.0],
        "first_event_after_exec": [4.0],
        "first_event_after_ready": [3.0],
    }


def _handed_on(latter: str, *downs: Down) -> Evidence:
    """A run that r1 carried to 110, and another holder from 116 on."""
    found = evidence()
    found.store = "postgres"
    begun = [
        {**event("run.started", holder=f"{name}/srv_{at}"), "at": at} for name, at in (("r1", 100.5), (latter, 116.0))
    ]
    found.journals[RUN][1:1] = begun[:1]
    found.journals[RUN][-2:-2] = begun[1:]
    for seq, one in enumerate(found.journals[RUN], 1):
        one["seq"] = seq
    found.starts = [Start("r1", 90.0, 91.0), Start("r2", 90.0, 91.0)]
    found.downs = list(downs)
    return found


def test_a_takeover_is_timed_from_the_holders_end() -> None:
    """By another replica that was there all the time, and by the successor of the dead."""
    killed = Down("r1", "kill", 112.0)
    assert takeovers(_handed_on("r2", killed, Down("r3", "kill", 111.0)))["takeover_by_another"] == [4.0]
    assert takeovers(_handed_on("r1", killed))["takeover_by_its_successor"] == [4.0]
    assert takeovers(_handed_on("r2", killed, Down("r2", "freeze", 113.0)))["takeover_by_another"] == []
    assert takeovers(_handed_on("r2", Down("r1", "freeze", 113.0)))["takeover_by_another"] == [3.0]


def test_a_takeover_in_mid_call_counts_apart() -> None:
    """What the former holder had begun is found out first."""
    found = _handed_on("r2", Down("r1", "kill", 112.0))
    found.journals[RUN].insert(2, {**event("tool.started", key="x", name="pay"), "seq": 2})
    assert takeovers(found)["takeover_in_mid_call"] == [4.0]


def test_time_spent_waiting_for_a_person_is_no_takeover() -> None:
    """A run at rest is taken over by nobody."""
    found = _handed_on("r2", Down("r1", "kill", 112.0))
    found.journals[RUN][-4] |= {"kind": "decision.requested", "at": 111.0}
    assert takeovers(found)["takeover_by_another"] == []


def test_money_for_nothing_is_counted() -> None:
    """A call whose answer no run has is on the bill all the same."""
    found = evidence()
    found.bill.append({"id": "chatcmpl-sim3", "cost_microusd": 4, "state": "aborted by client"})
    assert paid_for_nothing(found) == {
        "calls": 1, "whole_calls": 0, "cost_microusd": 4, "billed_microusd": 19, "known_to_runs_microusd": 15,
    }  # fmt: skip


def test_what_is_told_as_failed_and_was_done_is_counted() -> None:
    """By tool and code."""
    found = evidence()
    ends = [one["body"] for one in found.journals[RUN] if one["kind"] == "tool.finished"]
    ends[0] |= {"ok": False, "error_code": "tool.worker_crashed"}
    assert told_failed_but_done(found) == {"pay: tool.worker_crashed": 1}
