"""AWS KMS as the holder of a master key (`aws-kms:KEY`), through boto3: the key never leaves KMS.

A data key is wrapped and unwrapped there, bound by KMS itself to an encryption context: what was wrapped for one place
does not unwrap for another. All methods block, and are called in threads.

Source: https://docs.aws.amazon.com/kms/latest/APIReference/ (Encrypt, Decrypt, DescribeKey) and
https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html (October 2026).
"""

import re
import threading
from collections.abc import Mapping
from typing import Any

from golive.config.secret_settings import AwsConfig
from golive.core.errors import ConfigError, StoreUnavailable
from golive.core.sealing import NotAuthentic

KIND = "aws-kms:"
"""How such a reference begins; what follows is a key's id or ARN, or an alias (`alias/NAME`, or its ARN)."""

_ARN = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/\S+")
_FOREIGN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
"""What KMS says of a value that it did not wrap with this key for this context."""
_UNUSABLE = frozenset({
    "NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException",
    "InvalidArnException", "ValidationException", "AccessDeniedException", "UnrecognizedClientException",
    "InvalidAccessKeyId", "ExpiredTokenException", "InvalidClientTokenId",
})  # fmt: skip
"""What waiting does not mend."""


class KmsKey:
    """One key of KMS. `name` asks KMS, the first time, which key an alias means."""

    def __init__(self, reference: str, settings: AwsConfig) -> None:
        self.reference = reference
        self._settings = settings
        self._asked = reference.removeprefix(KIND)
        self._arn = self._asked if _ARN.fullmatch(self._asked) else ""
        self._made: Any = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What rows name the key by: its ARN. An alias may mean another key one day, an ARN never does.

        Raises:
            StoreUnavailable: KMS cannot be asked. ConfigError: it has no such key, or does not let us use it.
        """
        if not self._arn:
            about = self._call("describe_key", KeyId=self._asked)["KeyMetadata"]
            self._arn = str(about["Arn"])
        return f"{KIND}{self._arn}"

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """The key, encrypted by KMS. Raises as `name`."""
        answer = self._call("encrypt", KeyId=self._of_arn(), Plaintext=key, EncryptionContext=dict(context))
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The key.

        Raises:
            NotAuthentic: KMS did not wrap it with this key, for this context. Else as `name`.
        """
        answer = self._call(
            "decrypt", KeyId=self._of_arn(), CiphertextBlob=wrapped, EncryptionContext=dict(context)
        )  # of no other key: what somebody has wrapped with one of theirs, to know it, does not count
        return bytes(answer["Plaintext"])

    def _of_arn(self) -> str:
        return self.name.removeprefix(KIND)

    def _call(self, act: str, **given: Any) -> dict[str, Any]:
        client = self._client()
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(client, act)(**given)
        except ClientError as error:
            raise self._refused(error.response.get("Error", {})) from error
        except BotoCoreError as error:
            raise StoreUnavailable(
                f"AWS KMS cannot be asked about the master key `{self.reference}`: {type(error).__name__}: "
                f"{str(error).rstrip('.')}.",
                remedy="Look whether it can be reached from here, and whether boto3 finds credentials and a region "
                "(`secrets.aws.region`, AWS_REGION, an instance's role).", master=self.reference,
            ) from error  # fmt: skip
        return answer

    def _refused(self, told: Mapping[str, Any]) -> Exception:
        code, words = str(told.get("Code", "unknown")), str(told.get("Message", ""))[:300]
        if code in _FOREIGN:
            return NotAuthentic()
        said = f"AWS KMS refuses the master key `{self.reference}`: {code}: {words}".rstrip(": ")
        if code in _UNUSABLE:
            return ConfigError(
                f"{said}.",
                remedy="The role of this server needs kms:Encrypt, kms:Decrypt and kms:DescribeKey on that key, which "
                "must be symmetric and enabled.",
                key="secrets.master_key", value=self.reference, origin=self.reference,
            )  # fmt: skip
        return StoreUnavailable(f"{said}.", remedy="Try again; AWS's health page may know more.", master=self.reference)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._new_client()
            return self._made

    def _new_client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigError(
                f"`{self.reference}` needs the library boto3, which is not installed.",
                remedy="pip install 'golive[aws]'",
                key="secrets.master_key", value=self.reference, origin=self.reference,
            ) from None  # fmt: skip
        settings = self._settings
        config = Config(
            connect_timeout=settings.timeout_s, read_timeout=settings.timeout_s,
            retries={"total_max_attempts": 2, "mode": "standard"},
        )  # fmt: skip
        session = boto3.session.Session(profile_name=settings.profile, region_name=settings.region)
        try:
            return session.client("kms", endpoint_url=settings.kms_endpoint_url, config=config)
        except Exception as error:  # boto3's own errors of settings, such as no region
            raise ConfigError(
                f"AWS KMS cannot be asked about `{self.reference}`: {str(error).rstrip('.')}.",
                remedy="Set `secrets.aws.region`, or AWS_REGION.",
                key="secrets.master_key", value=self.reference, origin=self.reference,
            ) from error  # fmt: skip
