"""For which user of a tenant a request is, and whose runs it may be shown.

A person (a token's user) is always itself. A key is nobody, and may name the user it acts for: in the body, each face
in its own field, or with `x-golive-user`, which counts before the body. Who acts in a tenant that is not their own is
nobody there. Owns who that is; who is suspended the tenants' directory says.
"""

from golive.core.errors import Forbidden, InvalidRequest
from golive.core.people import SAID, may_be_user
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Param

_BROKEN = "\N{REPLACEMENT CHARACTER}"
"""In the place of bytes that are no UTF-8."""
USER_HEADER = b"x-golive-user"
TENANT_HEADER = b"x-golive-tenant"
USER_PARAM = Param("x-golive-user", "header", "Keys: the user of the tenant whom this is for, in UTF-8.")


def whose(exchange: Exchange, named: str | None = None, field: str = "user") -> str | None:
    """The user whom what is asked for belongs to; None: to nobody in particular.

    Args:
        named: whom the body names, in `field`.

    Raises:
        InvalidRequest: that is no name of a user; `field` says where it stands.
        Forbidden: a person names another one.
    """
    exchange.user = user = _whose(exchange, named, field)
    return user


def _whose(exchange: Exchange, named: str | None, field: str) -> str | None:
    person = exchange.principal.user
    header = exchange.headers.get(USER_HEADER)
    if header is None and named is None:
        return person
    for given, at in ((None if header is None else header.decode(errors="replace"), "x-golive-user"), (named, field)):
        if given is None:
            continue
        if not may_be_user(given) or _BROKEN in given:
            raise no_user(given, at)
        if person is None:
            return given
        if given != person:
            raise Forbidden(
                f"You are {person[:200]!r} here, and {at} names somebody else.",
                remedy=f"Leave {at} out; a key of the tenant may name the user it acts for.", field=at,
            )  # fmt: skip
    return person


def confined(exchange: Exchange) -> str | None:
    """The user whose runs are all there are for this request; None: all of the tenant's.

    That is a person whose role sees its own runs only, or the user whom a key names in `x-golive-user`.
    Raises as `whose`.
    """
    principal = exchange.principal
    if USER_HEADER in exchange.headers:
        return whose(exchange)
    return principal.user if principal.own_runs else None


def check_once(exchange: Exchange) -> None:
    """Raises InvalidRequest where a request names several tenants or users: others may read another one of them."""
    for name in (TENANT_HEADER, USER_HEADER):
        if name in exchange.headers and sum(each == name for each, _ in exchange.scope["headers"]) > 1:
            field = name.decode()
            raise InvalidRequest(
                f"{field} stands more than once in the request.", remedy="Send it once.", field=field, value=None,
            )  # fmt: skip


def openai_user(user: str | None, safety_identifier: str | None) -> tuple[str | None, str]:
    """The user whom a body in OpenAI's shape names, and in which field."""
    return (safety_identifier, "safety_identifier") if user is None else (user, "user")


def no_user(given: str, field: str) -> InvalidRequest:
    """The refusal of what cannot be the name of a user."""
    return InvalidRequest(
        f"{field} is {given[:80]!r}, which is no name of a user.",
        remedy=f"Send {SAID}, such as an id of your own; in a header as UTF-8.",
        field=field, value=given[:80],
    )  # fmt: skip
