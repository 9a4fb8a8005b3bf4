"""What does the user see while providers are out, overloaded, slow or talk nonsense, and when are they asked again?"""

import statistics
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from golive.checklist.drill import ROUNDING_S, WORK_S, asking, course, of, saw, scale, shown, timed, too_long
from golive.checklist.faces import Heard, hear
from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.simulator import Asked
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.core.tasks import Tasks
from golive.sim.control import Outage
from golive.sim.script import Script

AFTERWARDS = 10
"""Runs at once, when the breaker has learned."""
MOST_LEARNING = 20
"""Runs for which we wait until a breaker opens; one that takes more failures is not waited for."""
ADDED_S = 1.0
"""What a dead first target may add to an answer, seconds of the machine; on an idle one it is milliseconds."""
PAUSE_S = 12.0
"""Retry-After of the overloaded provider, seconds of the server's clock."""
STORM = 2.25
"""How many pauses the overload lasts."""


@check(
    "MD-2.down",
    row="MD-2",
    title="With the first target down, every run is answered by the next, and the dead one is soon left alone",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent"},
    remediation="Give each tier a chain of two targets or more, at different providers.",
)
async def down(target: Target) -> Result:
    """One after the other until the breaker opens, then many at once; compared with runs before the outage."""
    twin = target.twin
    way = course(twin)
    failures = twin.loaded.config.breaker.failures * way.credentials  # each credential has a breaker of its own
    found = Finding(f"100 % answered, at most {ADDED_S:g} s later than before; an open breaker's target is not asked")
    if way.alone:
        return found.unknown(f"{way.alone}; with that one out, nobody answers")
    well = [await hear(twin, f"All is well. ({number})") for number in range(5)]
    found.saw(await twin.simulator.play(Script(refuse=True), models=[way.primary]))
    learning = [await hear(twin, f"Is it down? ({number})") for number in range(min(failures, MOST_LEARNING))]
    await twin.simulator.forget()
    async with Tasks("runs") as tasks:
        started = [tasks.start(hear(twin, f"Still down? ({n})"), f"run {n}") for n in range(AFTERWARDS)]
    after = [task.result() for task in started]
    asked = of(await twin.simulator.received(), way.primary)
    heard = learning + after
    answered = sum(each.answered for each in heard)
    added = [max(0.0, _worst(group) - _middle(well)) for group in (learning, after)]
    found.saw(saw(twin, learning[0], "the first run of the outage"))
    found.saw(saw(twin, after[-1], "the last one, of many at once"))
    found.measured = (
        f"{answered} of {len(heard)} answered; added latency at most {added[0] * 1000:.0f} ms while the breaker "
        f"learned, {added[1] * 1000:.0f} ms after, {AFTERWARDS} at once; the first target was then asked {len(asked)} "
        f"times; {shown(heard[-1])}; {scale(twin)}"
    )
    if answered < len(heard):
        lost = next(each for each in heard if not each.answered)
        return found.failed(
            f"{len(heard) - answered} runs were not answered: {lost.ending or 'no end'} ({lost.reason})"
        )
    if failures <= MOST_LEARNING and asked:
        return found.failed(f"after {failures} failures in a row {way.primary} was asked {len(asked)} times more")
    if max(added) > ADDED_S:
        return found.failed(f"an answer came {max(added):.2f} s later than before the outage")
    return found.passed()


