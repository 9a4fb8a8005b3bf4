"""AWS Secrets Manager (`aws-sm:`), through boto3: credentials and region come as boto3 finds them.

Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/ (October 2026).
"""

import json
from typing import Any, NoReturn

from golive.config.secret_backends.reference import Found, Reference, where
from golive.config.secret_settings import AwsConfig
from golive.core.errors import ConfigError, InvalidRequest, SecretMissing, SecretUnavailable

CURRENT = "AWSCURRENT"
_GONE = frozenset({"ResourceNotFoundException", "InvalidRequestException", "InvalidParameterException"})
_NO_FUNCTION = "InvalidRequestException"


class AwsBackend:
    """One client, made with the first reference; boto3's clients may be shared by threads."""

    def __init__(self, settings: AwsConfig) -> None:
        self._settings = settings
        self._made: Any = None

    def fetch(self, reference: Reference) -> Found:
        """See `Backend.fetch`."""
        whole, answer = self._read(reference)
        made_at = answer.get("CreatedDate")
        return Found(
            _member(reference, whole) if reference.field else _text(reference, whole),
            version=str(answer.get("VersionId", "")),
            made_at=made_at.timestamp() if made_at is not None else None,
        )

    def rotate(self, reference: Reference, value: str | None) -> str:
        """Starts the secret's own rotation function, or puts a new version; of a JSON key, the others stay."""
        if reference.stage not in ("", CURRENT):
            raise _refused(
                reference, f"it names the stage {reference.stage}", "Rotate the reference without the stage."
            )
        if value is None:
            return self._start_rotation(reference)
        text = value
        if reference.field:
            whole, _ = self._read(reference)
            members = _members(reference, whole)
            text = json.dumps(members | {reference.field: value})
        answer = self._call(reference, "put_secret_value", SecretId=reference.name, SecretString=text)
        return f"AWS Secrets Manager has the new version {answer.get('VersionId', '')}"

    def _start_rotation(self, reference: Reference) -> str:
        described = self._call(reference, "describe_secret", SecretId=reference.name)
        if not described.get("RotationEnabled"):
            raise _refused(
                reference, "the secret has no rotation function in AWS",
                "Give it one there, or give the new value with `--value env:NAME` or `--value file:PATH`.",
            )  # fmt: skip
        answer = self._call(reference, "rotate_secret", SecretId=reference.name)
        return f"AWS Secrets Manager rotates it now: version {answer.get('VersionId', '')}"

    def _read(self, reference: Reference) -> tuple[str | bytes, dict[str, Any]]:
        stage = {"VersionStage": reference.stage} if reference.stage else {}
        answer = self._call(reference, "get_secret_value", SecretId=reference.name, **stage)
        return answer.get("SecretString") or answer.get("SecretBinary") or "", answer

    def _call(self, reference: Reference, act: str, **given: Any) -> dict[str, Any]:
        client = self._client(reference)
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(client, act)(**given)
        except ClientError as error:
            _raise(reference, error.response.get("Error", {}), error)
        except BotoCoreError as error:
            raise SecretUnavailable(
                f"AWS Secrets Manager cannot be asked for `{reference.text}`: {type(error).__name__}: "
                f"{str(error).rstrip('.')}.",
                remedy="Look whether it can be reached from here, and whether boto3 finds credentials and a region "
                "(`secrets.aws.region`, AWS_REGION, an instance's role).", **where(reference),
            ) from error  # fmt: skip
        return answer

    def _client(self, reference: Reference) -> Any:
        if self._made is None:
            try:
                import boto3
                from botocore.config import Config
            except ImportError:
                raise ConfigError(
                    f"`{reference.text}` needs the library boto3, which is not installed.",
                    remedy="pip install 'golive[aws]'", **where(reference),
                ) from None  # fmt: skip
            settings = self._settings
            config = Config(
                connect_timeout=settings.timeout_s, read_timeout=settings.timeout_s,
                retries={"total_max_attempts": 2, "mode": "standard"},
            )  # fmt: skip
            session = boto3.session.Session(profile_name=settings.profile, region_name=settings.region)
            self._made = session.client("secretsmanager", endpoint_url=settings.endpoint_url, config=config)
        return self._made


def _raise(reference: Reference, told: dict[str, Any], cause: Exception) -> NoReturn:
    code, words = str(told.get("Code", "unknown")), str(told.get("Message", ""))[:300]
    if code in _GONE:
        raise SecretMissing(
            f"the secret `{reference.text}` is missing: AWS Secrets Manager says {code}: {words}",
            remedy="Check name, region and version stage; a secret that was deleted can be restored there for a while.",
            **where(reference),
        ) from cause
    raise SecretUnavailable(
        f"AWS Secrets Manager refused `{reference.text}`: {code}: {words}",
        remedy="The role of this server needs secretsmanager:GetSecretValue on it (and kms:Decrypt on its key).",
        **where(reference),
    ) from cause


def _text(reference: Reference, whole: str | bytes) -> str:
    try:
        value = whole if isinstance(whole, str) else whole.decode()
    except UnicodeDecodeError:
        raise _unusable(reference, "is binary, and no UTF-8 text") from None
    if not value:
        raise _unusable(reference, "is empty")
    return value


def _members(reference: Reference, whole: str | bytes) -> dict[str, Any]:
    try:
        members = json.loads(whole)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise _unusable(reference, f"is no JSON object, and has no key {reference.field!r}")
    return members


def _member(reference: Reference, whole: str | bytes) -> str:
    value = _members(reference, whole).get(reference.field)
    if not isinstance(value, str) or not value:
        raise _unusable(reference, f"has no text under the key {reference.field!r}")
    return value


def _unusable(reference: Reference, why: str) -> SecretMissing:
    return SecretMissing(
        f"the secret `{reference.text}` is missing: what AWS Secrets Manager holds {why}.",
        remedy="Correct the reference, or put the value there.", **where(reference),
    )  # fmt: skip


def _refused(reference: Reference, why: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(
        f"`{reference.text}` cannot be rotated: {why}.", remedy=remedy, field="reference", value=reference.text
    )
