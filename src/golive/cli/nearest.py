"""Whether a name that a list was narrowed to exists, so that an empty list is not taken for a quiet one."""

from collections.abc import Iterable

from golive.cli.client import Client
from golive.config.suggest import nearest


async def doubt(client: Client, name: str, also: Iterable[str] = ()) -> str:
    """A sentence with the name that was probably meant; "" where `name` is an agent or a listed model, or near none.

    Args:
        also: further names that exist.
    """
    listed = await client.call("GET", "/v1/models")
    known = {entry["id"] for entry in listed["data"]} | set(also)
    near = None if name in known else nearest(name, known)
    return f"Did you mean `{near}`?" if near else ""
