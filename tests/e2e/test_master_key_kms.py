"""A server whose master key AWS KMS holds: from a file to KMS and back with the commands, while it serves."""

from pathlib import Path

import boto3
import pytest

from tests.contract.secrets_kit import aws_server
from tests.e2e.process_kit import golive, project
from tests.e2e.test_data_keys_api import asked, says

CONFIG = """
[secrets]
master_key = "{master}"
old_master_keys = [{old}]

[secrets.aws]
region = "eu-central-1"
kms_endpoint_url = "{url}"
"""


async def test_from_a_file_to_kms_and_back_by_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step as the page on encryption tells it; the server that runs meanwhile goes on, and the next opens all."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with aws_server() as aws:
        kms = boto3.client("kms", endpoint_url=aws.url, region_name="eu-central-1")
        arn = f"aws-kms:{kms.create_key()['KeyMetadata']['Arn']}"
        file = "file:.golive/master.key"

        def config(master: str, old: str) -> str:
            return plain + CONFIG.format(master=master, old=f'"{old}"' if old else "", url=aws.url)

        async with project(tmp_path) as place:
            place.script("sim-talk", text="Hello")
            path = tmp_path / "golive.toml"
            plain = path.read_text()
            path.write_text(config(file, arn))
            await place.serve()
            runs = [await says(place), await says(place, user="ada")]
            for master, old in ((arn, file), (file, arn)):
                code, out, err = await golive(tmp_path, "secrets", "rotate-master", "--to", master)
                assert (code, "2 data keys wrapped" in out) == (0, True), out + err
                runs.append(await says(place))  # by the server whose own master key is still the old one
                await place.stop()
                path.write_text(config(master, old))
                await place.serve()
                code, out, err = await golive(tmp_path, "secrets", "rotate-master", "--to", master)
                assert (code, "0 data keys wrapped" in out) == (0, True), out + err
                assert "may be emptied" in out + err
                await place.stop()
                path.write_text(config(master, ""))
                await place.serve()
                for run in runs:
                    assert (await asked(place, "GET", f"/v1/runs/{run}"))[1]["text"] == "Hello"
                _, listed = await asked(place, "GET", "/v1/secrets/data-keys")
                assert (listed["master"] == arn) == (master == arn)
                assert {card["master"] for card in listed["data"]} == {listed["master"]}
                await place.stop()
                path.write_text(config(master, old))
                await place.serve()