@check(
    "MD-2.all-down",
    row="MD-2",
    title="With every target down, runs end soon and in the user's words, and errors say when to try again",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent", "clock"},
    where="fast",
    remediation="Keep [retry] and [breaker] small enough for users who wait; pass Retry-After on to clients.",
)
async def all_down(target: Target) -> Result:
    """All connections are reset: a run ends after its retries, later ones at once; a client of a model gets a time."""
    twin = await target.twin.fast()
    way, breaker = course(twin), twin.loaded.config.breaker
    retry = twin.loaded.config.retry
    waits_s = sum(min(retry.most_s, retry.first_s * 2**number) * 1.5 for number in range(way.retries))
    latest_s = min(waits_s, way.deadline_s) + WORK_S * twin.speed
    found = Finding(
        f"failed or partial within {latest_s:g} s, with a message; with breakers open a model answers at once, and so "
        f"does the agent, both with a Retry-After of 1 to {breaker.open_s:g} s"
    )
    failures = breaker.failures * way.credentials
    if why := _too_many(failures) or too_long(twin, latest_s):
        return found.unknown(why)
    twin.worn = True
    found.saw(await twin.simulator.begin_outage(Outage()))
    heard = await hear(twin, "Is anybody there?")
    seconds = timed(twin, heard.reply)
    found.saw(saw(twin, heard, f"all targets are out; the run ended after {seconds:.1f} s of the server's time"))
    told = await _until_open(twin, way.primary, failures)
    found.saw(twin.http.evidence(told, "a client of the model itself"))
    for other in way.others:
        await _until_open(twin, other, failures)
    own = await twin.send("POST", "/v1/chat/completions", twin.chat("Will you answer?"))
    found.saw(twin.http.evidence(own, "a client of the agent"))
    again = await hear(twin, "And now?")
    found.saw(saw(twin, again, "a run when the breakers have learned"))
    after, own_after = (reply.headers.get("retry-after", "none") for reply in (told, own))
    found.measured = (
        f"0 of 2 answered; outcome {heard.ending} after {seconds:.1f} s, then {again.ending} after "
        f"{timed(twin, again.reply):.1f} s; {shown(heard)}; the model's client: {told.status}, Retry-After {after}; "
        f"the agent's: {own.status}, Retry-After {own_after}; {scale(twin)}"
    )
    for each in (heard, again):
        if each.ending not in ("failed", "partial"):
            return found.failed(f"a run ended as {each.ending or 'nothing'}, though nobody answered")
        if not each.message or "Traceback" in each.message or way.primary in each.message:
            return found.failed(f"the user is told nothing that a user understands: {each.message!r}")
        if timed(twin, each.reply) > latest_s:
            return found.failed(f"a run took {timed(twin, each.reply):.0f} s to end")
    if told.status not in (429, 503):
        return found.failed(f"a client of {way.primary} is told {told.status}, and not to come back later")
    if not after.isdigit() or not 1 <= int(after) <= breaker.open_s + 1:
        return found.failed(f"a client of {way.primary} is not told when to try again (Retry-After: {after})")
    if own.status < 429 or not own_after.isdigit() or not 1 <= int(own_after) <= breaker.open_s + 1:
        return found.failed(
            f"a client of the agent is told {own.status}, and not when to try again (Retry-After: {own_after})"
        )
    if again.reason == "model.circuit_open" and again.retry_after_s is None:
        return found.failed("a run that no model answered does not say when to try again, though the breakers know")
    return found.passed()


@check(
    "MD-2.slow",
    row="MD-2",
    title="A provider that is slow, but within the limits, is waited for and answers",
    phase="resilience",
    severity="major",
    needs={"inject", "golive", "agent", "clock"},
    where="fast",
    remediation="Raise first_token_s, between_tokens_s or call_s where your provider is often that slow.",
)
async def slow(target: Target) -> Result:
    """First token at six tenths of its limit, then words with long pauses, all within two thirds of call_s."""
    twin = await target.twin.fast()
    way = course(twin)
    longest_s = min(way.call_s, way.deadline_s)
    first_s = min(way.first_token_s * 0.6, longest_s / 3)
    pace_s = min(way.between_tokens_s * 0.6, longest_s / 9)
    found = Finding("answered by the first target at its first attempt, nothing taken back")
    if why := too_long(twin, first_s + 3 * pace_s):
        return found.unknown(why)
    script = Script(text="Slow, but here.", first_token_ms=first_s * 1000, pace_ms=pace_s * 1000)
    if way.text is None:
        script = Script(first_token_ms=first_s * 1000)
    found.saw(await twin.simulator.play(script, models=[way.primary]))
    heard = await hear(twin, "Take your time.")
    _, events = await twin.journal(heard.reply.headers.get("x-request-id", ""))
    seconds = timed(twin, heard.reply)
    found.saw(saw(twin, heard, f"a first token after {first_s:g} s, then one every {pace_s:g} s"))
    found.measured = (
        f"{heard.answered:d} of 1 answered: {heard.ending} after {seconds:.1f} s, the first token due after "
        f"{first_s:.1f} s and each further one after {pace_s:.1f} s; {heard.resets} resets; {shown(heard)}; "
        f"{scale(twin)}"
    )
    failed = [f"{event['body'].get('code')}" for event in events if event["kind"] == "model.failed"]
    if failed or heard.resets:
        return found.failed(f"the provider was given up ({', '.join(failed)}) though it kept every limit")
    return found.passed() if heard.answered else found.failed(f"the run ended as {heard.ending} ({heard.reason})")


