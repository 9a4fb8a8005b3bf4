"""The only place that starts tasks: every task has a parent, and siblings are cancelled in the order they began.

`asyncio.TaskGroup` keeps its children in a set, whose order differs between runs of the same seed; ours is a dict.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """A parent of tasks. On leaving the block it waits for all; the first failure cancels the rest and is raised.

    A long-lived owner (the server) uses `start` and `close` instead of the block: there a child's failure goes to the
    loop's exception handler and the siblings go on. A failure that cannot be raised because another is goes there too.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._children: dict[asyncio.Task[Any], None] = {}
        self._failure: BaseException | None = None
        self._owner: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._interrupted = False
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
        if self._owner is None or self._failure is not None or self._closing:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
            )
        else:
            self._failure = error
            self._cancel_children()
            self._interrupted = True
            self._owner.cancel()

    def _cancel_children(self) -> None:
        for child in list(self._children):
            child.cancel()

    async def close(self) -> None:
        """Cancels every child in the order they began and waits until all have ended.

        Raises:
            asyncio.CancelledError: the caller was cancelled meanwhile; the children have ended all the same.
        """
        self._closing = True
        self._cancel_children()
        cancelled: asyncio.CancelledError | None = None
        while self._children:
            try:
                await asyncio.wait(list(self._children))
            except asyncio.CancelledError as again:
                cancelled = again
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> "Tasks":
        self._owner = asyncio.current_task()
        assert self._owner is not None
        self._cancelling = self._owner.cancelling()
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert self._owner is not None
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        try:
            while self._children and error is None:
                await asyncio.wait(list(self._children))
        except asyncio.CancelledError as while_waiting:
            cancelled = while_waiting
        try:
            await self.close()
        except asyncio.CancelledError as while_closing:
            cancelled = while_closing
        if self._interrupted:
            from_outside = self._owner.uncancel() > self._cancelling
            if not from_outside and self._failure is not None:
                raise self._failure
        if cancelled is not None and cancelled is not error:
            raise cancelled
        return False


async def uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """Sees `work` through to its end even when the caller is cancelled meanwhile; then the cancellation goes on.

    For short clean-up and journal writes, whose own time is bounded.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # one is enough: it goes on below
        if not task.cancelled():
            task.exception()  # looked at, so that it is not reported as forgotten
        raise
