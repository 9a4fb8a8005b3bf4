"""What can be broken at the edge of HTTP; see `broken_server.py`."""

from typing import Any


def old_tls() -> None:
    """Whatever is configured, TLS 1.2 is spoken, with every cipher that OpenSSL has."""
    from golive.gateway import tls

    real = tls.Certificates._context

    def context(self: Any, pair: Any) -> Any:
        made = real(self, pair)
        made.set_ciphers("ALL:eNULL:@SECLEVEL=0")
        made.minimum_version = tls.ssl.TLSVersion.TLSv1_2
        return made

    tls.Certificates._context = context  # type: ignore[method-assign]


def old_certificate() -> None:
    """A certificate counts until the next start."""
    from golive.gateway.tls import Certificates

    async def reload(self: Any) -> bool:
        return True

    Certificates.reload = reload  # type: ignore[method-assign]


def blind_certificate() -> None:
    """A new certificate is taken however damaged it is, by closing the door to everybody."""
    from golive.core.errors import ConfigError
    from golive.gateway import tls

    real = tls.Certificates.reload

    async def reload(self: Any) -> bool:
        try:
            self._read()
        except ConfigError:
            self._current = tls.ssl.SSLContext(tls.ssl.PROTOCOL_TLS_SERVER)
            return True
        return await real(self)

    tls.Certificates.reload = reload  # type: ignore[method-assign]


def endless_heads() -> None:
    """Heads have all the time in the world."""
    from golive.gateway.protocol import BoundedProtocol

    BoundedProtocol._head_late = lambda self: None  # type: ignore[method-assign]