@check(
    "MD-2.malformed",
    row="MD-2",
    title="A provider that answers nonsense is recognised, and the user gets a whole answer from another attempt",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent", "clock"},
    where="fast",
    remediation="Give the chain a second target, or `retries` above 0; keep on_break at continue or reset.",
)
async def malformed(target: Target) -> Result:
    """Once each: a proxy's page, false gzip, broken JSON and UTF-8 in mid-answer, a number that is none."""
    twin = await target.twin.fast()
    way = course(twin)
    found = Finding("100 % answered, with the whole text of one answer")
    if way.alone and not way.retries:
        return found.unknown(f"{way.alone}; and it is not asked again (retries = 0)")
    text = way.text
    nonsense = {
        "html": Script(garbage="html"),
        "gzip": Script(garbage="gzip"),
        "json": Script(text=text, malformed="json"),
        "utf8": Script(text=text, malformed="utf8"),
        "nan": Script(text=text, usage="nan"),
    }
    await twin.simulator.play(Script(text=text))
    faults, answered, latest_s, last = [], 0, 0.0, ""
    for kind, script in nonsense.items():
        await twin.simulator.play(script, times=1, models=[way.primary])
        heard = await hear(twin, f"Do you make sense? ({kind})")
        found.saw(saw(twin, heard, f"once {kind}, then well"))
        latest_s, last = max(latest_s, timed(twin, heard.reply)), shown(heard)
        broken = way.tier.on_break == "fail" and heard.ending == "partial" and kind in ("json", "utf8", "nan")
        if not heard.answered and not broken:
            faults.append(f"{kind}: the run ended as {heard.ending or 'nothing'} ({heard.reason})")
        elif text is not None and heard.text != text and not broken:
            faults.append(f"{kind}: the user was left with {heard.text[:80]!r}")
        else:
            answered += 1
    found.measured = (
        f"{answered} of {len(nonsense)} answered, the latest after {latest_s:.1f} s (the first target is asked again, "
        f"after a pause, where no other stands behind it); {last}; {scale(twin)}"
    )
    return found.failed("; ".join(faults)) if faults else found.passed()


@check(
    "MD-3.retry-after",
    row="MD-3",
    title="A provider that says when to come back (429, Retry-After) is not asked before, and users are answered",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent", "clock"},
    where="fast",
    remediation="Give the chain a second target or the provider a second credential; keep retry.most_s above 12.",
    references=("https://www.rfc-editor.org/rfc/rfc9110#name-retry-after",),
)
async def retry_after(target: Target) -> Result:
    """A storm of 429 over two pauses with users asking all the while; alone, one 429, which a run waits for."""
    twin = await target.twin.fast()
    way = course(twin)
    found = Finding(f"100 % answered; {PAUSE_S:g} s or more between two requests to the overloaded target's credential")
    script = Script(status=429, retry_after=PAUSE_S)
    await twin.simulator.forget()
    if way.alone:
        if not way.retries or twin.loaded.config.retry.most_s < PAUSE_S or way.deadline_s <= PAUSE_S:
            return found.unknown(f"{way.alone}; and a run does not wait {PAUSE_S:g} s for it")
        found.saw(await twin.simulator.play(script, times=way.credentials, models=[way.primary]))
        heard = [await hear(twin, "Are you busy?")]
    else:
        found.saw(await twin.simulator.play(script, models=[way.primary]))
        heard, _ = await asking(twin, PAUSE_S * STORM)
    asked = of(await twin.simulator.received(), way.primary)
    gaps = [gap for each in _by_credential(asked) for gap in _gaps(each)]
    answered = sum(each.answered for each in heard)
    slowest_s = max(timed(twin, each.reply) for each in heard)
    found.saw(saw(twin, heard[-1], f"{way.primary} was asked {len(asked)} times, seconds apart: {_told(gaps)}"))
    found.measured = (
        f"{answered} of {len(heard)} answered, the slowest after {slowest_s:.1f} s; the overloaded target was asked "
        f"{len(asked)} times, {_told(gaps)} s apart; {shown(heard[-1])}; {scale(twin)}"
    )
    if min(gaps, default=PAUSE_S) < PAUSE_S - ROUNDING_S:
        return found.failed(
            f"{way.primary} was asked again after {min(gaps):.1f} s, before the {PAUSE_S:g} s it asked for"
        )
    if answered < len(heard):
        lost = next(each for each in heard if not each.answered)
        return found.failed(
            f"{len(heard) - answered} runs were not answered: {lost.ending or 'no end'} ({lost.reason})"
        )
    if not gaps:
        return found.failed(f"{way.primary} was asked only once, and not again when its time had come")
    return found.passed()


