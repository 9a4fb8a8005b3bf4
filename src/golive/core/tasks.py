"""The only place that starts tasks: every task has a parent, and siblings are cancelled in the order they began.

`asyncio.TaskGroup` keeps its children in a set, whose order differs between runs of the same seed; ours is a dict.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """A parent of tasks. On leaving the block it waits for all; the first failure cancels the rest and is raised.

    A long-lived owner (the server) uses `start` and `close` instead of the block: there a child's failure is handed to
    `on_error` and the siblings go on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._children: dict[asyncio.Task[Any], None] = {}
        self._failure: BaseException | None = None
        self._owner: asyncio.Task[Any] | None = None
        self._closing = False

    def __len__(self) -> int:
        return len(self._children)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Begins `work` as a child; `name` shows in stack dumps."""
        if self._closing:
            work.close()
            raise RuntimeError(f"task group {self.name} is closing; {name} was not started")
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._children[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._children.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if self._owner is None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
            )
        elif self._failure is None:
            self._failure = error
            self._cancel_children()
            if not self._closing:
                self._owner.cancel()

    def _cancel_children(self) -> None:
        for child in list(self._children):
            child.cancel()

    async def close(self) -> None:
        """Cancels every child in the order they began and waits until all have ended."""
        self._closing = True
        self._cancel_children()
        while self._children:
            await asyncio.wait(list(self._children))

    async def __aenter__(self) -> "Tasks":
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert self._owner is not None
        if error is not None:
            await self.close()
        else:
            try:
                while self._children:
                    await asyncio.wait(list(self._children))
            except asyncio.CancelledError as cancelled:
                error = cancelled
                await self.close()
        self._closing = True
        if self._failure is None:
            return False
        if isinstance(error, asyncio.CancelledError) and self._owner.uncancel() > 0:
            return False
        raise self._failure


async def uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """Sees `work` through to its end even when the caller is cancelled meanwhile; then the cancellation goes on.

    For short clean-up and journal writes, whose own time is bounded.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that it is not reported as forgotten
        raise
