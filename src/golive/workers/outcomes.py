"""What a model is told when a call does not come back from where it ran."""

import signal

from golive.core.deadline import Deadline
from golive.core.errors import ToolTimeout, WorkerCrashed
from golive.tools.executor import Work, failed, not_begun
from golive.tools.toolset import ToolOutcome


def timed_out(tool: str, deadline: Deadline, *, started: bool) -> ToolOutcome:
    """The deadline passed, in the call or in the queue before it."""
    effect = "It may have taken effect all the same." if started else "It was not started."
    message = f"{tool} was not done within {deadline.seconds:g} s ({deadline.limit}). {effect}"
    error = ToolTimeout(message, tool=tool, limit=deadline.limit, seconds=deadline.seconds)
    return failed(error, begun=started)


def not_served(work: Work, deadline: Deadline) -> ToolOutcome:
    """No place was free until the deadline, or until the work had to begin, whichever came first."""
    return not_begun(work) if work.begin_by < deadline.at else timed_out(work.label, deadline, started=False)


def crashed(tool: str, how: str, running: int) -> ToolOutcome:
    """The worker ended in the call; `running` calls were in it."""
    message = f"The worker process ended ({how}) while {tool} ran in it. It may have taken effect all the same."
    if running > 1:
        message += f" {running} calls were running in it; any one of them may be the cause."
    return failed(WorkerCrashed(message, tool=tool, how=how))


def exit_text(code: int | None) -> str:
    """An exit status for people, such as `exit code 3` or `SIGSEGV`."""
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    return f"{name}: out of memory, or killed by someone" if name == "SIGKILL" else name
