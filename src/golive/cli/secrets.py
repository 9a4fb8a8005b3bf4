"""`golive secrets`: how credentials stand, rotating and revoking them, environments that share one, leaks.

Works on the backends and the store itself, also beside running servers, which learn of it; with --url, through a
server's HTTP API.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from golive.audit.acting import Acts, acting
from golive.cli import data_keys
from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption
from golive.cli.running import run
from golive.cli.show import Column, count, json_text, moment, note, table
from golive.config.load import Loaded, load
from golive.config.secret_use import client_files, joined, key_files, of_others, references
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, GoliveError
from golive.guards import environments
from golive.guards.dotenv import exposed
from golive.guards.redact import Redactor
from golive.guards.scanning import Scanner
from golive.guards.secret_cards import SecretCard
from golive.guards.secret_keeper import SecretKeeper
from golive.store.opening import open_store
from golive.telemetry.logs import configure
from golive.telemetry.metrics import Metrics
from golive.telemetry.secrets import SecretMetrics
from golive.tenants.directory import settings_of
from golive.tenants.pepper import pepper_of

app = typer.Typer(no_args_is_help=True, help="Show, rotate and revoke the credentials that golive uses.")
data_keys.add_to(app)
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="A server elsewhere, through its API (--ca FILE: whom to trust).", show_default="the store here"
    ),
]
EXIT_FOUND = 3
_COLUMNS = (
    Column("REFERENCE"), Column("STATE"), Column("FINGERPRINT"), Column("AGE (DAYS)"), Column("DUE (UTC)", drop=1),
    Column("LAST USED", drop=2), Column("USED BY", drop=3),
)  # fmt: skip
Work = Callable[["Here"], Awaitable[Any]]


class Here:
    """The installation's secrets, without a server."""

    def __init__(
        self, loaded: Loaded, secrets: Secrets, keeper: SecretKeeper, acts: Acts, of_tenants: Iterable[str] = ()
    ) -> None:
        """`of_tenants`: the references of tenants' own credentials."""
        self.loaded = loaded
        self.secrets = secrets
        self.keeper = keeper
        self.acts = acts
        self.of_tenants = tuple(of_tenants)

    def values(self) -> dict[str, str]:
        """The references that others gave to golive, with what stands behind them now."""
        found: dict[str, str] = {}
        for reference in of_others(self.loaded.config):
            try:
                found[reference] = self.secrets.resolve(reference)
            except GoliveError:
                continue
        return found

    def manifest(self) -> Path | None:
        """Where the environments' manifest is."""
        name = self.loaded.config.environment.manifest
        return None if name is None else self.loaded.root / name


