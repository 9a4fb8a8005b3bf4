"""`golive audit`: verify, search, export, key. Works on the store itself, beside servers or without one.

`verify FILE` needs no store at all: what `export` wrote, and the public key.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from golive.audit.acting import acting, trusted
from golive.audit.chain import Verdict
from golive.audit.exporting import Export, lines, read, verify_export
from golive.audit.signing import AuditKey, Trusted, audit_key, public_key
from golive.audit.verifying import verify as verify_chain
from golive.cli.options import ConfigOption, JsonOption
from golive.cli.running import run
from golive.cli.show import Column, count, json_text, moment, note, safe, table
from golive.config.load import Loaded, load
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest
from golive.gateway.audit_face import card
from golive.store.audit import INSTALLATION, AuditFilter, AuditStore
from golive.store.opening import open_store

app = typer.Typer(no_args_is_help=True, help="Verify, search, export the log of who did what.")
T = TypeVar("T")

_FAULTS = 1
_COLUMNS = (
    Column("SEQ", right=True), Column("WHEN (UTC)"), Column("WHO"), Column("VERB"), Column("ON"), Column("OUTCOME"),
    Column("FROM", drop=2), Column("ROUTE", drop=1), Column("DETAIL", drop=3),
)  # fmt: skip
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Only this tenant's log.", show_default="all tenants")
]
PublicKeyOption = Annotated[
    str | None,
    typer.Option("--public-key", help="The key to trust: 64 hex digits, or a file.", show_default="this one's"),
]


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="An export, to be verified without a store.")] = None,
    tenant: TenantOption = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Signatures kept elsewhere: an export, or a server's log (JSON lines).")
    ] = None,
    key: PublicKeyOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the log is what was recorded: nothing changed, removed, added or moved. Exits with 1 if not."""
    pinned = _read(checkpoint) if checkpoint is not None else Export(None, {}, {})
    if file is not None:
        found = _read(file)
        chosen = Trusted([_given(key)]) if key is not None else _own(load(config, os.environ))
        verdicts = [one for one in verify_export(found, chosen, pinned) if tenant in (None, one.tenant)]
    else:
        loaded = load(config, os.environ)
        chosen = Trusted([_given(key)]) if key is not None else _own(loaded)

        async def all_of(store: AuditStore, there: list[str]) -> list[Verdict]:
            """One that is there and has no entry is named, too: its whole log may have been taken away."""
            tenants = [*await store.tenants(), *there] if tenant is None else [tenant]
            tenants = sorted({*tenants, *(name for name in pinned.checkpoints if tenant in (None, name))})
            return [await verify_chain(store, one, chosen, pinned.checkpoints.get(one, [])) for one in tenants]

        verdicts = _with_store(loaded, all_of)
    _tell(verdicts, as_json)


def _tell(verdicts: Sequence[Verdict], as_json: bool) -> None:
    faults = [fault for one in verdicts for fault in one.faults]
    if as_json:
        json_text({"tenants": verdicts, "faults": len(faults)})
    else:
        for fault in faults:
            typer.echo("\t".join((safe(fault.tenant), str(fault.seq), fault.what, safe(fault.message))))
        for one in verdicts:
            span = f"{one.first} to {one.last}" if one.entries else "none"
            unsigned = one.last - one.signed
            more = (
                f"; the last {count(unsigned, 'entry').replace('entrys', 'entries')} not signed yet" if unsigned else ""
            )
            gone = f"; up to {one.pruned} pruned" if one.pruned else ""
            verdict = f"{len(one.faults)} faults" if one.faults else "all as recorded"
            note(f"{safe(one.tenant)}: entries {span}, signed up to {one.signed}{more}{gone}: {verdict}")
    if faults:
        raise typer.Exit(_FAULTS)


