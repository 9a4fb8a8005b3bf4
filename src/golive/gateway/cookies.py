"""Cookies of browsers: sessions, and logins under way. What is in one only this installation can read, and make.

Over HTTPS they are `__Host-`: Secure, for this very host, for no path less than all. A session is SameSite=Strict: no
other website's request carries it. A login under way is Lax, for the issuer leads the browser back.
"""

from collections.abc import Mapping

from golive.config.transport import SessionsConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.gateway.exchange import Scope
from golive.gateway.own_origin import OwnOrigin
from golive.tenants.sealed_slips import Pending, Session, Slips

COOKIE, PENDING = "__Host-golive", "__Host-golive-login"
LOCAL_COOKIE, LOCAL_PENDING = "golive-session", "golive-login"
"""On this machine over plain HTTP, where browsers keep no cookie that is `Secure`."""

Header = tuple[bytes, bytes]


class Cookies:
    """Reads and writes them."""

    def __init__(self, config: SessionsConfig, slips: Slips, origin: OwnOrigin, clock: Clock, chance: Chance) -> None:
        self.config = config
        self.origin = origin
        self.slips = slips
        self._clock = clock
        self._chance = chance

    def session(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Session | None:
        """The session of the request's cookie; None where there is none that can be used still."""
        for value in self._values(scope, headers, COOKIE, LOCAL_COOKIE):
            if (session := self.slips.session(value)) is not None:
                now = self._clock.now()
                idle = now - session.seen_at > self.config.idle_s
                return None if idle or now >= session.ends_at else session
        return None

    def pending(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Pending | None:
        """The login that this browser has under way, late or not."""
        for value in self._values(scope, headers, PENDING, LOCAL_PENDING):
            if (pending := self.slips.pending(value)) is not None:
                return pending
        return None

    def of_session(self, session: Session, local: bool) -> Header:
        """What gives a browser its session; `local`: on this machine, over plain HTTP."""
        age = max(0, round(session.ends_at - self._clock.now()))
        value = self.slips.seal_session(session, self._chance)
        return _set(LOCAL_COOKIE if local else COOKIE, value, age, "Strict", local)

    def of_pending(self, pending: Pending, local: bool) -> Header:
        """What gives a browser its login under way."""
        age = max(0, round(pending.expires_at - self._clock.now()))
        value = self.slips.seal_pending(pending, self._chance)
        return _set(LOCAL_PENDING if local else PENDING, value, age, "Lax", local)

    def _values(self, scope: Scope, headers: Mapping[bytes, bytes], name: str, local_name: str) -> list[str]:
        wanted = (name, local_name) if self.origin.local(scope, headers) else (name,)
        parts = [part.strip().partition("=") for part in headers.get(b"cookie", b"").decode("latin-1").split(";")]
        return [value for found, _, value in parts if found in wanted]


def no_session() -> list[Header]:
    """Takes the session away, whichever way the browser came by it."""
    return [_set(COOKIE, "", 0, "Strict", False), _set(LOCAL_COOKIE, "", 0, "Strict", True)]


def no_pending() -> list[Header]:
    """Takes the login under way away."""
    return [_set(PENDING, "", 0, "Lax", False), _set(LOCAL_PENDING, "", 0, "Lax", True)]


def _set(name: str, value: str, age: int, same_site: str, local: bool) -> Header:
    secure = "" if local else " Secure;"
    return b"set-cookie", f"{name}={value}; Path=/; Max-Age={age};{secure} HttpOnly; SameSite={same_site}".encode()
