"""The audit: a known vulnerability fails it, and what could not be audited is Unknown, never a pass."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from supply import advisories, audit, policy
from tests.supply.planted import HASH, rules

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DJANGO = ("django", "1.11")
TWICE = [{"fixed": "0.5"}, {"introduced": "0.9"}, {"introduced": "0"}]


def _record(package: str, *, name: str = "GHSA-plan-ted0-0001", **affected: Any) -> dict[str, Any]:
    affected = affected or {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]}
    return {
        "id": name,
        "aliases": ["CVE-2026-0001"],
        "modified": NOW.isoformat(),
        "affected": [{"package": {"ecosystem": "PyPI", "name": package}, **affected}],
    }


def _lock(folder: Path, line: str = "planted==1.0") -> Path:
    path = folder / "requirements.lock"
    path.write_text(f"{line} \\\n    --hash=sha256:{HASH}\n")
    return path


def _written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text(json.dumps(list(records)))
    return path


Serve = Callable[[Callable[[str, str], tuple[int, Any]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a vulnerability service that answers as a function from name and version says."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[str, str], tuple[int, Any]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, content = answer(asked["package"]["name"], asked["version"])
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/v1/query"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _knows(*bad: tuple[str, str]) -> Callable[[str, str], tuple[int, Any]]:
    return lambda name, version: (200, {"vulns": [_record(name)]} if (name, version) in bad else {})


def test_without_a_network_the_verdict_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listens at the service's address: exit code 3, and words that say so."""
    url = "http://127.0.0.1:1/v1/query"
    assert audit.main(["--lock", str(_lock(tmp_path)), "--osv-url", url]) == 3
    said = capsys.readouterr().err
    assert "UNKNOWN: not everything was audited, which is no pass" in said
    assert "Connection refused" in said


def test_a_service_that_knows_nothing_of_the_package_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], serve: Serve
) -> None:
    """The one way to a pass: every package was asked about, and the service knows what it must know."""
    assert audit.main(["--lock", str(_lock(tmp_path)), "--osv-url", serve(_knows(DJANGO))]) == 0
    assert "PASS" in capsys.readouterr().out


def test_a_known_vulnerability_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], serve: Serve) -> None:
    """The service speaks of a locked package: exit code 1, with its names and what mends it."""
    url = serve(_knows(DJANGO, ("planted", "1.0")))
    assert audit.main(["--lock", str(_lock(tmp_path)), "--osv-url", url]) == 1
    said = capsys.readouterr().err
    assert "planted 1.0: CVE-2026-0001 = GHSA-plan-ted0-0001; mended in 2.0" in said
    assert "VULNERABLE: 1 known" in said
    assert "django" not in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_knows(), "knows of no vulnerability in django 1.11"),
        (lambda name, version: (503, b"out"), "not audited"),
        (lambda name, version: (200, b"<html>log in</html>"), "not audited"),
    ],
    ids=["says all is well of everything", "is out of order", "is a page to log in"],
)
def test_a_service_that_is_no_witness_is_unknown(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    serve: Serve,
    answer: Callable[[str, str], tuple[int, Any]],
    words: str,
) -> None:
    """Whatever stands at the address and does not know what is known everywhere: exit code 3."""
    assert audit.main(["--lock", str(_lock(tmp_path)), "--osv-url", serve(answer)]) == 3
    assert words in capsys.readouterr().err


def test_a_planted_advisory_fails_without_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of advisories counts though the service is out of reach: a vulnerability outweighs what is unknown."""
    book = _written(tmp_path / "osv.json", _record("Planted"))
    arguments = ["--lock", str(_lock(tmp_path)), "--advisories", str(book)]
    assert audit.main([*arguments, "--osv-url", "http://127.0.0.1:1/"]) == 1
    said = capsys.readouterr().err
    assert "planted 1.0: GHSA-plan-ted0-0001 = CVE-2026-0001; mended in 2.0" in said
    assert "not audited" in said


def test_an_innocent_file_of_advisories_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that speaks of something else changes nothing about what is unknown."""
    book = _written(tmp_path / "osv.json", _record("another"))
    arguments = ["--lock", str(_lock(tmp_path)), "--advisories", str(book), "--osv-url", "http://127.0.0.1:1/"]
    assert audit.main(arguments) == 3
    assert audit.main(["--lock", str(_lock(tmp_path)), "--advisories", str(book), "--instead"]) == 3
    assert "the file of advisories is" in capsys.readouterr().err