@app.command()
def search(
    tenant: Annotated[str, typer.Option(help="Whose log.")] = INSTALLATION,
    actor: Annotated[str | None, typer.Option(help="Who, such as key:ab12cd34 or cli.")] = None,
    verb: Annotated[str | None, typer.Option(help="What, such as keys.manage.")] = None,
    resource: Annotated[str | None, typer.Option(help="On what: KIND or KIND:NAME, such as agent:support.")] = None,
    outcome: Annotated[str | None, typer.Option(help="allowed, denied, refused, done or failed.")] = None,
    since: Annotated[str | None, typer.Option(help="From then on: 2026-11-21, or 2026-11-21T10:30 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Before then.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=100_000)] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who did what, newest first."""
    kind, _, name = (resource or "").partition(":")
    where = AuditFilter(
        actor=actor, verb=verb, kind=kind or None, name=name or None, outcome=outcome, since=_moment("since", since),
        until=_moment("until", until), limit=limit,
    )  # fmt: skip
    rows = _with_store(load(config, os.environ), lambda store, _: store.tenant(tenant).search(where))
    cards = [card(row) for row in rows]
    if as_json:
        json_text({"data": cards})
        return
    table(
        _COLUMNS,
        [
            (
                one.seq, moment(one.at), one.actor, one.verb, f"{one.kind}:{one.name}" if one.name else one.kind,
                one.outcome, one.source or "-", one.route or "-",
                " ".join(f"{key}={value}" for key, value in one.detail.items()) or "-",
            )
            for one in cards
        ],
        empty="Nothing of that was recorded.",
    )  # fmt: skip


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it; - for standard output.")],
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the log as JSON lines that anybody can verify with the public key alone. The export itself is recorded."""
    loaded = load(config, os.environ)
    secrets = Secrets(loaded.root, os.environ)

    async def go(store: AuditStore, _: list[str]) -> int:
        async with (
            acting(loaded, secrets, store, SystemClock(), SystemChance()) as acts,
            acts.act("audit.read", "audit", tenant or "", did="export"),
        ):
            tenants = await store.tenants() if tenant is None else [tenant]
            key = audit_key(loaded.config.secrets.audit_key, loaded.root, secrets.resolve, None)
            return await _write(file, store, tenants, key)

    written = _with_store(loaded, go)
    note(f"{file}: {count(written, 'line')}. Verify it with: golive audit verify {file} --public-key KEY")


async def _write(file: Path, store: AuditStore, tenants: Sequence[str], key: AuditKey) -> int:
    written = 0
    if str(file) == "-":
        async for line in lines(store, tenants, key, SystemClock()):
            typer.echo(line)
            written += 1
        return written
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        async for line in lines(store, tenants, key, SystemClock()):
            out.write(line + "\n")
            written += 1
    return written


@app.command("key")
def show_key(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the public key that verifies the log: keep it where who can write to the store cannot."""
    loaded = load(config, os.environ)
    secrets = Secrets(loaded.root, os.environ)
    key = audit_key(loaded.config.secrets.audit_key, loaded.root, secrets.resolve, SystemChance())
    if as_json:
        json_text({"public_key": key.public.hex(), "key_id": key.id})
    else:
        typer.echo(key.public.hex())
        note(f"Key {key.id}. It verifies; it cannot sign.")


def _own(loaded: Loaded) -> Trusted:
    """The installation's own key, and earlier ones that the configuration trusts. None is made here."""
    secrets = Secrets(loaded.root, os.environ)
    key = audit_key(loaded.config.secrets.audit_key, loaded.root, secrets.resolve, None)
    return trusted(key.public, loaded.config.audit.trusted_keys)


def _given(key: str) -> bytes:
    path = Path(key)
    try:
        return public_key(path.read_text("utf-8") if path.is_file() else key)
    except (OSError, UnicodeDecodeError):
        return public_key("")


def _read(file: Path) -> Export:
    try:
        with file.open(encoding="utf-8") as text:
            return read(text, str(file))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidRequest(
            f"{file} cannot be read: {why}.", remedy="Give a file that `golive audit export` wrote.", field="file",
            value=str(file),
        ) from error  # fmt: skip


def _with_store(loaded: Loaded, doing: Callable[[AuditStore, list[str]], Awaitable[T]]) -> T:
    """`doing` is given the log, and the names of the tenants that there are, erased ones left out."""

    async def go() -> T:
        store = await open_store(loaded.config.store.url, loaded.root, SystemClock())
        try:
            there = [row.tenant for row in await store.all_tenants() if row.state != "erased"]
            return await doing(store.audit, there)
        finally:
            await store.close()

    return run(go())


def _moment(option: str, told: str | None) -> float | None:
    """Seconds since the epoch. Raises InvalidRequest, naming the option."""
    if told is None:
        return None
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        raise InvalidRequest(
            f"--{option} {told[:40]!r} is no time.", remedy="Write it as 2026-11-21, or 2026-11-21T10:30 (UTC).",
            field=option, value=told[:40],
        ) from None  # fmt: skip
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
