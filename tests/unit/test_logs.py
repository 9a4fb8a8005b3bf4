"""What the log does when it cannot be written: nothing that anybody else would notice."""

import io
import json
from contextlib import suppress
from pathlib import Path

from golive.telemetry.logs import configure


class Disk(io.StringIO):
    """A stream whose disk can be full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_full_disk_under_the_log_raises_nothing_and_is_told_later() -> None:
    """Lines that cannot be written are counted; the first line after says how many, and nothing else is lost."""
    disk = Disk()
    log = configure("info", "json", None, disk)
    log.info("run.finished", run="run_1")
    disk.full = True
    for _ in range(3):
        log.error("run.fault", run="run_2")
    disk.full = False
    log.info("run.finished", run="run_3")
    log.info("run.finished", run="run_4")
    lines = [json.loads(line) for line in disk.getvalue().splitlines()]
    assert [(line["event"], line.get("run"), line.get("lines")) for line in lines] == [
        ("run.finished", "run_1", None),
        ("log.lost", None, 3),
        ("run.finished", "run_3", None),
        ("run.finished", "run_4", None),
    ]


def test_no_stream_that_refuses_is_anybodys_fault() -> None:
    """A device that is always full, and a stream that was closed: logging goes on without a word."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, too
    configure("info", "json", None, full).info("server.started")
    with suppress(OSError):
        full.close()
    closed = io.StringIO()
    closed.close()
    configure("info", "json", None, closed).info("server.started")


def test_text_that_utf8_cannot_hold_is_logged_escaped() -> None:
    """Half a surrogate pair in a field, which a client may have sent, costs neither the line nor the request."""
    out = io.StringIO()
    configure("info", "json", None, out).info("http.refused", path="/\ud800", status=404)
    (line,) = out.getvalue().splitlines()
    assert line.isascii()
    assert json.loads(line)["path"] == "/\ud800"
    assert json.loads(line)["event"] == "http.refused"
