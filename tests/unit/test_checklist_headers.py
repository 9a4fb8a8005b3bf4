"""What the headers of a stream tell about who collected it."""

import pytest

from golive.checklist.checks.proxies import traces


@pytest.mark.parametrize(
    ("headers", "golive", "found"),
    [
        ({"server": "uvicorn", "x-accel-buffering": "no"}, True, []),
        ({"server": "uvicorn"}, False, []),
        ({"via": "1.1 varnish", "x-accel-buffering": "no"}, True, ["Via: 1.1 varnish"]),
        ({"server": "nginx/1.25.1"}, True, ["Server: nginx/1.25.1", "X-Accel-Buffering: no, which golive sends"]),
        ({"cf-ray": "8a"}, False, ["CF-Ray (Cloudflare): 8a"]),
        (
            {"content-length": "9", "content-encoding": "gzip"},
            False,
            ["Content-Length on an event", "Content-Encoding: gzip"],
        ),
    ],
)
def test_traces(headers: dict[str, str], golive: bool, found: list[str]) -> None:
    """Each trace is named, a server's own name is none, and nothing is invented."""
    told = traces(headers, golive=golive)
    assert len(told) == len(found)
    assert all(each.startswith(wanted) for each, wanted in zip(told, found, strict=True))
