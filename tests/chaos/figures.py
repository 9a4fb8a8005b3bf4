"""Figures of a round: how soon work goes on after a death, what a crash made to be paid again, what became of all."""

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from tests.chaos.evidence import Evidence

Spread = dict[str, float]
FREEZE_S = 6.0
"""Longest time that a replica is frozen."""


def spread(values: list[float]) -> Spread:
    """Count, median, 95th and highest; {} of nothing."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50": round(ordered[len(ordered) // 2], 3),
        "p95": round(ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)], 3),
        "max": round(ordered[-1], 3),
    }


def restarts(found: Evidence) -> dict[str, list[float]]:
    """For each start with work waiting: when the first new event was written, after exec and after ready, seconds.

    One server alone: whatever is written after its start, it wrote. Its journal is read from the API.
    """
    events = sorted(event["at"] for events in found.journals.values() for event in events)
    spans = [(events_[0]["at"], events_[-1]["at"]) for events_ in found.journals.values() if events_]
    downs = sorted(down.at for down in found.downs)
    after_exec, after_ready, ready = [], [], []
    for start in found.starts:
        ready.append(start.ready_at - start.exec_at)
        if found.store != "sqlite":  # others write too
            continue
        before = [at for at in downs if at <= start.exec_at]
        after = [at for at in downs if at > start.exec_at]
        if not before or not any(begun < before[-1] and ended > start.exec_at for begun, ended in spans):
            continue
        first = next((at for at in events if at > start.exec_at), None)
        if first is None or (after and first > after[0]):
            continue
        after_exec.append(first - start.exec_at)
        after_ready.append(max(0.0, first - start.ready_at))
    found_times = {"ready_after_exec": ready}
    if found.store == "sqlite":
        found_times |= {"first_event_after_exec": after_exec, "first_event_after_ready": after_ready}
    return found_times


class Change(NamedTuple):
    """A run that went from one holder to another: `died` is the former's end, `went_on` the latter's first event.

    `in_mid_call`: the former had begun a tool's call, whose outcome is found out first.
    """

    former: str
    latter: str
    died: float
    went_on: float
    in_mid_call: bool


def changes(found: Evidence) -> list[Change]:
    """Every change of holders whose former was killed, frozen or drained; `run.started` names the holders."""
    seen = []
    for events in found.journals.values():
        begun = [event for event in events if event["kind"] == "run.started"]
        for before, after in pairwise(begun):
            former, latter = (event["body"]["holder"].partition("/")[0] for event in (before, after))
            span = [down for down in found.downs if down.replica == former and before["at"] < down.at <= after["at"]]
            died = [down.at for down in span if down.how != "freeze"][:1] or [down.at for down in span][-1:]
            if died and not _waited(events, before["seq"], after["seq"], died[0]):
                earlier = [event for event in events if event["seq"] < after["seq"]]
                seen.append(Change(former, latter, died[0], after["at"], _calling(earlier)))
    return seen


def _calling(events: list[dict[str, Any]]) -> bool:
    """Whether a call has no outcome yet."""
    kinds = Counter(event["kind"] for event in events)
    return kinds["tool.started"] > kinds["tool.finished"]


def _waited(events: list[dict[str, Any]], first: int, last: int, died: float) -> bool:
    """Whether the run was at rest in between: it waited for a person, and not for another holder."""
    between = [event for event in events if first < event["seq"] < last]
    return any(event["kind"].startswith("decision.") for event in between if event["at"] >= died) or (
        bool(between) and between[-1]["kind"] == "decision.requested"
    )


def takeovers(found: Evidence) -> dict[str, list[float]]:
    """Seconds from a holder's end to the next one's first event: by another replica, or by its own successor.

    By another counts only where one was there all the time: with all of them dead or frozen nobody can. In the middle
    of a tool's call it takes as long as the call may still take effect.
    """
    times: dict[str, list[float]] = {
        "takeover_by_another": [], "takeover_by_its_successor": [], "takeover_in_mid_call": [],
    }  # fmt: skip
    for change in changes(found):
        took_s = change.went_on - change.died
        if change.in_mid_call:
            times["takeover_in_mid_call"].append(took_s)
        elif change.former == change.latter:
            times["takeover_by_its_successor"].append(took_s)
        elif _there(found, change.latter, change.died, change.went_on):
            times["takeover_by_another"].append(took_s)
    return times


def _there(found: Evidence, replica: str, since: float, until: float) -> bool:
    """Whether a replica answered all that time."""
    ready = any(start.replica == replica and start.ready_at <= since for start in found.starts)
    starting = any(
        start.replica == replica and start.exec_at < until and start.ready_at > since for start in found.starts
    )
    fell = any(down.replica == replica and since - FREEZE_S < down.at < until for down in found.downs)
    return ready and not starting and not fell


def told_failed_but_done(found: Evidence) -> Counter[str]:
    """Effects that happened though the run was told that the call failed, by tool and code."""
    done = {(line.run, line.tool) for line in found.effects if line.what == "effect"}
    counts: Counter[str] = Counter()
    for run, events in found.journals.items():
        for event in events:
            body = event["body"]
            if event["kind"] == "tool.finished" and not body["ok"] and (run, body["name"]) in done:
                counts[f"{body['name']}: {body.get('error_code')}"] += 1
    return counts


def paid_for_nothing(found: Evidence) -> dict[str, int]:
    """Calls on the provider's bill whose answer no run has: what crashes and faults cost in money."""
    used = set()
    for events in found.journals.values():
        for event in events:
            if event["kind"] == "model.finished":
                number = (event["body"].get("request_id") or "").rpartition("_")[2]
                used.add(int(number) if number.isdigit() else -1)
    lost = [line for line in found.bill if int(line["id"].rpartition("sim")[2]) not in used]
    return {
        "calls": len(lost),
        "whole_calls": sum(line["state"] == "completed" for line in lost),
        "cost_microusd": sum(line["cost_microusd"] for line in lost),
        "billed_microusd": sum(line["cost_microusd"] for line in found.bill),
        "known_to_runs_microusd": sum(row["cost_microusd"] for row in found.runs.values()),
    }