@check(
    "MD-4.recovery",
    row="MD-4",
    title="A breaker opens, keeps its target from being asked for as long as configured, and closes when it is well",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent", "clock"},
    where="fast",
    remediation="Set [breaker] failures, open_s and successes to what your providers' outages are like.",
)
async def recovery(target: Target) -> Result:
    """Down until the breaker opens, then well at once: when is it asked again, and when is all as before?"""
    twin = await target.twin.fast()
    way, breaker = course(twin), twin.loaded.config.breaker
    latest_s = breaker.open_s + WORK_S * twin.speed
    failures = breaker.failures * way.credentials  # each credential has a breaker of its own
    found = Finding(
        f"open after {failures} failures, asked again after {breaker.open_s:g} to {latest_s:g} s, closed after "
        f"{breaker.successes} successes"
    )
    if why := _too_many(failures) or too_long(twin, latest_s):
        return found.unknown(why)
    await twin.simulator.forget()
    found.saw(await twin.simulator.play(Script(refuse=True), models=[way.primary]))
    await _until_open(twin, way.primary, failures)
    learned = of(await twin.simulator.received(), way.primary)
    found.saw(await twin.simulator.play(Script(text=way.text), models=[way.primary]))
    well_at = twin.clock.monotonic()
    heard, received = await asking(twin, latest_s, lambda received: len(of(received, way.primary)) > len(learned))
    away_s = _away(learned, of(received, way.primary)[len(learned) :])
    heard += [await hear(twin, f"And again? ({number})") for number in range(breaker.successes)]
    normal_s = (twin.clock.monotonic() - well_at) * twin.speed
    seen, closed = await _is_closed(twin, way.primary)
    answered = sum(each.answered for each in heard)
    found.saw(saw(twin, heard[-1], "the last run, with the target well again"))
    found.saw(seen)
    found.measured = (
        f"{len(learned)} failures; asked again after {'never' if away_s is None else f'{away_s:.1f} s'}; its breaker "
        f"{'closed' if closed else 'not closed'} after {breaker.successes} more, {normal_s:.1f} s after the target was "
        f"well; {answered} of {len(heard)} runs answered meanwhile; {shown(heard[-1])}; {scale(twin)}"
    )
    if len(learned) > failures:
        return found.failed(f"{way.primary} was asked {len(learned)} times, all in vain, and no breaker opened")
    if away_s is None:
        return found.failed(f"{way.primary} is well, and was not asked again within {latest_s:g} s")
    if away_s < breaker.open_s - ROUNDING_S:
        return found.failed(
            f"{way.primary} was asked again after {away_s:.1f} s, its breaker open for {breaker.open_s:g}"
        )
    if not closed:
        return found.failed(f"a breaker is not closed after {breaker.successes} successes")
    if not way.alone and answered < len(heard):
        return found.failed(f"{len(heard) - answered} runs were not answered though another target was well")
    return found.passed()


def _too_many(failures: int) -> str:
    """Why a breaker's opening is not waited for; empty where it is."""
    return (
        f"{failures} failures until nobody asks any more are too many to wait for" if failures > MOST_LEARNING else ""
    )


async def _until_open(twin: Twin, ref: str, failures: int) -> Reply:
    """Lets clients ask the model itself until its breaker is open, two calls too many at most; the last answer."""
    while True:
        body = {"model": ref, "messages": [{"role": "user", "content": f"Are you there? ({failures})"}]}
        reply = await twin.send("POST", "/v1/chat/completions", body)
        failures -= 1
        if _code(reply) == "model.circuit_open" or failures < -1:
            return reply


def _code(reply: Reply) -> str:
    found: Any = reply.json()
    error = found.get("error") if isinstance(found, dict) else None
    return str(error.get("code")) if isinstance(error, dict) else ""


async def _is_closed(twin: Twin, ref: str) -> tuple[Evidence, bool]:
    """Whether a breaker of the target, that of the credential in use, is closed."""
    reply = await twin.send("GET", f"/v1/breakers?target={quote(ref, safe='')}")
    found: Any = reply.json()
    cards = found.get("data") if isinstance(found, dict) else None
    return twin.http.evidence(reply), any(card.get("state") == "closed" for card in cards or ())


def _by_credential(asked: list[Asked]) -> list[list[Asked]]:
    """The calls of each credential, in order."""
    return [
        [one for one in asked if one.credential == name] for name in dict.fromkeys(each.credential for each in asked)
    ]


def _gaps(asked: list[Asked]) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(asked)]


def _away(learned: list[Asked], again: list[Asked]) -> float | None:
    """For how long the credential that was used first, after the outage, had been left alone; None: none was used."""
    if not again:
        return None
    return again[0].at - max((each.at for each in learned if each.credential == again[0].credential), default=0.0)


def _told(gaps: list[float]) -> str:
    return ", ".join(f"{gap:.1f}" for gap in gaps) or "never again"


def _worst(heard: list[Heard]) -> float:
    return max(each.reply.seconds for each in heard)


def _middle(heard: list[Heard]) -> float:
    return statistics.median(each.reply.seconds for each in heard)