def test_a_file_stands_in_for_the_service_only_if_whole_and_new(tmp_path: Path) -> None:
    """It must know what is known everywhere, and have a record of the last seven days."""
    book = advisories.read(_written(tmp_path / "osv.json", _record("django")))
    audit.in_place(book, NOW + timedelta(days=7))
    with pytest.raises(audit.Unanswered, match=r"too old .* its newest record is of 2026-11-20"):
        audit.in_place(book, NOW + timedelta(days=7, seconds=1))
    with pytest.raises(audit.Unanswered, match=r"not whole: it says nothing of django 1\.11"):
        audit.in_place(advisories.read(_written(tmp_path / "osv.json", _record("another"))), NOW)
    with pytest.raises(audit.Unanswered, match="no record"):
        audit.in_place(advisories.read(_written(tmp_path / "osv.json")), NOW)


@pytest.mark.parametrize(
    ("affected", "version", "hit"),
    [
        ({"versions": ["1.0"]}, "1.0.0", True),
        ({"versions": ["1.1"]}, "1.0", False),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.1"}]}]}, "1.0", False),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]}]}, "1.0", False),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "1.0"}]}]}, "1.0", True),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "0.9"}]}]}, "1.0", False),
        (
            {
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"fixed": "0.5"}, {"introduced": "0.9"}, {"introduced": "0"}]}
                ]
            },
            "1.0",
            True,
        ),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}], "versions": ["2.0"]}, "1.0", False),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, "1.0", True),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "not a version"}]}]}, "1.0", True),
    ],
)
def test_ranges_are_read_as_osv_means_them(tmp_path: Path, affected: dict[str, Any], version: str, hit: bool) -> None:
    """Versions, half-open ranges, ranges that open twice; what cannot be judged counts."""
    book = advisories.read(_written(tmp_path / "osv.json", _record("planted", **affected)))
    assert bool(book.about("planted", version)) is hit


def test_withdrawn_advisories_do_not_count(tmp_path: Path) -> None:
    """A record that was taken back speaks of nothing."""
    book = advisories.read(_written(tmp_path / "osv.json", {**_record("planted"), "withdrawn": NOW.isoformat()}))
    assert book.about("planted", "1.0") == []


def test_an_acceptance_ends(tmp_path: Path) -> None:
    """An advisory that was accepted counts again the day after, and for any other package at once."""
    book = advisories.read(_written(tmp_path / "osv.json", _record("planted"), _record("another")))
    until = policy.Acceptance("planted", date(2026, 12, 31), "we do not call it")
    accepting = policy.Policy(frozenset(), {}, {}, {"CVE-2026-0001": until})
    found = [audit.Answer(book.about("planted", "1.0"), {})]
    code, lines = audit.verdict(found, "", accepting, date(2026, 12, 31))
    assert code == 0
    assert "accepted until 2026-12-31: we do not call it" in lines[0]
    assert audit.verdict(found, "", accepting, date(2027, 1, 1))[0] == 1
    other = [audit.Answer(book.about("another", "1.0"), {})]
    assert audit.verdict(other, "", accepting, date(2026, 12, 31))[0] == 1


def test_a_package_that_was_skipped_is_unknown() -> None:
    """One package without an answer among many is enough: it is named, and the verdict is 3."""
    answer = audit.Answer([], {("planted", "1.0"): "no such version"})
    code, lines = audit.verdict([answer], "", rules(), NOW.date())
    assert code == 3
    assert lines[0] == "planted 1.0: not audited: no such version"


@pytest.mark.parametrize("text", ["", "{}", '{"id": "X"}', '[{"id": "X", "modified": "yesterday"}]', "[1]"])
def test_a_file_that_is_no_osv_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not JSON, not a record, no time: exit code 2, before anything is asked."""
    path = tmp_path / "osv.json"
    path.write_text(text)
    assert audit.main(["--lock", str(_lock(tmp_path)), "--advisories", str(path)]) == 2
    assert "osv.json cannot be read as OSV records" in capsys.readouterr().err
