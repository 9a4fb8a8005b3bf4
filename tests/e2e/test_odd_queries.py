"""What no database takes is refused at the door with 400, and its field is named."""

from pathlib import Path
from typing import Any

import pytest

from golive.gateway.audit_face import AuditQuery
from tests.e2e.process_kit import RUNS, project
from tests.e2e.test_data_keys_api import asked

PAST = ("9223372036854775808", "99999999999999999999999999", "-99999999999999999999", "9" * 5_000, "-1")
PAST_TIMES = ("1e300", "-1e300", "nan", "inf", "-inf")
NUMBERS = {
    "/v1/audit": {"before": PAST, "since": PAST_TIMES, "until": PAST_TIMES, "limit": PAST},
    "/v1/runs": {"limit": PAST},
    "/v1/decisions": {"limit": PAST},
    "/v1/users": {"limit": PAST},
    "/v1/deliveries": {"limit": PAST},
}


async def test_numbers_that_no_database_holds_are_refused_by_name(tmp_path: Path) -> None:
    """Of every list with a number in its query; and of a run's events."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        run = (await asked(place, "POST", RUNS, json={"input": "Hello"}))[1]["run"]
        paths = NUMBERS | {f"/v1/runs/{run}/events": {"after": PAST, "limit": PAST}}
        said = {
            (path, name, value[:40]): await asked(place, "GET", f"{path}?{name}={value}")
            for path, names in paths.items()
            for name, values in names.items()
            for value in values
        }
    wrong = {key: answer for key, answer in said.items() if answer[0] != 400 or answer[1]["field"] != key[1]}
    assert not {key: answer for key, answer in wrong.items() if answer[0] != 404}
    assert all(isinstance(answer[1], dict) for answer in said.values())


@pytest.mark.parametrize("name", sorted(set(AuditQuery.__struct_fields__) - {"since", "until", "before", "limit"}))
async def test_control_characters_in_a_filter_are_refused(name: str) -> None:
    """PostgreSQL holds no NUL, and a terminal obeys an escape."""
    from golive.core.errors import InvalidRequest
    from golive.gateway.bodies import Reader

    for code in ("%00", "%1b[2J", "%7f", "%C2%9B"):
        with pytest.raises(InvalidRequest) as caught:
            Reader(AuditQuery).query(f"{name}=a{code}".encode())
        assert caught.value.fields["field"] == name


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"conversation_id": "a\0b"}, "conversation_id"),
        ({"conversation_id": "a\nb"}, "conversation_id"),
        ({"metadata": {"a\0b": "c"}}, "metadata"),
        ({"metadata": {"note": "c\0d"}}, "metadata.note"),
        ({"metadata": {"note": "\x1b[2J"}}, "metadata.note"),
    ],
)
async def test_control_characters_in_what_a_run_is_kept_with_are_refused(
    tmp_path: Path, body: dict[str, Any], field: str
) -> None:
    """With the field's name, on the faces of others as well; the end of a line may stand in a note."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        status, said = await asked(place, "POST", RUNS, json={"input": "Hello", **body})
        assert (status, said["field"]) == (400, field)
        status, _ = await asked(place, "POST", RUNS, json={"input": "Hello", "metadata": {"note": "two\nlines"}})
        assert status == 200
        agent = RUNS.split("/")[3]
        metadata = body.get("metadata") or body
        status, said = await asked(
            place, "POST", "/v1/chat/completions",
            json={"model": agent, "messages": [{"role": "user", "content": "Hello"}], "metadata": metadata},
        )  # fmt: skip
        assert status == 400, said