def figures(found: Evidence) -> dict[str, Any]:
    """All of a round, for the report."""
    ends = Counter(f"{row['source']} {row['outcome']}/{row['reason']}" for row in found.runs.values())
    epochs = [events[-1]["epoch"] for events in found.journals.values() if events]
    attempts = Counter(line.tool for line in found.effects if line.what == "attempt")
    done = Counter(line.tool for line in found.effects if line.what == "effect")
    decisions = sum(e["kind"] == "decision.requested" for events in found.journals.values() for e in events)
    return {
        "runs": len(found.runs),
        "ends": dict(ends),
        "acknowledged": sum(bool(record.run) for record in found.records),
        "unacknowledged": sum(record.unacknowledged for record in found.records),
        "refused": sum(record.refused for record in found.records),
        "resumes_of_clients": sum(record.resumes for record in found.records),
        "resets_of_clients": sum(record.resets for record in found.records),
        "clients_ended": dict(Counter(f"{record.kind} {record.ended or 'gave up'}" for record in found.records)),
        "runs_taken_up_again": sum(epoch > 1 for epoch in epochs),
        "most_epochs_of_a_run": max(epochs, default=0),
        "attempts": dict(attempts),
        "effects": dict(done),
        "told_failed_but_done": dict(told_failed_but_done(found)),
        "decisions": decisions,
        "decided": dict(Counter(found.decided.values())),
        "paid_for_nothing": paid_for_nothing(found),
        "failed_starts": len(found.failed_starts),
        "ended_after_last_fault_s": round(found.ended_after_s, 2),
    }


def times(found: Evidence) -> dict[str, list[float]]:
    """All times of a round, seconds; over several rounds they are put together before a spread is taken."""
    return restarts(found) | (takeovers(found) if found.store == "postgres" else {})
