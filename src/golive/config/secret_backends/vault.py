"""HashiCorp Vault and OpenBao (`vault:`), through hvac: key-value engine 2 and 1; login by token, AppRole, Kubernetes.

Sources: https://developer.hashicorp.com/vault/api-docs/secret/kv, …/auth/approle, …/auth/kubernetes;
https://openbao.org/api-docs (October 2026).
"""

import datetime
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from golive.config.secret_backends.reference import Found, Reference, where
from golive.config.secret_settings import VaultConfig
from golive.core.errors import ConfigError, InvalidRequest, SecretMissing, SecretUnavailable

Local = Callable[[str], str]
"""Resolves an `env:` or `file:` reference: what one logs in with cannot lie in Vault itself."""


class VaultBackend:
    """One session, logged in with the first reference and again when Vault no longer knows it."""

    def __init__(self, settings: VaultConfig, local: Local) -> None:
        self._settings = settings
        self._local = local
        self._session: Any = None
        self._engines: dict[str, tuple[str, int]] = {}
        """Of each first part of a path: the mount, and the version of its engine."""
        self._lock = threading.Lock()

    def fetch(self, reference: Reference) -> Found:
        """See `Backend.fetch`."""
        data, version, made_at = self._secret(reference)
        value = data.get(reference.field)
        if not isinstance(value, str) or not value:
            raise _missing(reference, f"it has no text in the field {reference.field!r}")
        return Found(value, version=version, made_at=made_at)

    def rotate(self, reference: Reference, value: str | None) -> str:
        """Writes a new version whose other fields stay; Vault makes no value by itself."""
        if value is None:
            raise InvalidRequest(
                f"`{reference.text}` cannot be rotated: Vault's key-value engine makes no value by itself.",
                remedy="Make a new credential at its vendor, and give it: `--value env:NAME` or `--value file:PATH`.",
                field="reference", value=reference.text,
            )  # fmt: skip
        data, version, _ = self._secret(reference)
        fresh = data | {reference.field: value}

        def write(client: Any) -> Any:
            mount, path, engine = self._place(client, reference)
            if engine == 1:
                return client.secrets.kv.v1.create_or_update_secret(path, fresh, method="PUT", mount_point=mount)
            # Only over the version that was read: what somebody else writes meanwhile is not lost.
            return client.secrets.kv.v2.create_or_update_secret(path, fresh, cas=int(version), mount_point=mount)

        answer = self._asked(reference, write)
        made = answer.json() if hasattr(answer, "json") and answer.content else answer
        number = made.get("data", {}).get("version", "") if isinstance(made, dict) else ""
        return f"Vault has the new version {number}".rstrip()

    def _secret(self, reference: Reference) -> tuple[dict[str, Any], str, float | None]:
        """All fields, the version, and when that was written."""

        def read(client: Any) -> tuple[dict[str, Any], str, float | None]:
            mount, path, engine = self._place(client, reference)
            if engine == 1:
                return client.secrets.kv.v1.read_secret(path, mount_point=mount)["data"], "", None
            found = client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
            about = found["data"]["metadata"]
            return found["data"]["data"], str(about["version"]), _moment(about.get("created_time"))

        result: tuple[dict[str, Any], str, float | None] = self._asked(reference, read)
        return result

    def _place(self, client: Any, reference: Reference) -> tuple[str, str, int]:
        """Mount, path below it, and version of the engine, as Vault itself says: mounts may have slashes."""
        import hvac

        known = next((each for each in self._engines.items() if f"{reference.name}/".startswith(f"{each[0]}/")), None)
        if known is None:
            mount = reference.name.partition("/")[0]
            engine: int = self._settings.kv_version or 2
            try:
                told = client.adapter.get(f"/v1/sys/internal/ui/mounts/{reference.name}")
                about = told.json()["data"] if hasattr(told, "json") else told["data"]
                mount = str(about["path"]).strip("/")
                engine = self._settings.kv_version or int((about.get("options") or {}).get("version") or 1)
            except (hvac.exceptions.Forbidden, hvac.exceptions.InvalidPath, KeyError, TypeError):
                pass  # a Vault that does not tell: the first part is the mount
            known = mount, (mount, engine)
            self._engines[mount] = known[1]
        mount, engine = known[1]
        return mount, reference.name[len(mount) + 1 :], engine

    def _asked(self, reference: Reference, ask: Callable[[Any], Any]) -> Any:
        """What `ask` brings; a session that Vault no longer knows is renewed once."""
        self._need_library(reference)
        import hvac
        import requests

        try:
            with self._lock:
                client = self._session or self._login(reference)
            try:
                return ask(client)
            except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized):
                if self._settings.auth == "token" and self._local(self._settings.token) == client.token:
                    raise
                with self._lock:
                    client = self._login(reference)
                return ask(client)
        except hvac.exceptions.InvalidPath:
            raise _missing(reference, "Vault has nothing at that path") from None
        except hvac.exceptions.VaultError as error:
            raise SecretUnavailable(
                f"Vault refused `{reference.text}`: {type(error).__name__}: {'; '.join(map(str, error.errors or []))}",
                remedy="The policy of this server's login needs `read` on the path (`update` to rotate it); see "
                "[secrets.vault].", **where(reference),
            ) from None  # fmt: skip
        except requests.RequestException as error:
            raise SecretUnavailable(
                f"Vault at {self._settings.url} cannot be asked for `{reference.text}`: {type(error).__name__}.",
                remedy="Look whether it runs, is unsealed and can be reached from here (`secrets.vault.url`).",
                **where(reference),
            ) from None

    def _login(self, reference: Reference) -> Any:
        import hvac

        settings = self._settings
        if settings.url is None:
            raise ConfigError(
                f"`{reference.text}` names Vault, and `secrets.vault.url` is not set.",
                remedy="Set it in golive.toml, such as https://vault.example.com:8200.", **where(reference),
            )  # fmt: skip
        client = hvac.Client(
            url=settings.url, timeout=settings.timeout_s, namespace=settings.namespace, verify=settings.ca or True
        )
        self._session = None
        if settings.auth == "token":
            client.token = self._local(settings.token)
        elif settings.auth == "approle":
            client.auth.approle.login(
                role_id=self._local(_set(settings.role_id, "role_id", reference)),
                secret_id=self._local(_set(settings.secret_id, "secret_id", reference)),
                mount_point=settings.auth_mount or "approle",
            )  # fmt: skip
        else:
            jwt = Path(settings.jwt_file).read_text(encoding="utf-8").strip()
            role = _set(settings.role, "role", reference)
            client.auth.kubernetes.login(role=role, jwt=jwt, mount_point=settings.auth_mount or "kubernetes")
        self._session = client
        return client

    @staticmethod
    def _need_library(reference: Reference) -> None:
        try:
            import hvac  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"`{reference.text}` needs the library hvac, which is not installed.",
                remedy="pip install 'golive[vault]'", **where(reference),
            ) from None  # fmt: skip


def _set(value: str | None, name: str, reference: Reference) -> str:
    if value is None:
        raise ConfigError(
            f"`{reference.text}` cannot be asked for: `secrets.vault.{name}` is not set.",
            remedy=f"Set {name} in [secrets.vault], or another `auth`.", **where(reference),
        )  # fmt: skip
    return value


def _missing(reference: Reference, why: str) -> SecretMissing:
    return SecretMissing(
        f"the secret `{reference.text}` is missing: {why}.", remedy="Correct the reference, or put the value there.",
        **where(reference),
    )  # fmt: skip


def _moment(text: object) -> float | None:
    """Vault's times have nanoseconds, which Python's reader takes from 3.11 on only up to six digits."""
    if not isinstance(text, str) or not text:
        return None
    whole, _, rest = text.partition(".")
    zone = "+00:00" if rest.endswith("Z") or not rest else rest.lstrip("0123456789")
    try:
        return datetime.datetime.fromisoformat(whole.removesuffix("Z") + (zone or "+00:00")).timestamp()
    except ValueError:
        return None
