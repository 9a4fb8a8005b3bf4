"""The providers of the world: golive's simulator, one for each dialect, told per request what to say and how to fail.

What a model says follows from the case that the prompt names, so that a call that is repeated, continued or resumed is
answered as the first one was; how it fails is the weather's.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from golive.config.failing import BreakerConfig, RetryConfig
from golive.config.outward import ScheduleConfig
from golive.config.schema import CapabilityConfig, GoliveConfig, PriceConfig, ProviderConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.sim.exchange import SCRIPT_HEADER
from golive.sim.protocol import Connection, Request
from golive.sim.script import FOREVER, Script
from golive.sim.server import Simulator
from tests.sim.hooks import WEBHOOKS
from tests.sim.whose import tenant_named

DIALECTS = {"alfa": "openai-chat", "bravo": "anthropic", "coda": "openai-responses", "delta": "gemini"}
"""Provider and what it speaks."""
CASE = re.compile(rb"case-\d+/\d+")
OPEN_S = 8.0
"""How long a breaker stays open in this world."""


SCHEDULES = {"report": ScheduleConfig(agent="helper", cron="* * * * *", input="Please report.")}

PREFILLED = ("bravo", "delta")
"""Those that go on where an assistant's text stops, as their settings say: golive takes them at their word."""
DIVERGES: tuple[Literal["diverge", "restart", "overlap", "refuse"], ...] = ("diverge", "restart", "overlap", "refuse")


class ProviderWeather(Struct):
    """Shares of all requests, 0 to 1, that meet each fault."""

    refuses: float = 0.0
    limited: float = 0.0
    broken: float = 0.0
    """5xx."""
    hangs: float = 0.0
    stalls: float = 0.0
    cuts: float = 0.0
    garbles: float = 0.0
    odd: float = 0.0
    """Right, and unusually sent: byte by byte, slowly, with events nobody knows."""
    diverges: float = 0.0
    """Asked to go on with a text, it says something else; those of which the settings say `prefill` refuse, at most."""


@cache
def config() -> GoliveConfig:
    """The settings of every replica: short limits, so that a schedule is over soon."""
    providers = {
        name: ProviderConfig(
            dialect=dialect,  # type: ignore[arg-type]
            base_url=f"http://{name}.test/{'v1beta' if dialect == 'gemini' else 'v1'}",
            connect_s=2.0, first_token_s=4.0, between_tokens_s=3.0, call_s=20.0,
        )
        for name, dialect in DIALECTS.items()
    }  # fmt: skip
    return GoliveConfig(
        webhooks=WEBHOOKS,
        schedules=SCHEDULES,
        providers=providers,
        prices={"*": PriceConfig(input_usd_per_mtok=1.0, output_usd_per_mtok=4.0)},
        capabilities={f"{name}/*": CapabilityConfig(prefill=True) for name in PREFILLED},
        retry=RetryConfig(retries=2, first_s=0.5, most_s=4.0, share=1.0, reserve=100.0),
        breaker=BreakerConfig(failures=4, open_s=OPEN_S, successes=2),
    )


class Provider(Simulator):
    """One provider."""

    def __init__(self, name: str, scripts: Callable[[str], Script], clock: Clock, chance: Chance) -> None:
        """`scripts`: what a case is to be answered with."""
        super().__init__(clock=clock)
        self.name = name
        self.weather = ProviderWeather()
        self.mixed: list[list[str]] = []
        """Cases of several tenants that stood in one request."""
        self.asked: dict[str, int] = {}
        """Case and round -> how often an answer was asked for."""
        self._cases = scripts
        self._world = chance

    def _handle(self, connection: Connection, request: Request) -> None:
        named = CASE.findall(request.body)
        if named:
            if len({tenant_named(each) for each in named}) > 1:
                self.mixed.append(sorted({each.decode() for each in named}))
            case = named[-1].decode()
            self.asked[case] = self.asked.get(case, 0) + 1
            script = self._spoiled(self._cases(case))
            request.headers[SCRIPT_HEADER] = msgspec.json.encode(script).decode("latin-1")
        super()._handle(connection, request)

    def _spoiled(self, script: Script) -> Script:
        """The script with the fault that this request meets, if any."""
        drawn, weather = self._world.uniform(0.0, 1.0), self.weather
        at = int(self._world.uniform(1, 12))
        met: tuple[tuple[float, dict[str, object]], ...] = (
            (weather.refuses, {"refuse": True}),
            (weather.limited, {"status": 429, "retry_after": 1 + at % 3}),
            (weather.broken, {"status": (500, 502, 503, 529)[at % 4]}),
            (weather.hangs, {"hang_ms": FOREVER if at % 2 else 5_000.0}),
            (weather.stalls, {"stall_after": at, "stall_ms": FOREVER if at % 2 else 1_500.0}),
            (weather.cuts, {"cut_after": at, "cut": ("close", "reset", "end", "error")[at % 4]}),
            (weather.garbles, _GARBLED[at % len(_GARBLED)] | {"malformed_after": at}),
            (weather.odd, _ODD[at % len(_ODD)]),
            (weather.diverges, {"prefill": "refuse" if self.name in PREFILLED else DIVERGES[at % len(DIVERGES)]}),
        )
        for share, fields in met:
            if drawn < share:
                return _with(script, fields)
            drawn -= share
        return script


_GARBLED: tuple[dict[str, object], ...] = ({"malformed": "json"}, {"malformed": "utf8"}, {"garbage": "html"})
_ODD: tuple[dict[str, object], ...] = (
    {"bytes_per_write": 7},
    {"pace_ms": 150.0},
    {"usage": "missing"},
    {"first_token_ms": 1_200.0},
    {"unknown_event": True},
    {"burst": 0},
)


def _with(script: Script, fields: dict[str, object]) -> Script:
    turns = tuple([_with(turn, fields) for turn in script.turns])
    return replace(script, turns=turns, **fields)
