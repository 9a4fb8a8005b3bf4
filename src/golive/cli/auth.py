"""`golive auth`: check a token, show issuers and their keys, revoke tokens.

`check` and `issuers` ask the issuers themselves, from here, with the configuration as it stands; `revoke` works on the
store, also beside running servers, which learn of it within a second; with --url, through a server's HTTP API.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from golive.cli.client import Client, connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, TenantOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, moment, safe, table
from golive.config.load import Loaded, load
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest
from golive.store.revocation import EVERY_TENANT
from golive.tenants.authorize import INSTALLATION
from golive.tenants.directory import no_tenant

app = typer.Typer(no_args_is_help=True, help="Check tokens of OpenID Connect issuers, show their keys, revoke.")
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="A server elsewhere, through its API (--ca FILE: whom to trust).", show_default="the store here"
    ),
]
IssuerOption = Annotated[
    str | None,
    typer.Option("--issuer", metavar="NAME", help="Its section of auth.oidc.", show_default="the only one"),
]

_MOST_BYTES = 65_536


class _Seen(NamedTuple):
    """What became of a token: `refused` is (reason, detail), `verified` who it is of; one of the two is None."""

    refused: tuple[str, str] | None
    verified: Any
    issuers: list[Any]


@app.command()
def check(
    token: Annotated[
        str, typer.Argument(help="The token, or - to read it from standard input: no list shows it then.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why a token is taken, or why not. Clients are never told."""
    text = sys.stdin.read(_MOST_BYTES).strip() if token == "-" else token  # noqa: S105 - no password
    text = text.removeprefix("Bearer ")
    loaded = load(config, os.environ)
    if not loaded.config.auth.oidc:
        raise InvalidRequest(
            "No issuer is configured: no token is taken.", remedy="Write [auth.oidc.NAME] into golive.toml.",
            field="auth.oidc",
        )  # fmt: skip
    seen = run(_check(loaded, text))
    told = _told(text, seen)
    if as_json:
        json_text(told)
    else:
        for name, value in told.items():
            typer.echo(f"{name:<10} {safe(value if isinstance(value, str) else msgspec.json.encode(value).decode())}")
    if seen.refused is not None:
        raise typer.Exit(1)


