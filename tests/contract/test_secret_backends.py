"""`aws-sm:` against moto's server over HTTP, `vault:` against a real OpenBao server: values, refusals, rotation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from golive.config.secret_backends import vault as vault_backend
from golive.config.secret_settings import AwsConfig, VaultConfig
from golive.config.secrets import Secrets
from golive.core.errors import ConfigError, InvalidRequest, SecretMissing, SecretUnavailable
from tests.contract.secrets_kit import ROOT_TOKEN, Aws, Bao, aws_server, bao_server, free_port

ENVIRON = {"TOKEN": ROOT_TOKEN}


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    with bao_server(tmp_path_factory.mktemp("bao")) as found:
        yield found


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with aws_server() as found:
        yield found


@pytest.fixture
def in_vault(bao: Bao, tmp_path: Path) -> Secrets:
    return Secrets(tmp_path, ENVIRON, vault=VaultConfig(url=bao.url, token="env:TOKEN"))


@pytest.fixture
def in_aws(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secrets:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return Secrets(tmp_path, {}, aws=AwsConfig(region="eu-central-1", endpoint_url=aws.url))


# ---- AWS Secrets Manager ---------------------------------------------------------------------------------------------


def test_a_secret_of_aws_is_a_text_or_a_key_of_its_json(aws: Aws, in_aws: Secrets) -> None:
    """Also one whose name has slashes, and an earlier version by its stage."""
    aws.client.create_secret(Name="prod/openai", SecretString="sk-plain-1")
    aws.client.create_secret(Name="prod/both", SecretString='{"api_key": "sk-json-1", "other": "x"}')
    aws.client.put_secret_value(SecretId="prod/openai", SecretString="sk-plain-2")
    assert in_aws.resolve("aws-sm:prod/openai") == "sk-plain-2"
    assert in_aws.resolve("aws-sm:prod/openai@AWSPREVIOUS") == "sk-plain-1"
    assert in_aws.resolve("aws-sm:prod/both#api_key") == "sk-json-1"
    assert in_aws.resolve("aws-sm:prod/both#other@AWSCURRENT") == "x"
    [held, *_] = in_aws.held()
    assert held.found is not None
    assert held.found.version
    assert held.found.made_at is not None
    assert in_aws.known() == {"sk-plain-1", "sk-plain-2", "sk-json-1", "x"}


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("aws-sm:nowhere", "AWS Secrets Manager says ResourceNotFoundException"),
        ("aws-sm:json/plain#key", "is no JSON object"),
        ("aws-sm:json/object#nope", "has no text under the key 'nope'"),
        ("aws-sm:json/object@NOSUCH", "ResourceNotFoundException"),
    ],
)
def test_what_aws_does_not_have_is_told(aws: Aws, in_aws: Secrets, reference: str, told: str) -> None:
    """The reference, the reason and what to do; never the value."""
    existing = {secret["Name"] for secret in aws.client.list_secrets()["SecretList"]}
    if "json/plain" not in existing:
        aws.client.create_secret(Name="json/plain", SecretString="sk-plain-very-secret")
        aws.client.create_secret(Name="json/object", SecretString='{"key": "sk-json-very-secret"}')
    with pytest.raises(SecretMissing) as caught:
        in_aws.resolve(reference)
    assert told in caught.value.message
    assert f"`{reference}`" in caught.value.message
    assert caught.value.remedy
    assert "very-secret" not in str(caught.value) + repr(caught.value.fields)


def test_aws_that_is_away_is_unavailable_and_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what was fetched before goes on being used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    nobody = AwsConfig(region="eu-central-1", endpoint_url=f"http://127.0.0.1:{free_port()}", timeout_s=1.0)
    with pytest.raises(SecretUnavailable, match="cannot be asked for `aws-sm:x`: EndpointConnectionError"):
        Secrets(tmp_path, {}, aws=nobody).resolve("aws-sm:x")


def test_a_new_value_becomes_the_next_version_in_aws(aws: Aws, in_aws: Secrets) -> None:
    """Of a JSON secret the other keys stay; the value there was before can still be had."""
    aws.client.create_secret(Name="rotated", SecretString='{"a": "a-one", "b": "b-one"}')
    assert in_aws.resolve("aws-sm:rotated#a") == "a-one"
    assert "new version" in in_aws.rotate("aws-sm:rotated#a", "a-two")
    assert in_aws.resolve("aws-sm:rotated#a") == "a-one"  # until it is fetched anew
    assert in_aws.anew("aws-sm:rotated#a") is True
    assert in_aws.resolve("aws-sm:rotated#a") == "a-two"
    assert in_aws.resolve("aws-sm:rotated#b") == "b-one"
    assert in_aws.resolve("aws-sm:rotated#a@AWSPREVIOUS") == "a-one"


def test_a_secret_without_a_rotation_function_says_what_to_do(aws: Aws, in_aws: Secrets) -> None:
    """AWS can make a new value only by a function of its owner's."""
    aws.client.create_secret(Name="handmade", SecretString="one")
    with pytest.raises(InvalidRequest) as caught:
        in_aws.rotate("aws-sm:handmade", None)
    assert "no rotation function" in caught.value.message
    assert "--value" in caught.value.remedy
    with pytest.raises(InvalidRequest, match="AWSPREVIOUS"):
        in_aws.rotate("aws-sm:handmade@AWSPREVIOUS", "two")


# ---- Vault -----------------------------------------------------------------------------------------------------------


