"""What may stand in [secrets.aws], [secrets.vault], [secrets.rotation] and [environment] of golive.toml."""

from typing import Annotated, Literal

from pydantic import Field

from golive.config.section import BASE_URL, LOCAL_REFERENCE, Name, Section

LocalRef = Annotated[str, Field(pattern=LOCAL_REFERENCE)]


class AwsConfig(Section):
    """[secrets.aws]: how `aws-sm:` references are fetched, and a master key in KMS (`aws-kms:`) is asked. What is not
    set here boto3 finds as it always does."""

    region: str | None = None
    """Region, such as `eu-central-1`; AWS_REGION, the profile or the instance say it when absent."""
    profile: str | None = None
    """Profile of ~/.aws/config."""
    endpoint_url: Annotated[str, Field(pattern=BASE_URL)] | None = None
    """Another address of Secrets Manager than AWS's own: a VPC endpoint, or a stand-in for tests."""
    kms_endpoint_url: Annotated[str, Field(pattern=BASE_URL)] | None = None
    """Likewise of KMS."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Longest wait for a connection, and for each answer."""


class VaultConfig(Section):
    """[secrets.vault]: how `vault:` references are fetched, from HashiCorp Vault or OpenBao."""

    url: Annotated[str, Field(pattern=BASE_URL)] | None = None
    """Where it answers, such as https://vault.example.com:8200."""
    namespace: str | None = None
    """Namespace, where there are any."""
    auth: Literal["token", "approle", "kubernetes"] = "token"
    """How golive logs in. `kubernetes`: with the token of its service account."""
    token: LocalRef = "env:VAULT_TOKEN"  # noqa: S105 - a reference
    """Reference to the token, for `token`."""
    role_id: LocalRef | None = None
    """Reference to the role's id, for `approle`."""
    secret_id: LocalRef | None = None
    """Reference to the role's secret id, for `approle`."""
    role: str | None = None
    """The role's name, for `kubernetes`."""
    jwt_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    """The service account's token, for `kubernetes`; read at each login."""
    auth_mount: str | None = None
    """Where the login method is mounted; `approle` or `kubernetes` when absent."""
    kv_version: Literal[1, 2] | None = None
    """Version of the key-value engine; Vault is asked when absent."""
    ca: str | None = None
    """File with the certificate authorities that Vault's certificate is checked against; the system's when absent."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Longest wait for an answer."""


class RotationConfig(Section):
    """[secrets.rotation."REFERENCE"]: how often the secret behind a reference is to be replaced."""

    every_days: Annotated[float, Field(gt=0, le=3_660)]
    """How old the value may become, days."""
    remind_days: Annotated[float, Field(ge=0, le=366)] = 7.0
    """How long before that the reminders begin: a log event each day, and the metric golive_secrets_due."""


class EnvironmentConfig(Section):
    """[environment]: which of your environments this is."""

    name: Name | None = None
    """Such as `dev`, `staging` or `prod`; GOLIVE_ENVIRONMENT says it too. No two may share a credential, which
    `golive secrets manifest` finds out."""
    manifest: str | None = None
    """File that the environments share, with salted fingerprints of their credentials; relative to golive.toml."""