@app.command()
def status(
    config: ConfigOption = None, url: RemoteOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """Show each secret: where it is kept, its age, when it is due, its fingerprint. Never a value."""

    async def here(place: Here) -> Any:
        cards = _with_others(place, place.keeper.cards())
        return msgspec.to_builtins({"data": cards, "revoked": place.keeper.revoked()})

    found = _carried_out(config, url, key, here, ("GET", "/v1/secrets", None))
    if as_json:
        json_text(found)
        return
    table(
        _COLUMNS,
        [
            (
                card["reference"], "due" if card["remind"] and card["state"] == "fresh" else card["state"],
                card["fingerprint"], "" if card["age_days"] is None else f"{card['age_days']:.1f}",
                moment(card["due_at"]), moment(card["last_used_at"]), ", ".join(card["used_by"]),
            )
            for card in found["data"]
        ],
        empty="No secrets: the configuration names none.",
    )  # fmt: skip
    for card in found["data"]:
        if card["problem"]:
            note(f"{card['reference']}: {card['problem']}")
        if card["other_environments"]:
            note(f"{card['reference']} is the credential of {', '.join(card['other_environments'])}, too.")
    for card in found["revoked"]:
        note(f"{card['fingerprint']} ({card['reference'] or 'unseen'}) revoked: {card['reason']}")


@app.command()
def rotate(
    reference: Annotated[str, typer.Argument(metavar="REF", help="The reference, as the configuration has it.")],
    value: Annotated[
        str | None, typer.Option(help="Where the new value is (env:NAME or file:PATH); else the backend makes one.")
    ] = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Replace the value behind a reference. Calls under way finish on the old one, and new ones take the new."""
    if value is not None and url is not None:
        raise ConfigError(
            "--value is not sent to a server.", remedy="Run it where the backend can be reached, without --url.",
            key="--value", value="", origin="command line",
        )  # fmt: skip

    async def here(place: Here) -> Any:
        _demand(place, reference)
        fresh = None if value is None else place.secrets.resolve(value)
        async with place.acts.act("secrets.manage", "secret", reference, did="rotate"):
            return {"done": await place.keeper.rotate(reference, fresh)}

    asked = ("POST", "/v1/secrets/rotate", {"reference": reference})
    typer.echo(f"rotated {reference}: {_carried_out(config, url, key, here, asked)['done']}")
    note("Revoke the old value at its vendor once no call uses it (golive secrets status).")


@app.command()
def revoke(
    secret: Annotated[str, typer.Argument(metavar="REF|FINGERPRINT", help="Whose present value, or which value.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log, the audit log and the status.")],
    cut: Annotated[bool, typer.Option("--cut", help="End calls under way with it, too.")] = False,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Stop using a credential, on every server within a second. For good: put a new one in its place."""

    async def here(place: Here) -> Any:
        async with place.acts.act("secrets.manage", "secret", secret, did="revoke", reason=reason):
            return msgspec.to_builtins(await place.keeper.revoke(secret, reason=reason, by="cli", cut=cut))

    asked = ("POST", "/v1/secrets/revoke", {"secret": secret, "reason": reason, "cut": cut})
    card = _carried_out(config, url, key, here, asked)
    typer.echo(f"revoked {card['fingerprint']} ({card['reference'] or 'no server has seen it'})")
    note("It is revoked here, not at its vendor: do that, too.")


@app.command()
def manifest(
    write: Annotated[bool, typer.Option("--write", help="Note this environment's credentials in it.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell whether environments share a credential, by the file environment.manifest; exit code 3 if they do."""

    async def here(place: Here) -> Any:
        path, name = place.manifest(), place.loaded.config.environment.name
        if path is None or (write and name is None):
            raise ConfigError(
                "the environment has no manifest." if path is None else "the environment has no name.",
                remedy='Set `name` and `manifest` in [environment] of golive.toml; GOLIVE_ENVIRONMENT="prod" names it, '
                "too.", key="environment.manifest" if path is None else "environment.name", value="", origin="",
            )  # fmt: skip
        if write:
            assert name is not None
            found = environments.write(path, name, place.values(), SystemChance(), SystemClock().now())
        else:
            found = environments.read(path) or environments.Manifest("")
        noted = {name: len(each.credentials) for name, each in found.environments.items()}
        return {"environments": noted, "shared": [list(each) for each in found.shared()]}

    found = _carried_out(config, None, None, here, None)
    if as_json:
        json_text(found)
    else:
        for name, credentials in found["environments"].items():
            typer.echo(f"{name}: {count(credentials, 'credential')}")
        for one, reference, other, same in found["shared"]:
            typer.echo(f"shared: {one} ({reference}) and {other} ({same}) have the same credential")
    if found["shared"]:
        raise typer.Exit(EXIT_FOUND)


def _demand(place: Here, reference: str) -> None:
    used = dict.fromkeys((*of_others(place.loaded.config), *place.of_tenants))
    if reference not in used:
        raise ConfigError(
            f"neither the configuration nor a tenant's credentials name a secret `{reference}`.",
            remedy=f"They name: {', '.join(used) or 'none'}.", key="REF", value=reference, origin="command line",
        )  # fmt: skip


def _with_others(place: Here, cards: list[SecretCard]) -> list[SecretCard]:
    """The cards with the environments that have the same value."""
    path = place.manifest()
    found = None if path is None else environments.read(path)
    if found is None:
        return cards
    others = found.elsewhere(place.loaded.config.environment.name or "", place.values())
    return [msgspec.structs.replace(card, other_environments=others.get(card.reference, ())) for card in cards]


def _carried_out(
    config: Path | None, url: str | None, key: str | None, here: Work, there: tuple[str, str, Any] | None
) -> Any:
    """What the API answers, whichever way was taken."""

    async def go() -> Any:
        if url is not None and there is not None:
            async with connected(config, url, key) as client:
                return await client.call(*there)
        async with _opened(load(config, os.environ)) as place:
            return await here(place)

    return run(go())


@asynccontextmanager
async def _opened(loaded: Loaded) -> AsyncIterator[Here]:
    clock, chance, redactor = SystemClock(), SystemChance(), Redactor()
    store = await open_store(loaded.config.store.url, loaded.root, clock)
    try:
        secrets = Secrets.of(loaded.root, os.environ, loaded.config.secrets, clock)
        await pepper_of(store, secrets, loaded.root, loaded.config.secrets.pepper, chance, clock)
        of_tenants = settings_of(await store.all_credentials())
        keeper = SecretKeeper(
            secrets, store, clock, configure("error", "auto", redactor.value, clock=clock),
            SecretMetrics(Metrics().registry), used=lambda: joined(references(loaded.config), of_tenants),
            rotation=loaded.config.secrets.rotation, learn=redactor.learn, cut=lambda values: 0,
        )  # fmt: skip
        await keeper.look()
        async with acting(loaded, secrets, store.audit, clock, chance) as acts:
            yield Here(loaded, secrets, keeper, acts, of_tenants)
        await keeper.close()
    finally:
        await store.close()


@app.command()
def scan(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders.", show_default="the folder of golive.toml")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for credentials where they must not be: source, configuration, database, logs. Exit code 3: some found."""
    known, spared, keys, root = _own(config, bool(paths))
    scanner = Scanner(known, spared)
    leaks = scanner.scan(paths or [root])
    for folder in paths or [root]:
        leaks += exposed(folder, keys) if folder.is_dir() else []
    if as_json:
        json_text({"data": msgspec.to_builtins(leaks), "files": scanner.files, "bytes": scanner.bytes})
    else:
        for leak in leaks:
            typer.echo(str(leak))
        note(f"{count(scanner.files, 'file')}, {scanner.bytes / 1e6:.1f} MB: {count(len(leaks), 'finding')}")
    if leaks:
        raise typer.Exit(EXIT_FOUND)


def _own(config: Path | None, elsewhere: bool) -> tuple[dict[str, str], list[Path], list[Path], Path]:
    """The installation's values by reference, the files where they belong, those of private keys, and its folder; none
    of it elsewhere."""
    try:
        loaded = load(config, os.environ)
    except ConfigError:
        if not elsewhere or config is not None:
            raise
        return {}, [], [], Path.cwd()
    secrets = Secrets.of(loaded.root, os.environ, loaded.config.secrets)
    known: dict[str, str] = {}
    for reference in references(loaded.config):
        with suppress(GoliveError):  # what there is not cannot have leaked
            known[reference] = secrets.resolve(reference)
    files = [loaded.root / each[5:] for each in references(loaded.config) if each.startswith("file:")]
    keys = key_files(loaded.config, loaded.root)
    return known, [*files, *keys, *client_files(loaded.root), *loaded.root.glob(".env*")], keys, loaded.root
