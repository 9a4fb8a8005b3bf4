"""Every kind of credential is planted and looked for at each exit: log, problem answer, crash report, message."""

import io
from typing import Any

import pytest

from golive.cli.main import tell
from golive.core.errors import InternalError
from golive.gateway.problems import problem
from golive.guards.crash import report
from golive.guards.redact import Redactor
from golive.telemetry.logs import configure
from tests.unit.test_scanning import BODY, KINDS


def planted(kind: str) -> InternalError:
    return InternalError(f"it said {KINDS[kind]}", remedy="Look.", vendor_message=f"key {KINDS[kind]} is no good")


def clean(text: str) -> None:
    assert BODY[:12] not in text
    assert "AKIAZQ8" not in text
    assert "[redacted]" in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", ["json", "console"])
def test_the_log_holds_none(kind: str, style: Any) -> None:
    """In fields, names, nested values and traces."""
    out = io.StringIO()
    log = configure("info", style, Redactor().value, out=out)
    try:
        raise planted(kind)
    except InternalError as error:
        log.error("it.failed", message=error.message, fields=error.fields, exc_info=error)
    clean(out.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_answer_holds_none(kind: str) -> None:
    """Neither its words nor its fields."""
    clean(problem(planted(kind))[2].decode())


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_report_holds_none(kind: str) -> None:
    """What nobody caught."""
    clean(report(planted(kind), {}))


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_of_a_command_hold_none(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error."""
    tell(planted(kind))
    clean(capsys.readouterr().err)