def test_a_secret_of_vault_is_a_field_of_a_path(bao: Bao, in_vault: Secrets) -> None:
    """Engine 2 with its version and time, engine 1 mounted elsewhere, and a mount whose name has a slash."""
    bao.put("prod/openai", api_key="sk-vault-1", other="x")
    bao.client.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    bao.client.sys.enable_secrets_engine("kv", path="team/kv", options={"version": "2"})
    bao.client.secrets.kv.v1.create_or_update_secret("shop", {"key": "sk-vault-v1"}, mount_point="old")
    bao.client.secrets.kv.v2.create_or_update_secret("shop", {"key": "sk-vault-deep"}, mount_point="team/kv")
    assert in_vault.resolve("vault:secret/prod/openai#api_key") == "sk-vault-1"
    assert in_vault.resolve("vault:old/shop#key") == "sk-vault-v1"
    assert in_vault.resolve("vault:team/kv/shop#key") == "sk-vault-deep"
    [first, *_] = in_vault.held()
    assert first.found is not None
    assert first.found.version == "1"
    assert first.found.made_at is not None


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("vault:secret/nowhere#key", "Vault has nothing at that path"),
        ("vault:secret/there#nope", "no text in the field 'nope'"),
        ("vault:nomount/there#key", "is missing"),
    ],
)
def test_what_vault_does_not_have_is_told(bao: Bao, in_vault: Secrets, reference: str, told: str) -> None:
    """The reference, the reason and what to do; never the value."""
    bao.put("there", key="sk-very-secret")
    with pytest.raises(ConfigError) as caught:
        in_vault.resolve(reference)
    assert told in caught.value.message or reference.startswith("vault:nomount")
    assert f"`{reference}`" in caught.value.message
    assert "very-secret" not in str(caught.value) + repr(caught.value.fields)


def test_a_login_that_vault_refuses_is_unavailable(bao: Bao, tmp_path: Path) -> None:
    """And its token is in no message."""
    secrets = Secrets(tmp_path, {"TOKEN": "hvs.wrong-token-here"}, vault=VaultConfig(url=bao.url, token="env:TOKEN"))
    with pytest.raises(SecretUnavailable) as caught:
        secrets.resolve("vault:secret/there#key")
    assert "Vault refused" in caught.value.message
    assert "wrong-token" not in str(caught.value) + repr(caught.value.fields)


def test_vault_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Its address is named."""
    nobody = VaultConfig(url=f"http://127.0.0.1:{free_port()}", token="env:TOKEN", timeout_s=1.0)
    with pytest.raises(SecretUnavailable, match="cannot be asked for `vault:secret/there#key`"):
        Secrets(tmp_path, ENVIRON, vault=nobody).resolve("vault:secret/there#key")
    with pytest.raises(ConfigError, match=r"`secrets\.vault\.url` is not set"):
        Secrets(tmp_path, ENVIRON).resolve("vault:secret/there#key")


def test_an_approle_logs_in_and_again_when_its_token_is_gone(bao: Bao, tmp_path: Path) -> None:
    """A token that ended is no outage."""
    bao.put("approle", key="sk-by-approle")
    bao.client.sys.enable_auth_method("approle")
    bao.client.sys.create_or_update_policy("reads", 'path "secret/data/*" { capabilities = ["read"] }')
    bao.client.auth.approle.create_or_update_approle("golive", token_policies=["reads"], token_ttl="1h")
    role_id = bao.client.auth.approle.read_role_id("golive")["data"]["role_id"]
    secret_id = bao.client.auth.approle.generate_secret_id("golive")["data"]["secret_id"]
    settings = VaultConfig(url=bao.url, auth="approle", role_id="env:ROLE_ID", secret_id="file:secret-id")
    (tmp_path / "secret-id").write_text(secret_id)
    secrets = Secrets(tmp_path, {"ROLE_ID": role_id}, vault=settings)
    assert secrets.resolve("vault:secret/approle#key") == "sk-by-approle"
    backend = secrets._backends["vault"]
    assert isinstance(backend, vault_backend.VaultBackend)
    bao.client.auth.token.revoke(backend._session.token)
    bao.put("approle", key="sk-by-approle-2")
    assert secrets.anew("vault:secret/approle#key") is True
    assert secrets.resolve("vault:secret/approle#key") == "sk-by-approle-2"


def test_a_new_value_becomes_the_next_version_in_vault(bao: Bao, in_vault: Secrets) -> None:
    """The other fields stay, and a value is asked for: Vault makes none."""
    bao.put("rotated", a="a-one", b="b-one")
    assert in_vault.resolve("vault:secret/rotated#a") == "a-one"
    assert in_vault.rotate("vault:secret/rotated#a", "a-two") == "Vault has the new version 2"
    assert in_vault.anew("vault:secret/rotated#a") is True
    assert in_vault.resolve("vault:secret/rotated#a") == "a-two"
    assert in_vault.resolve("vault:secret/rotated#b") == "b-one"
    with pytest.raises(InvalidRequest, match="makes no value by itself"):
        in_vault.rotate("vault:secret/rotated#a", None)


# ---- what is not installed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "library", "command"),
    [
        ("aws-sm:x", "boto3", "pip install 'golive[aws]'"),
        ("vault:secret/x#y", "hvac", "pip install 'golive[vault]'"),
    ],
)
def test_a_missing_library_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, library: str, command: str
) -> None:
    """Both are extras: whoever uses neither has neither in memory."""
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ConfigError) as caught:
        Secrets(tmp_path, ENVIRON, vault=VaultConfig(url="http://127.0.0.1:1", token="env:TOKEN")).resolve(reference)
    assert library in caught.value.message
    assert caught.value.remedy == command
