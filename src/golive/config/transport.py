"""What may stand below [server] about the wire: TLS, limits of connections and heads, CORS, browser sessions."""

from typing import Annotated, Literal

from pydantic import Field

from golive.config.section import HEADER, ORIGIN, Seconds, SecretRef, Section

Origin = Annotated[str, Field(pattern=ORIGIN)]
Bytes = Annotated[int, Field(ge=256, le=1_048_576)]


class TlsConfig(Section):
    """[server.tls]: HTTPS by golive itself. Off unless `cert` is set; then nothing is answered without it."""

    cert: str | None = None
    """File with the certificate and what vouches for it, PEM, its own certificate first; relative to golive.toml. Files
    that change are read again, as on SIGHUP; a pair that cannot be used is told in the log, and the old one stays."""
    key: str | None = None
    """File with its private key, PEM; relative to golive.toml."""
    key_password: SecretRef | None = None
    """Reference to the password of the key; absent where it is not encrypted."""
    min_version: Literal["1.3", "1.2"] = "1.3"
    """Oldest version of TLS that is spoken. `1.2` only with ECDHE and AEAD ciphers."""
    client_ca: str | None = None
    """File with the authorities of clients' certificates, PEM: who has none of theirs is not spoken to. A key is needed
    all the same."""
    client_certs: Literal["required", "optional"] = "required"
    """With `client_ca`: whether clients without a certificate are let in; a wrong one never is."""
    hsts_s: Annotated[int, Field(ge=0, le=63_072_000)] = 31_536_000
    """For how long browsers shall come by HTTPS alone (Strict-Transport-Security), seconds; 0 says nothing of it."""


class HttpLimitsConfig(Section):
    """[server.limits]: what a client may make a connection hold before anybody knows who it is."""

    request_line_bytes: Bytes = 8_192
    """Longest address of a request, with its query; more is answered 414."""
    headers: Annotated[int, Field(ge=8, le=10_000)] = 100
    """Most headers of a request; more are answered 431."""
    header_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    """Longest request line and headers together; more is answered 431."""
    header_s: Seconds = 20.0
    """From a connection's beginning, or a request's first byte, to the end of its headers, however they trickle; also
    for a TLS handshake. Then the connection is closed."""
    body_quiet_s: Seconds = 30.0
    """Longest silence within a request's body; then it is answered 408."""
    body_s: Seconds = 300.0
    """Longest time for a whole body, however it trickles; then it is answered 408."""
    idle_s: Seconds = 75.0
    """A connection without a request is closed after this; longer than the 60 s of usual proxies, so that they close
    first."""
    connections: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Most connections at once; more are answered 503. As many as the process may open files when absent."""
    connections_per_ip: Annotated[int, Field(ge=1, le=10_000_000)] = 8_192
    """Most connections at once from one address; more are answered 429. All clients behind one proxy are one."""


class CorsConfig(Section):
    """[server.cors]: which websites' scripts may ask this server from a browser. None unless `origins` names them."""

    origins: tuple[Origin, ...] = ()
    """Exact origins, such as `https://app.example.com`; no patterns."""
    methods: tuple[Literal["GET", "POST", "DELETE"], ...] = ("GET", "POST", "DELETE")
    """Methods that they may use."""
    headers: tuple[Annotated[str, Field(pattern=HEADER)], ...] = (
        "authorization", "content-type", "last-event-id", "idempotency-key",
    )  # fmt: skip
    """Request headers that they may set, in lower case."""
    credentials: bool = False
    """Whether browsers may send cookies along. Sessions stay with this server's own pages either way."""
    max_age_s: Annotated[int, Field(ge=0, le=86_400)] = 600
    """How long a browser may remember this."""


class SessionsConfig(Section):
    """[server.sessions]: browsers that are logged in by a cookie, at an issuer or by a link (`golive login-link`)."""

    enabled: bool = True
    """Whether there are any."""
    idle_s: Annotated[float, Field(ge=60, le=604_800)] = 1_800.0
    """How long a session lasts without a request."""
    absolute_s: Annotated[float, Field(ge=60, le=2_592_000)] = 43_200.0
    """How long a session lasts at most."""
