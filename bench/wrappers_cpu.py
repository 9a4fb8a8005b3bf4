"""CPU of what stands around a model call when nothing fails: meter, chain with gate and breaker, recovery; no sockets.

    python bench/wrappers_cpu.py [--calls 20000] [--chunks 1000]

A provider that is a bare generator is read directly and then through each wrapper more: microseconds a whole call of
three reads, and a read of one event within a long stream. Process time, garbage frozen, uvloop, the lesser of two.
"""

import argparse
import gc
import time
from collections.abc import AsyncGenerator

import uvloop

from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.breaker import BreakerPolicy
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.messages import Message, Usage
from golive.models.call import (
    CallContext,
    Finished,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    TextDelta,
    UsageReported,
)
from golive.models.capabilities import ModelCapabilities
from golive.models.chain import Chain
from golive.models.course import Chained, ChainTarget, Lane
from golive.models.gate import Gate
from golive.models.meter import MeteredCall
from golive.models.recovery import Recovering, Ways

CLOCK = SystemClock()
ASKED = ModelRequest(messages=(Message("user", "Hi"),))


def provider(chunks: int) -> ModelCall:
    async def answer(request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        yield [Opened()]
        for _ in range(chunks):
            yield [TextDelta("hello ")]
        yield [Finished("stop"), UsageReported(Usage(10, 0, 5))]

    return answer


def wrapped(bare: ModelCall) -> dict[str, ModelCall]:
    metered = MeteredCall(bare, target="a/m", price=lambda tier: None, clock=CLOCK)
    gate = Gate("a/m", "", BreakerPolicy(), CLOCK, lambda gate, before: None)
    target = ChainTarget("a/m", (Lane(metered, gate),), ModelCapabilities())
    chain = Chain(Chained((target,)), policy=BackoffPolicy(), budget=RetryBudget(), chance=SystemChance(), clock=CLOCK)
    return {"bare": bare, "meter": metered, "chain": chain, "recovery": Recovering(chain, Ways("continue"))}


async def cpu_us(call: ModelCall, calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        async for _ in call(ASKED, CallContext(Deadline(1e12, "bench", 1.0))):
            pass
    return (time.process_time() - began) / calls * 1e6


async def measure(calls: int, chunks: int) -> None:
    gc.collect()
    gc.freeze()
    print(f"{'':10} {'call, us':>10} {'read, us':>10}")
    whole, long = wrapped(provider(1)), wrapped(provider(chunks))
    for name in whole:
        call = min([await cpu_us(whole[name], calls) for _ in range(2)])
        read = min([await cpu_us(long[name], max(calls // chunks, 1)) for _ in range(2)]) / chunks
        print(f"{name:10} {call:10.1f} {read:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--chunks", type=int, default=1_000)
    options = parser.parse_args()
    uvloop.run(measure(options.calls, options.chunks))


if __name__ == "__main__":
    main()
