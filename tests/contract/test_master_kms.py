"""A master key that AWS KMS holds: moto's KMS over real HTTP, and the data keys of a real store under it."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from msgspec.structs import replace

from golive.config.master_keys import make, master_key
from golive.config.schema import SecretsConfig
from golive.config.secret_settings import AwsConfig
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, ContentSealed, StoreUnavailable
from golive.store.data_keys import DataKeyRow
from golive.store.opening import open_store
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.opening import seal
from golive.store.sealed.rotation import rewrap
from golive.telemetry.logs import configure
from tests.contract.secrets_kit import Aws, aws_server, free_port
from tests.contract.store_kit import events, lease

REGION = "eu-central-1"
LOG: Any = configure("error", "json", None, io.StringIO())


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws_server() as server:
        yield server


@pytest.fixture
def kms(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """moto's KMS; golive finds its credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return boto3.client("kms", endpoint_url=aws.url, region_name=REGION)


def key_of(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


def settings(url: str, reference: str, *old: str, timeout_s: float = 5.0) -> SecretsConfig:
    aws = AwsConfig(region=REGION, kms_endpoint_url=url, timeout_s=timeout_s)
    return SecretsConfig(master_key=reference, old_master_keys=old, aws=aws)


class Place:
    """A folder with a store, and servers that use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stores: list[Any] = []

    async def plain(self) -> Any:
        store = await open_store("sqlite:golive.db", self.root, SystemClock())
        self._stores.append(store)
        return store

    async def server(self, how: SecretsConfig) -> Any:
        around = (Secrets.of(self.root, {}, how), self.root, how, SystemClock(), SystemChance(), LOG)
        return await seal(await self.plain(), *around)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.close()


async def says(store: Any, run: str, tenant: str = "acme", user: str | None = None) -> None:
    of = replace(lease(run, tenant=tenant), user=user)
    await store.append(of, 0, events(range(1, 3), of, run.encode()))


async def said(store: Any, run: str, tenant: str = "acme") -> list[bytes]:
    return [event.body for event in await store.tenant(tenant).events(run)]


async def test_content_is_sealed_under_a_key_that_only_kms_can_unwrap(place: Place, kms: Any, aws: Aws) -> None:
    """A server that starts anew opens what another wrote, under keys of tenants and users; rows name the key's ARN."""
    arn = key_of(kms)
    first = await place.server(settings(aws.url, f"aws-kms:{arn.rpartition('/')[2]}"))
    await says(first, "run_1")
    await says(first, "run_2", user="ada")
    second = await place.server(settings(aws.url, f"aws-kms:{arn}"))
    assert await said(second, "run_1") == [b"run_1"] * 2
    assert await said(second, "run_2") == [b"run_2"] * 2
    counted = {(row.scope, row.master, row.count) for row in await first.data_keys.counts()}
    assert counted == {("tenant", f"aws-kms:{arn}", 1), ("user", f"aws-kms:{arn}", 1)}


@pytest.mark.parametrize("moved", ["tenant", "id", "subject", "scope"])
async def test_a_wrapped_key_unwraps_in_its_own_row_alone(kms: Any, aws: Aws, moved: str) -> None:
    """KMS itself holds it to tenant, key id and subject: what was moved it refuses to open."""
    masters = masters_under(settings(aws.url, f"aws-kms:{key_of(kms)}"))
    row = await masters.made("acme", "dk_1", 1.0, SystemChance(), "user", "ada")
    assert len(await masters.unwrapped(row)) == 32
    elsewhere = {"tenant": "beta", "id": "dk_2", "subject": "bob", "scope": "tenant"}
    with pytest.raises(ContentSealed, match="its row was changed"):
        await masters.unwrapped(replace(row, **{moved: elsewhere[moved]}))


async def test_nobody_else_s_key_of_kms_is_taken(kms: Any, aws: Aws) -> None:
    """A key that somebody wrapped for the same place with another key of KMS is refused, though KMS could open it."""
    masters = masters_under(settings(aws.url, f"aws-kms:{key_of(kms)}"))
    other = masters_under(settings(aws.url, f"aws-kms:{key_of(kms)}"))
    row = await other.made("acme", "dk_1", 1.0, SystemChance())
    with pytest.raises((ContentSealed, ConfigError)):  # AWS: IncorrectKeyException; moto: AccessDeniedException
        await masters.unwrapped(replace(row, master=masters.present))


async def test_kms_is_told_no_user_s_name(kms: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is told it may log for ever: tenant and key id, and a digest of the rest."""
    from golive.config.secret_backends.aws_kms import KmsKey

    told: list[dict[str, str]] = []
    wrap = KmsKey.wrap

    def hearing(self: KmsKey, key: bytes, context: dict[str, str]) -> bytes:
        told.append(context)
        return wrap(self, key, context)

    monkeypatch.setattr(KmsKey, "wrap", hearing)
    masters = masters_under(settings(aws.url, f"aws-kms:{key_of(kms)}"))
    await masters.made("acme", "dk_1", 1.0, SystemChance(), "user", "ada@example.com")
    [context] = told
    assert (context["golive-tenant"], context["golive-key"]) == ("acme", "dk_1")
    assert "ada" not in str(context)


async def test_an_alias_is_a_key_too_and_the_row_stays_with_the_key(kms: Any, aws: Aws) -> None:
    """An alias that means another key one day does not change which key a row names."""
    first, second = key_of(kms), key_of(kms)
    alias = f"alias/golive-{first[-8:]}"
    kms.create_alias(AliasName=alias, TargetKeyId=first)
    row = await masters_under(settings(aws.url, f"aws-kms:{alias}")).made("acme", "dk_1", 1.0, SystemChance())
    assert row.master == f"aws-kms:{first}"
    kms.update_alias(AliasName=alias, TargetKeyId=second)
    later = masters_under(settings(aws.url, f"aws-kms:{alias}"))
    assert later.present == f"aws-kms:{second}"
    with pytest.raises(ContentSealed, match=f"under the master key aws-kms:{first}"):
        await later.unwrapped(row)
    both = masters_under(settings(aws.url, f"aws-kms:{alias}", f"aws-kms:{first}"))
    assert len(await both.unwrapped(row)) == 32


async def test_from_a_file_to_kms_and_back_while_servers_write(place: Place, kms: Any, aws: Aws) -> None:
    """Each server goes on through both changes, those that start meanwhile open all, and nothing is left behind."""
    arn, secrets = f"aws-kms:{key_of(kms)}", Secrets.of(place.root, {}, settings(aws.url, "file:a.key"))
    file, kept = settings(aws.url, "file:a.key"), settings(aws.url, arn, "file:a.key")
    servers = [await place.server(file)]
    runs = 0

    async def all_go_on() -> None:
        nonlocal runs
        for server in list(servers):
            for user in (None, f"user-{runs}"):
                runs += 1
                await says(server, f"run_{runs}", user=user)
        for server in servers:
            assert await said(server, f"run_{runs}") == [f"run_{runs}".encode()] * 2
            assert await said(server, "run_1") == [b"run_1"] * 2

    await all_go_on()
    for present, old, how in ((arn, "file:a.key", kept), ("file:b.key", arn, settings(aws.url, "file:b.key", arn))):
        if present == "file:b.key":
            make(place.root / "b.key", present, SystemChance())
        to = Masters(
            await servers[0].data_keys.installation(), master_key(secrets, present), [master_key(secrets, old)]
        )
        done = await rewrap(servers[0].data_keys, to, SystemChance())
        assert done.wrapped > 0
        await all_go_on()  # on keys that they have; what they make is under the old master key
        servers.append(await place.server(how))
        servers.pop(0)
        await all_go_on()
        again = await rewrap(servers[0].data_keys, to, SystemChance())
        assert again.wrapped > 0  # what was made meanwhile
        assert (await rewrap(servers[0].data_keys, to, SystemChance())).wrapped == 0
    last = await place.server(settings(aws.url, "file:b.key"))
    for number in range(1, runs + 1):
        assert await said(last, f"run_{number}") == [f"run_{number}".encode()] * 2


async def test_an_outage_of_kms_does_not_matter_for_what_is_unwrapped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known tenants go on; a new one waits as for a database that is away, and is served once KMS is back."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr("golive.store.sealed.master.AGAIN_S", 0.0)
    aws = Aws()
    arn = key_of(boto3.client("kms", endpoint_url=aws.url, region_name=REGION))
    server = await place.server(settings(aws.url, f"aws-kms:{arn}", timeout_s=1.0))
    await says(server, "run_1")
    aws.stop()
    await says(server, "run_2")
    assert await said(server, "run_1") == [b"run_1"] * 2
    await server.data_keys_in_use.refresh()
    assert await said(server, "run_2") == [b"run_2"] * 2
    with pytest.raises(StoreUnavailable, match="AWS KMS cannot be asked"):
        await says(server, "run_3", tenant="beta")
    again = ThreadedMotoServer(ip_address="127.0.0.1", port=aws.port, verbose=False)
    again.start()
    try:
        await says(server, "run_3", tenant="beta")
        assert await said(server, "run_3", tenant="beta") == [b"run_3"] * 2
    finally:
        again.stop()


async def test_a_start_without_kms_is_refused_with_what_to_do(
    place: Place, kms: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one with a key that it does not have, or may not use."""
    nowhere = settings(f"http://127.0.0.1:{free_port()}", f"aws-kms:{key_of(kms)}", timeout_s=1.0)
    server = await place.server(settings(aws.url, nowhere.master_key))
    await says(server, "run_1")
    with pytest.raises(StoreUnavailable, match="AWS KMS cannot be asked") as caught:
        await place.server(nowhere)
    assert "secrets.aws.region" in (caught.value.remedy or "")
    assert ".." not in caught.value.message
    with pytest.raises(ConfigError, match="NotFoundException") as refused:
        await place.server(settings(aws.url, "aws-kms:alias/there-is-none"))
    assert "kms:Decrypt" in (refused.value.remedy or "")


# ---- the event loop --------------------------------------------------------------------------------------------------


class Slow:
    """A holder that answers only while the event loop turns: one that were waited for on it would never answer."""

    name = "slow:1"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.asked = 0

    def _turn(self) -> None:
        self.asked += 1
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(10.0)

    def wrap(self, key: bytes, context: Any) -> bytes:
        self._turn()
        return key[::-1]

    def unwrap(self, wrapped: bytes, context: Any) -> bytes:
        self._turn()
        return wrapped[::-1]


class Rows:
    """As much of a `DataKeyStore` as is needed."""

    def __init__(self, rows: list[DataKeyRow]) -> None:
        self._rows = rows

    async def all(self) -> list[DataKeyRow]:
        return self._rows

    async def erased(self, places: Any) -> list[Any]:
        return []

    async def counts(self) -> list[Any]:
        return []


async def test_the_event_loop_never_waits_for_a_holder() -> None:
    """At the start, on refresh, when keys are made and wrapped anew; each key is asked for once."""
    holder = Slow(asyncio.get_running_loop())
    masters = Masters("inst_1", holder)
    rows = [await masters.made(f"tenant-{number}", f"dk_{number}", 1.0, SystemChance()) for number in range(40)]
    before = holder.asked
    keys = DataKeys(Rows(rows), masters, SystemClock(), SystemChance(), LOG)  # type: ignore[arg-type]
    await keys.start()
    await keys.refresh()
    assert holder.asked - before == 40
    assert keys.known("tenant-7", "dk_7") is not None
    assert await masters.wrapped_anew(rows[0], SystemChance()) == rows[0].wrapped
    calls: tuple[Callable[[], Any], ...] = (
        lambda: masters.unwrap(rows[0]), lambda: masters.rewrapped(rows[0], SystemChance()),
        lambda: masters.new("t", "dk", 1.0, SystemChance()),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(AssertionError, match="the event loop would wait"):
            call()


def masters_under(how: SecretsConfig) -> Masters:
    secrets = Secrets.of(Path(), {}, how)
    return Masters(
        "inst_1", master_key(secrets, how.master_key), [master_key(secrets, one) for one in how.old_master_keys]
    )
