"""What the log does when it cannot be written: nothing that anybody else would notice."""

import io
import json
import logging
import re
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


class Noon:
    """A clock that stands still."""

    def now(self) -> float:
        return 1_800_000_000.25

    def monotonic(self) -> float:
        return 0.0


class Terminal(io.StringIO):
    """A stream that shows colours."""

    def isatty(self) -> bool:
        return True


def test_a_line_tells_time_level_event_and_what_is_bound() -> None:
    """Time, level and event come first, in UTC; then what was bound, then the line's own fields, which win."""
    out = io.StringIO()
    log = configure("info", "json", None, out, Noon()).bind(tenant="default", run="run_1")
    log.info("run.finished", run="run_2", ms=1.5)
    assert out.getvalue() == (
        '{"at":"2027-01-15T08:00:00.250000Z","level":"info","event":"run.finished",'
        '"tenant":"default","run":"run_2","ms":1.5}\n'
    )


def test_an_exception_is_told_however_it_is_given() -> None:
    """An exception, the one being handled and the standard library's triple give the same trace; none gives none."""
    out = io.StringIO()
    log = configure("info", "json", None, out)
    try:
        raise ValueError("odd")
    except ValueError as error:
        log.error("run.fault", exc_info=error)
        log.error("run.fault", exc_info=True)
        logging.getLogger("library").exception("failed")
    log.error("run.fault", exc_info=True)
    logging.getLogger("library").error("failed", exc_info=True)
    traces = [json.loads(line).get("exception") for line in out.getvalue().splitlines()]
    assert traces[0].startswith("Traceback")
    assert traces[0].endswith("ValueError: odd")
    assert traces == [traces[0]] * 3 + [None] * 2


def test_a_terminal_shows_colours_and_is_steered_by_no_field() -> None:
    """The parts are coloured, fields stand in order of name, text with spaces or control characters is quoted."""
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        log = configure("info", "auto" if stream is terminal else "console", None, stream, Noon())
        log.warning("worker.printed", pid=7, line="\x1b[2Jhello you", stream="stdout")
    fields = "line='\\x1b[2Jhello you' pid=7 stream=stdout"
    assert pipe.getvalue() == f"2027-01-15T08:00:00.250000Z [warning] {'worker.printed':<24} {fields}\n"
    assert re.sub(r"\x1b\[\d+m", "", terminal.getvalue()) == pipe.getvalue()
    assert "\x1b[33mwarning" in terminal.getvalue()
