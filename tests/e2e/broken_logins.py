"""What `broken_server.py` can break of browsers' logins."""

from typing import Any


def login_replay() -> None:
    """What works once works again."""
    from golive.gateway.logins import Logins

    async def take(*_: Any) -> bool:
        return True

    Logins.take = take  # type: ignore[method-assign]


def login_browser() -> None:
    """What is under way is kept by the server, for whoever brings the answer."""
    from golive.gateway.cookies import Cookies

    kept: dict[str, Any] = {}
    real = Cookies.of_pending

    def of_pending(self: Any, pending: Any, local: bool) -> Any:
        kept[pending.state] = pending
        return real(self, pending, local)

    def pending(self: Any, scope: Any, headers: Any) -> Any:
        state = scope["query_string"].decode().partition("state=")[2].partition("&")[0]
        return kept.get(state)

    Cookies.of_pending = of_pending  # type: ignore[method-assign]
    Cookies.pending = pending  # type: ignore[method-assign]


def login_state() -> None:
    """Whatever state comes back is right, and no nonce is looked for."""
    from golive.tenants import code_flow

    code_flow.CodeFlow.check = lambda self, name, pending, answer: pending  # type: ignore[method-assign]
    login_nonce()


def login_nonce() -> None:
    """Of an ID token nobody asks to which login it belongs."""
    from golive.tenants.id_tokens import Expected

    Expected.check = lambda *_: None  # type: ignore[method-assign]


def login_pkce() -> None:
    """The code is changed without proof of who asked for it."""
    from golive.tenants import code_flow

    real = code_flow.CodeFlow._form

    def form(self: Any, *args: Any) -> Any:
        headers, fields = real(self, *args)
        return headers, {name: value for name, value in fields.items() if name != "code_verifier"}

    code_flow.CodeFlow._form = form  # type: ignore[method-assign]


def login_redirect() -> None:
    """After a login people are sent wherever the address says."""
    from golive.gateway import login_face, oidc_login

    oidc_login.path_here = login_face.path_here = lambda text: text


def login_foreign() -> None:
    """Any website begins a login, and ends a session."""
    from golive.gateway import oidc_login
    from golive.gateway.own_origin import OwnOrigin

    oidc_login.ELSEWHERE = ()
    OwnOrigin.counts = lambda *_: True  # type: ignore[method-assign]


def login_logout() -> None:
    """Logging out takes the cookie away and leaves the session."""
    from golive.gateway.cookies import no_session
    from golive.gateway.login_face import LoggedOut, LoginFace

    async def logout(self: Any, exchange: Any) -> None:
        await exchange.json(LoggedOut(), headers=no_session())

    LoginFace.logout = logout  # type: ignore[method-assign]
