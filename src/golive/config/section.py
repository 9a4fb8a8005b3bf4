"""What every section of the configuration is made of: names, references, targets, and their words for messages."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from golive.core.verbs import AGENT_PATTERN, PATTERN

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
LOCAL_REFERENCE = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
REFERENCE = (
    LOCAL_REFERENCE.removesuffix(")$")
    + r"|aws-sm:[^#\s]+(#[^@#]+)?(@[A-Za-z0-9_+=,.-]+)?|vault:[^#\s/]+(/[^#\s/]+)+#[^#]+)$"
)
MASTER_REFERENCE = REFERENCE.removesuffix(")$") + r"|aws-kms:[A-Za-z0-9:/_-]{1,2048})$"
TARGET_REF = r"^[a-z][a-z0-9_-]*/.+$"
BASE_URL = r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"
ADDRESS = r"^https?://[^\s/@?#]+(/[^\s?#]*)?(\?[^\s#]*)?$"
TENANT_REFERENCE = r"^(env|file|aws-sm|vault):([^\s{}*]|\{tenant\})*\*?$"
STORE_URL = r"^(sqlite:[^\x00-\x1f\x7f]+|postgres(ql)?://[^\x00-\x20\x7f]+)$"
VERSION = r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$"
ISSUER = r"^https?://[^\s/@?#]+(?:/[^\s?#]*)?$"
CLAIM = r"^[!-~]{1,200}$"
SCOPE = r"^[!#-\[\]-~]{1,200}$"
FUNCTION = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
ORIGIN = r"^https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$"
TENANT_PATTERN = r"^(\*|[a-z][a-z0-9_-]{0,61}\*|[a-z][a-z0-9_-]{0,62})$"
HEADER = r"^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$"

PATTERN_WORDS = {
    NAME: "a name of lower-case letters, digits, `_` and `-` that begins with a letter (63 at most)",
    LOCAL_REFERENCE: "a reference to a secret of this machine: `env:NAME` or `file:PATH`",
    REFERENCE: "a reference to a secret: `env:NAME`, `file:PATH`, `aws-sm:NAME[#KEY][@STAGE]` or "
    "`vault:MOUNT/PATH#FIELD`",
    MASTER_REFERENCE: "a reference to a key: `env:NAME`, `file:PATH`, `aws-sm:NAME[#KEY][@STAGE]`, "
    "`vault:MOUNT/PATH#FIELD`, or `aws-kms:KEY` with a key's id, ARN or alias",
    TARGET_REF: "a target written `provider/model`, such as `openai/gpt-5-mini`",
    BASE_URL: "an address such as https://api.openai.com/v1, without user, password or query",
    ADDRESS: "an address such as https://example.com/golive, without user or password",
    TENANT_REFERENCE: "`env:`, `file:`, `aws-sm:` or `vault:` and a name, or the beginning of one with `*` behind it; "
    "in braces nothing but `{tenant}`",
    STORE_URL: "`sqlite:PATH` or `postgresql://USER@HOST/DATABASE`",
    VERSION: "a version of letters, digits and `.+_-` (64 at most), such as `1.0.0` or `2026-11-21`",
    ISSUER: "an address such as https://login.example.com/realms/acme, without user, password or query",
    CLAIM: "the name of a claim, or a path such as `realm_access.roles`",
    SCOPE: "a scope without spaces, such as `profile`",
    AGENT_PATTERN: "an agent's name, or the beginning of one with `*` behind it, such as `shop-*`",
    TENANT_PATTERN: "a tenant's name, or the beginning of one with `*` behind it, such as `shop-*`, or `*` for all",
    PATTERN: "a name, or the beginning of one with `*` behind it, such as `openai/*`",
    FUNCTION: "the name of a function in tools.py",
    ORIGIN: "an exact origin such as https://app.example.com: scheme, host and port in lower case, and nothing more",
    HEADER: "the name of a header, in lower case",
}
"""What each pattern asks for, in words, for messages about values that do not fit."""

Name = Annotated[str, Field(pattern=NAME)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
SecretRef = Annotated[str, Field(pattern=REFERENCE)]
MasterRef = Annotated[str, Field(pattern=MASTER_REFERENCE)]
TargetRef = Annotated[str, Field(pattern=TARGET_REF)]


class Section(BaseModel):
    """Root of all sections: frozen, and strict about unknown keys (`load.py` is strict about types, too)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