@app.command()
def issuers(
    config: ConfigOption = None, url: RemoteOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """Show each issuer's discovery and keys: asked now, from here; with --url, as that server sees them."""
    cards = run(_issuers(config, url, key))
    if as_json:
        json_text({"data": cards})
    else:
        rows = [
            (
                card["name"], card["issuer"], card["jwks_url"] or "-",
                ", ".join(f"{each['kid']} {each['algorithm']}" for each in card["keys"]) or "none",
                "; ".join([*([card["error"]] if card["error"] else []), *card["skipped"]]) or "-",
            )
            for card in cards
        ]  # fmt: skip
        columns = (Column("NAME"), Column("ISSUER"), Column("KEYS AT", drop=1), Column("KEYS"), Column("FAULTS"))
        table(columns, rows, empty="No issuer: write [auth.oidc.NAME] into golive.toml")
    if any(card["error"] for card in cards):
        raise typer.Exit(1)


@app.command()
def revoke(
    jti: Annotated[str | None, typer.Option(help="The one token of this id (its claim `jti`).")] = None,
    user: Annotated[str | None, typer.Option(help="All tokens of this user, as the issuer names them.")] = None,
    issuer: IssuerOption = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Made at or before, such as 2026-11-21T09:00Z.", show_default="now"),
    ] = None,
    every_tenant: Annotated[bool, typer.Option("--every-tenant", help="In all tenants.")] = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop taking tokens: one, a user's, or with --issuer alone all of an issuer. Servers heed it within a second."""
    if jti is None and user is None and issuer is None:
        raise InvalidRequest(
            "It does not say which tokens.", remedy="Give --jti ID, --user NAME, or --issuer NAME for all of it.",
            field="jti",
        )  # fmt: skip
    from golive.gateway.token_face import revocation_made

    at = None if before is None else _seconds(before)
    wanted = {"issuer": issuer, "jti": jti, "user": user, "before": at}

    async def here(admin: Any, acts: Any) -> Any:
        of = EVERY_TENANT if every_tenant else tenant or INSTALLATION
        told = {name: str(value) for name, value in wanted.items() if value is not None}
        who = jti or user or issuer or ""
        async with acts.act("users.manage", "tokens", who, tenant or INSTALLATION, **told) as more:
            row, keys = await admin.revoke(of, by="cli", **wanted)
            more["keys"] = ",".join(key.id for key in keys)
            return revocation_made(row, keys)

    async def there(client: Client) -> Any:
        body = {name: value for name, value in wanted.items() if value is not None}
        return await client.call("POST", "/v1/auth/revocations", body | {"every_tenant": every_tenant})

    row = _carried_out(config, url, key, tenant, here, there)
    if as_json:
        json_text(row)
        return
    what = {"jti": "the token", "user": "tokens of", "issuer": "all tokens"}[row["kind"]]
    made = "" if row["kind"] == "jti" else f" made up to {moment(row['before'])} UTC"
    where = "every tenant" if row["tenant"] == EVERY_TENANT else f"tenant {row['tenant']}"
    typer.echo(f"{what} {safe(row['value'])}".rstrip() + f" of {row['issuer']}{made}: not taken in {where}")
    if row["kind"] != "jti":
        typer.echo(f"API keys and sessions of theirs that were revoked: {', '.join(row['keys']) or 'none'}")


@app.command()
def revocations(
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is revoked and may still mean a token."""

    async def here(admin: Any, _: Any) -> Any:
        return {"data": [*await admin.list(EVERY_TENANT), *await admin.list(tenant or INSTALLATION)]}

    async def there(client: Client) -> Any:
        return await client.call("GET", "/v1/auth/revocations")

    rows = _carried_out(config, url, key, tenant, here, there)["data"]
    if as_json:
        json_text({"data": rows})
        return
    columns = (
        Column("TENANT"), Column("ISSUER", drop=2), Column("WHAT"), Column("WHICH"), Column("MADE UP TO (UTC)"),
        Column("BY", drop=1),
    )  # fmt: skip
    table(
        columns,
        [
            (
                row["tenant"], row["issuer"], row["kind"], row["value"] or "all", moment(row["before"] or None),
                row["created_by"],
            )
            for row in rows
        ],
        empty="Nothing is revoked.",
    )  # fmt: skip


# ---- how -------------------------------------------------------------------------------------------------------------


async def _check(loaded: Loaded, text: str) -> _Seen:
    from golive.store.opening import open_store
    from golive.tenants.tokens import Refused

    async with AsyncExitStack() as stack:
        store = await open_store(loaded.config.store.url, loaded.root, SystemClock())
        stack.push_async_callback(store.close)
        verifier = await stack.enter_async_context(_verifying(loaded, store.control_version, store.revocations.all))
        refused = verified = None
        try:
            verified = await verifier.verify(text)
        except Refused as error:
            refused = (error.reason, error.detail)
        return _Seen(refused, verified, verifier.states())


@asynccontextmanager
async def _verifying(loaded: Loaded, version: Any, rows: Any) -> AsyncIterator[Any]:
    """A verifier of the command's own, whose issuers have been asked."""
    from golive.gateway.fetching import fetching
    from golive.models.transport_http import HttpTransport
    from golive.tenants.rolebook import Rolebook
    from golive.tenants.verifier import RevocationSource, TokenVerifier

    transport = HttpTransport()
    verifier = TokenVerifier(
        loaded.config.auth.oidc, role=Rolebook(loaded.config.roles).get, fetch=fetching(transport),
        clock=SystemClock(), source=RevocationSource(version, rows),
    )  # fmt: skip
    try:
        await verifier.refresh()
        for issuer in verifier.issuers.values():
            await issuer.refresh()
        yield verifier
    finally:
        await verifier.close()
        await transport.close()


def _told(text: str, seen: _Seen) -> dict[str, Any]:
    """What is said of a token, in the order in which it is read."""
    from golive.tenants.tokens import Refused, parse

    told: dict[str, Any] = {"token": "taken"}
    if seen.refused is not None:
        told = {"token": f"refused: {seen.refused[0]}", "why": seen.refused[1]}
    try:
        token = parse(text)
    except Refused:
        return told
    told |= {"header": token.header, "issuer": token.issuer}
    names = ("aud", "sub", "exp", "nbf", "iat", "jti")
    told |= {name: token.claims[name] for name in names if name in token.claims}
    faulty = next((state for state in seen.issuers if state.issuer == token.issuer and state.error), None)
    if faulty is not None:
        told["keys"] = f"cannot be read: {faulty.error}"
    if seen.verified is not None:
        principal = seen.verified.principal
        told |= {"section": f"auth.oidc.{seen.verified.issuer}", "tenant": principal.tenant, "user": principal.id,
                 "role": principal.role or "none: all it asks for is answered 403"}  # fmt: skip
    return told


async def _issuers(config: Path | None, url: str | None, key: str | None) -> list[Any]:
    from golive.gateway.token_face import issuer_card

    if url is not None:
        async with connected(config, url, key) as client:
            answer = await client.call("GET", "/v1/auth/issuers")
            cards: list[Any] = answer["data"]
            return cards

    async def none() -> Any:
        return 0

    async def empty() -> Any:
        return []

    async with _verifying(load(config, os.environ), none, empty) as verifier:
        return [msgspec.to_builtins(issuer_card(state)) for state in verifier.states()]


def _carried_out(
    config: Path | None,
    url: str | None,
    key: str | None,
    tenant: str | None,
    here: Callable[[Any, Any], Awaitable[Any]],
    there: Callable[[Client], Awaitable[Any]],
) -> Any:
    """What the API answers, whichever way was taken; on the store itself the act is recorded."""
    from golive.audit.acting import acting
    from golive.config.secrets import Secrets
    from golive.store.opening import open_store
    from golive.tenants.makers import end_keys_of
    from golive.tenants.revoking import TokenAdmin

    async def go() -> Any:
        if url is not None:
            async with connected(config, url, key, tenant) as client:
                return await there(client)
        loaded = load(config, os.environ)
        clock, chance = SystemClock(), SystemChance()
        async with AsyncExitStack() as stack:
            store = await open_store(loaded.config.store.url, loaded.root, clock)
            stack.push_async_callback(store.close)
            secrets = Secrets(loaded.root, os.environ)
            acts = await stack.enter_async_context(acting(loaded, secrets, store.audit, clock, chance))
            if tenant is not None and await store.tenant(tenant).tenant_row() is None:
                raise no_tenant(tenant)
            lasting_s = loaded.config.server.sessions.absolute_s
            admin = TokenAdmin(
                store.revocations, loaded.config.auth.oidc, clock, chance, session_s=lasting_s,
                end_keys=partial(end_keys_of, store, clock),
            )  # fmt: skip
            return msgspec.to_builtins(await here(admin, acts))

    return run(go())


def _seconds(text: str) -> float:
    """A moment as ISO 8601 (UTC where it says nothing else) or seconds since the epoch."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"--before {text[:40]!r} is no moment.", remedy="Write one such as 2026-11-21T09:00Z.", field="before",
            value=text[:40],
        ) from None  # fmt: skip
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
