"""Does another credential of a provider stand in where one has used up its rate, and is that one left alone?"""

from golive.checklist.checks.outages import PAUSE_S, STORM
from golive.checklist.drill import ROUNDING_S, asking, course, of, saw, scale, shown, timed
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.simulator import Asked
from golive.checklist.target import Target
from golive.sim.script import Script


@check(
    "MD-3.rotation",
    row="MD-3",
    title="A credential that has used up its rate makes way for the next, and is asked again when its time has come",
    phase="resilience",
    severity="major",
    needs={"inject", "golive", "agent", "clock"},
    where="fast",
    remediation="Name further credentials of the provider in `more_api_keys`; let no proxy drop Retry-After.",
    references=("https://www.rfc-editor.org/rfc/rfc9110#name-retry-after",),
)
async def rotation(target: Target) -> Result:
    """The first credential is told 429 with a Retry-After, once; users ask until it is used again."""
    twin = await target.twin.fast()
    way = course(twin)
    found = Finding(
        f"100 % answered, by the same target with its next credential; {PAUSE_S:g} s or more until the first is used "
        "again"
    )
    if way.credentials < 2:
        provider = way.primary.partition("/")[0]
        return found.unknown(
            f"the provider {provider} has one credential: name another in `more_api_keys` of [providers.{provider}]"
        )
    await twin.simulator.forget()
    found.saw(await twin.simulator.play(Script(status=429, retry_after=PAUSE_S), times=1, models=[way.primary]))
    heard, received = await asking(
        twin, PAUSE_S * STORM, lambda received: _again(of(received, way.primary)) is not None
    )
    asked = of(received, way.primary)
    away_s = _again(asked)
    answered = sum(each.answered for each in heard)
    slowest_s = max(timed(twin, each.reply) for each in heard)
    used = [list(dict.fromkeys(one.credential for one in asked)).index(each.credential) + 1 for each in asked]
    found.saw(saw(twin, heard[0], f"{way.primary} was asked with credential {', then '.join(map(str, used[:2]))}"))
    found.saw(saw(twin, heard[-1], f"credentials in the order of their use: {', '.join(map(str, used))}"))
    found.measured = (
        f"{answered} of {len(heard)} answered, the slowest after {slowest_s:.1f} s; {way.primary} was asked "
        f"{len(asked)} times with {len(set(used))} of {way.credentials} credentials, with the first again after "
        f"{'never' if away_s is None else f'{away_s:.1f} s'}; {shown(heard[0])}; {scale(twin)}"
    )
    if answered < len(heard):
        lost = next(each for each in heard if not each.answered)
        return found.failed(
            f"{len(heard) - answered} runs were not answered: {lost.ending or 'no end'} ({lost.reason})"
        )
    if away_s is not None and away_s < PAUSE_S - ROUNDING_S:
        return found.failed(
            f"the first credential was used again after {away_s:.1f} s, before its {PAUSE_S:g} s were over"
        )
    if len(asked) < len(heard) + 1:
        return found.failed(f"another target answered, though {way.primary} has a credential that is well")
    if away_s is None:
        return found.failed("the first credential was not used again when its time had come")
    return found.passed()


def _again(asked: list[Asked]) -> float | None:
    """After how many seconds the credential of the first call was used a second time; None: it was not."""
    return next((each.at - asked[0].at for each in asked[1:] if each.credential == asked[0].credential), None)
