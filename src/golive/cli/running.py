"""Running a command's coroutine so that whatever ends it takes down what it started.

Ctrl-C cancels it, and so do SIGTERM and a terminal that is closed: the blocks that hold servers, simulators and
temporary folders are left in order. `dev` and `serve` handle their signals themselves, because they drain.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`.

    Raises:
        SystemExit: with 128 + the signal's number, after clean-up, when a signal ended it.
    """
    ended: list[int] = []
    try:
        return asyncio.run(_interruptible(work, ended))
    except asyncio.CancelledError:
        if not ended:
            raise
        raise SystemExit(128 + ended[0]) from None


async def _interruptible(work: Coroutine[Any, Any, T], ended: list[int]) -> T:
    task = asyncio.current_task()
    assert task is not None

    def end(number: int) -> None:
        if not ended:  # a second signal must not cut the clean-up short
            ended.append(number)
            task.cancel()

    # Ctrl-C too between two callbacks of the loop: in the middle of one it may cancel what that one is about to set.
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            loop.add_signal_handler(number, end, number)
    return await work
