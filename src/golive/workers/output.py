"""What users' code prints, line by line to the log, bounded so that a noisy tool cannot drown the server."""

from golive.core.clock import Clock
from golive.tools.executor import Log

MAX_LINE_BYTES = 8_192
"""The rest of a longer line is dropped."""
MAX_LINES_PER_S = 200
"""Further lines of the same second are counted and dropped."""


class LineCapture:
    """One stream (`stdout` or `stderr`) of one worker."""

    def __init__(self, stream: str, pid: int, *, clock: Clock, log: Log) -> None:
        self._stream = stream
        self._pid = pid
        self._clock = clock
        self._log = log
        self._partial = b""
        self._window = 0.0
        self._lines = 0
        self._dropped = 0
        self.last = ""
        """The latest line, for the message of a worker that could not start."""

    def feed(self, data: bytes) -> None:
        """Logs the lines that `data` completes."""
        *lines, partial = (self._partial + data).split(b"\n")
        self._partial = partial[:MAX_LINE_BYTES]
        for line in lines:
            self._emit(line)

    def close(self) -> None:
        """Logs what has no newline, and how many lines were dropped."""
        if self._partial:
            self._emit(self._partial)
            self._partial = b""
        self._tell_dropped()

    def _emit(self, line: bytes) -> None:
        now = self._clock.monotonic()
        if now - self._window >= 1.0:
            self._tell_dropped()
            self._window, self._lines = now, 0
        self._lines += 1
        if self._lines > MAX_LINES_PER_S:
            self._dropped += 1
            return
        self.last = line[:MAX_LINE_BYTES].rstrip(b"\r").decode("utf-8", "replace")
        self._log("worker.printed", pid=self._pid, stream=self._stream, line=self.last)

    def _tell_dropped(self) -> None:
        if self._dropped:
            self._log("worker.output_dropped", pid=self._pid, stream=self._stream, lines=self._dropped)
            self._dropped = 0
