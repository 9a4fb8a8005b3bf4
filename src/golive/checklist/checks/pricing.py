"""Is every call priced? Tokens without a price are a bill that nobody sees coming."""

from typing import Any

from golive.checklist.drill import course
from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.config.schema import PriceConfig
from golive.sim.bill import (
    CACHE_WRITE_CENTIMICROUSD,
    CACHED_CENTIMICROUSD,
    INPUT_CENTIMICROUSD,
    OUTPUT_CENTIMICROUSD,
)

MOST_TARGETS = 24
"""Targets of a configuration that are asked; more are named as not asked."""
ROUNDING_MICROUSD = 1
"""Golive and provider both round a call up."""
ASK = "Name three birds of the shore."


@check(
    "MD-7.priced",
    row="MD-7",
    title="Every call is counted and priced, as on the provider's own bill",
    phase="cost",
    severity="blocker",
    needs={"golive"},
    remediation='Set `price_as` of the provider, or a price of your own: [prices."provider/model"] in golive.toml.',
    references=("https://github.com/pydantic/genai-prices",),
)
async def priced(target: Target) -> Result:
    """Asks each target of the configuration (on a remote: the agent or model), streamed and whole; then its runs."""
    found = Finding("tokens and cost above 0 on every run; on a twin, the provider's own count")
    twin = target.twin if "inject" in target.handles else None
    models = twin.targets if twin else []
    asked = list(dict.fromkeys([target.model, *models[:MOST_TARGETS]]))
    calls, tokens, cost = 0, 0, 0
    faults: list[str] = []
    free: list[str] = []
    for model in asked:
        for stream in (False, True):
            run, wrong, seen = await _ask(target, model, stream=stream, found=found, twin=twin)
            calls += 1
            tokens += sum(run.get("usage", {}).get(name, 0) for name in ("input_tokens", "output_tokens"))
            cost += run.get("cost_microusd", 0)
            if wrong:
                faults.append(wrong)
                found.saw(seen)
                break  # streamed it would be the same
            if not run.get("cost_microusd"):
                free.append(model)
            if len(found.evidence) < 6:
                found.saw(seen)
    found.measured = f"{calls} calls of {len(asked)} models, {tokens} tokens, {cost} micro-USD, {len(faults)} faults"
    if faults:
        return found.failed("; ".join(dict.fromkeys(faults)))
    if free:
        return found.warned(f"your own price list says 0: {', '.join(dict.fromkeys(free))}")
    if len(models) > MOST_TARGETS:
        return found.warned(f"shortened: {len(models) - MOST_TARGETS} targets were not asked")
    return found.passed(
        "" if twin else "only that tokens and cost are above 0 was looked at: no provider's bill is known here"
    )


async def _ask(
    target: Target, model: str, *, stream: bool, found: Finding, twin: Twin | None
) -> tuple[dict[str, Any], str, Evidence]:
    """One call; the run it became, what is wrong with its account, and the run as evidence."""
    before = (await twin.simulator.bill())[1] if twin else None
    body = target.chat(ASK, stream=stream) | {"model": model}
    reply = await target.send("POST", "/v1/chat/completions", body)
    shown = await target.send("GET", f"/v1/runs/{reply.headers.get('x-request-id', 'none')}")
    seen = target.http.evidence(shown, f"the run of one call of {model}{', streamed' if stream else ''}")
    run = shown.json()
    if reply.status != 200 or shown.status != 200 or not isinstance(run, dict):
        return {}, f"{model} answered {reply.status}, its run {shown.status}", seen
    usage = run.get("usage", {})
    counted = (usage.get("input_tokens", 0), usage.get("output_tokens", 0))
    if not all(counted):
        return run, f"{model} has used no tokens, says the run", seen
    if not run.get("priced"):
        return run, f"{model} has no price ({await _alarm(target, str(run.get('run')), found)})", seen
    if not run.get("cost_microusd") and not (twin and _own(twin, model)):
        return run, f"{model} costs 0, says the run", seen
    if twin is None or before is None:
        return run, "", seen
    bill, after, _ = await twin.simulator.bill()
    billed = (after.input_tokens - before.input_tokens, after.output_tokens - before.output_tokens)
    if billed != counted:
        found.saw(bill)
        return run, f"{model}: golive counts {counted} tokens in and out, the provider bills {billed}", seen
    owed = after.cost_microusd - before.cost_microusd
    paid = run["cost_microusd"]
    wrote = after.cache_write_tokens > before.cache_write_tokens
    if _priced_alike(twin, model, wrote=wrote) and abs(paid - owed) > ROUNDING_MICROUSD:
        found.saw(bill)
        return run, f"{model}: golive says {paid} micro-USD, the provider bills {owed}", seen
    return run, "", seen


async def _alarm(target: Target, run: str, found: Finding) -> str:
    seen, events = await target.journal(run)
    found.saw(seen)
    alarms = [event["body"].get("alarm") for event in events if event["kind"] == "alarm.raised"]
    return f"alarm {alarms[0]} was raised" if alarms else "and no alarm was raised"


def _own(twin: Twin, model: str) -> PriceConfig | None:
    """The operator's own price of a target, or of the agent's first, if an entry names exactly it or its provider."""
    if "/" not in model:
        model = course(twin).primary
    prices = twin.loaded.config.prices
    return prices.get(model) or prices.get(f"{model.partition('/')[0]}/*")


def _priced_alike(twin: Twin, model: str, *, wrote: bool) -> bool:
    """Whether the configuration prices the target exactly as the simulator bills it; `wrote`: to its cache, too."""
    price = _own(twin, model)
    if price is None:
        return False
    cached = price.cached_input_usd_per_mtok
    own = (price.input_usd_per_mtok, price.output_usd_per_mtok, price.input_usd_per_mtok if cached is None else cached)
    theirs = (INPUT_CENTIMICROUSD / 100, OUTPUT_CENTIMICROUSD / 100, CACHED_CENTIMICROUSD / 100)
    writes = price.input_usd_per_mtok if price.cache_write_usd_per_mtok is None else price.cache_write_usd_per_mtok
    return own == theirs and (not wrote or writes == CACHE_WRITE_CENTIMICROUSD / 100)
