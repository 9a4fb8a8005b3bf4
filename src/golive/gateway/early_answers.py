"""Answers that the connection itself gives, before there is a request that the gateway could answer.

Problems of RFC 9457, written out once: nothing in them comes from the request. The connection ends after each.
"""

from typing import NamedTuple


class Early(NamedTuple):
    """An answer without the headers that all answers have. `reason` is its label in the metrics."""

    reason: str
    head: bytes
    tail: bytes


def early(reason: str, status: str, code: str, detail: str, remedy: str, *headers: str) -> Early:
    """One answer; `status` with its phrase."""
    number, _, title = status.partition(" ")
    body = (
        f'{{"type":"urn:golive:problem:{code}","title":"{title}","status":{number},'
        f'"detail":"{detail}","code":"{code}","remedy":"{remedy}"}}'
    )
    more = "".join(f"{header}\r\n" for header in headers)
    tail = (
        f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\ncache-control: no-store\r\n"
        f"content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n{more}"
        f"connection: close\r\n\r\n{body}"
    )
    return Early(reason, f"HTTP/1.1 {status}\r\n".encode(), tail.encode())


MALFORMED = early(
    "malformed", "400 Bad Request", "request.invalid", "This is no request of HTTP/1.1.",
    "Send one as RFC 9112 has it: lines end with CRLF, and a body has one length.",
)  # fmt: skip
NO_HOST = early(
    "host", "400 Bad Request", "request.invalid", "A request of HTTP/1.1 must have one Host header.",
    "Send Host, once.",
)  # fmt: skip
TWICE = early(
    "twice", "400 Bad Request", "request.invalid", "A header that may stand once stands twice.",
    "Send Host, Authorization, X-Api-Key, Content-Type, Content-Length, Transfer-Encoding and X-Golive-Tenant at most "
    "once.",
)  # fmt: skip
FRAMING = early(
    "framing", "400 Bad Request", "request.invalid", "The request's length is not clear.",
    "Send Content-Length, or Transfer-Encoding: chunked with HTTP/1.1, and never both.",
)  # fmt: skip
METHOD = early(
    "method", "501 Not Implemented", "method.not_allowed", "This server has no such method.",
    "Use GET, POST or DELETE.",
)  # fmt: skip
OVERLOADED = early(
    "connections", "503 Service Unavailable", "server.overloaded", "As many connections are open as this server keeps.",
    "Try again. Its operator can raise server.limits.connections, or add a server.", "retry-after: 1",
)  # fmt: skip
TOO_MANY = early(
    "connections_per_ip", "429 Too Many Requests", "server.overloaded",
    "As many connections are open as one address may have.",
    "Close some, or use each for more requests. The operator can raise server.limits.connections_per_ip.",
    "retry-after: 1",
)  # fmt: skip


def line_too_long(limit: int) -> Early:
    """For an address of more than `limit` bytes."""
    return early(
        "request_line", "414 URI Too Long", "request.too_large",
        f"The request's address is longer than {limit} bytes.", "Send what is long in the body.",
    )  # fmt: skip


def head_too_large(limit: int) -> Early:
    """For a head of more than `limit` bytes."""
    return early(
        "header_bytes", "431 Request Header Fields Too Large", "request.too_large",
        f"The request's headers are larger than {limit} bytes.", "Send fewer or shorter headers.",
    )  # fmt: skip


def too_many_headers(limit: int) -> Early:
    """For more than `limit` headers."""
    return early(
        "headers", "431 Request Header Fields Too Large", "request.too_large",
        f"The request has more than {limit} headers.", "Send fewer.",
    )  # fmt: skip


def body_quiet(seconds: float) -> Early:
    """For a body of which nothing came for so long."""
    return early(
        "body_quiet", "408 Request Timeout", "request.timeout",
        f"The request's body did not arrive: nothing came for {seconds:g} s.", "Send it again.",
    )  # fmt: skip


def body_slow(seconds: float) -> Early:
    """For a body that was not whole after so long."""
    return early(
        "body_slow", "408 Request Timeout", "request.timeout",
        f"The request's body did not arrive: it was not whole after {seconds:g} s.", "Send it again, and faster.",
    )  # fmt: skip
