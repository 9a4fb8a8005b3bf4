"""Whose run it is: every face says for whom, one user's runs and conversations are no other's, and keys see all."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from multidict import CIMultiDict

from golive.cli.tenancy import in_path
from tests.e2e.access_kit import Answer, Asked, asked
from tests.oidc_kit import Provider, provider

SECTION = """
[auth.oidc.corp]
issuer = "{issuer}"
audience = ["golive"]
tokens = "any"
roles_claim = "groups"

[auth.oidc.corp.roles]
"golive-users" = "user"
"golive-desk" = "desk"
"golive-admins" = "admin"
"golive-out" = "outward"

[roles.outward]
like = "user"
verbs = ["webhooks.read", "webhooks.send"]
"""
MODEL = "sim/sim-agent"
TURN = [{"role": "user", "content": "Hello."}]
RUN = "/v1/agents/support/runs"
SAID: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "native": (RUN, {"input": "Hello."}, {"user": "u-1"}),
    "chat": ("/v1/chat/completions", {"model": "support", "messages": TURN}, {"user": "u-1"}),
    "chat, safety_identifier": (
        "/v1/chat/completions", {"model": "support", "messages": TURN}, {"safety_identifier": "u-1"},
    ),
    "chat, relayed": ("/v1/chat/completions", {"model": MODEL, "messages": TURN}, {"user": "u-1"}),
    "responses": ("/v1/responses", {"model": "support", "input": "Hello."}, {"user": "u-1"}),
    "responses, safety_identifier": (
        "/v1/responses", {"model": "support", "input": "Hello."}, {"safety_identifier": "u-1"},
    ),
    "responses, relayed": ("/v1/responses", {"model": MODEL, "input": "Hello."}, {"user": "u-1"}),
    "messages": (
        "/v1/messages", {"model": "support", "max_tokens": 50, "messages": TURN}, {"metadata": {"user_id": "u-1"}},
    ),
    "messages, relayed": (
        "/v1/messages", {"model": MODEL, "max_tokens": 50, "messages": TURN}, {"metadata": {"user_id": "u-1"}},
    ),
    "embeddings": ("/v1/embeddings", {"model": "sim/sim-embed", "input": "Hello."}, {"user": "u-1"}),
}  # fmt: skip
"""Path, body, and how the body names a user, of every face."""
FIELD = {
    "safety_identifier": "safety_identifier", "metadata": "metadata.user_id", "user": "user",
}  # fmt: skip


@pytest.fixture
def issuer() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
async def served(tmp_path: Path, issuer: Provider) -> AsyncIterator[Asked]:
    async with asked(tmp_path, SECTION.format(issuer=issuer.issuer)) as found:
        yield found


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asked(tmp_path) as found:
        yield found


async def person(issuer: Provider, sub: str, group: str = "golive-users") -> str:
    """A token of somebody who has logged in."""
    await issuer.user(sub, groups=[group])
    return str((await issuer.login(sub))["id_token"])


async def newest(served: Asked, key: str) -> dict[str, Any]:
    """The newest run, as the list shows it."""
    listed = await served.ask(key, "GET", "/v1/runs?limit=1")
    row: dict[str, Any] = listed.json["data"][0]
    return row


def told(answer: Answer) -> tuple[int, str]:
    """Status and the field that a refusal names, whatever the face's shape."""
    body = answer.json
    error = body.get("error", body)
    return answer.status, error.get("param") or error.get("field") or ""


@pytest.mark.parametrize("face", SAID)
async def test_a_key_names_the_user_in_each_faces_own_field_or_in_the_header(plain: Asked, face: str) -> None:
    """The run, its list row and its journal say for whom; the header counts before the body; without either: nobody."""
    path, body, said = SAID[face]
    key = await plain.key("admin")
    for more, header, user in (
        (said, None, "u-1"), ({}, "u-2", "u-2"), (said, "u-2", "u-2"), ({}, None, None),
    ):  # fmt: skip
        answer = await plain.ask(key, "POST", path, body | more, {"x-golive-user": header} if header else None)
        assert answer.status == 200, answer
        row = await newest(plain, key)
        assert (row["user"], row["principal"][:4]) == (user, "key:")
        assert (await plain.ask(key, "GET", f"/v1/runs/{row['run']}")).json["user"] == user
        journal = await plain.ask(key, "GET", f"/v1/runs/{row['run']}/events?format=json")
        assert journal.json["data"][0]["body"].get("user") == user


@pytest.mark.parametrize("face", SAID)
async def test_what_is_no_name_of_a_user_is_refused_by_its_field(plain: Asked, face: str) -> None:
    """400 on every face; no run begins."""
    path, body, said = SAID[face]
    key = await plain.key("admin")
    field, value = next(iter(said.items()))
    for name in ("", "caf\u00a0e", "x" * 201, "line\n"):
        named = {field: {"user_id": name} if isinstance(value, dict) else name}
        answer = await plain.ask(key, "POST", path, body | named)
        assert answer.status == 400, (name, answer)
        assert FIELD[field].encode() in answer.body, name
        header = await plain.ask(key, "POST", path, body, {"x-golive-user": name.replace("\n", "\t")})
        assert header.status == 400, name
        assert b"x-golive-user" in header.body, name
        assert (await plain.ask(key, "GET", "/v1/runs")).json["data"] == [], name


@pytest.mark.parametrize("face", SAID)
async def test_a_person_is_itself_and_names_nobody_else(served: Asked, issuer: Provider, face: str) -> None:
    """Their runs are theirs without a word said; naming oneself changes nothing; naming another is 403."""
    path, body, said = SAID[face]
    alice, key = await person(issuer, "alice"), await served.key("admin")
    refused = await served.ask(alice, "POST", path, body | said)
    assert refused.status == 403, refused
    assert (await served.ask(alice, "POST", path, body, {"x-golive-user": "bob"})).status == 403
    assert (await served.ask(key, "GET", "/v1/runs")).json["data"] == []
    for header in (None, {"x-golive-user": "alice"}):
        assert (await served.ask(alice, "POST", path, body, header)).status == 200
        row = await newest(served, key)
        assert (row["user"], row["principal"]) == ("alice", "user:alice")


async def test_people_see_and_steer_their_own_runs_and_keys_see_all(served: Asked, issuer: Provider) -> None:
    """Another's run is 404 by every route with its id, and in no list; a desk and a key see both."""
    alice, bob = await person(issuer, "alice"), await person(issuer, "bob")
    desk, key = await person(issuer, "dora", "golive-desk"), await served.key("viewer")
    hers, his = await served.run(alice, "support"), await served.run(bob, "support")
    nobodys = await served.run(await served.key("user"), "support")
    for asker, runs in ((alice, {hers}), (bob, {his}), (desk, {hers, his, nobodys}), (key, {hers, his, nobodys})):
        listed = await served.ask(asker, "GET", "/v1/runs")
        assert {row["run"] for row in listed.json["data"]} == runs
    assert (await served.ask(alice, "GET", "/v1/runs?user=bob")).json == {"data": [], "next": None}
    assert len((await served.ask(key, "GET", "/v1/runs?user=bob")).json["data"]) == 1
    absent = await served.ask(alice, "GET", "/v1/runs/run_01aaaaaaaaaaaaaaaaaaaaaaaa")
    for run in (his, nobodys):
        for method, path, body in (
            ("GET", "", None), ("GET", "/events", None), ("GET", "/events?format=json", None), ("POST", "/cancel", {}),
            ("POST", "/retry", {}), ("POST", "/fork", {"step": 1}),
        ):  # fmt: skip
            answer = await served.ask(alice, method, f"/v1/runs/{run}{path}", body)
            assert answer.status == 404, (path, answer)
            assert answer.body == absent.body.replace(b"run_01aaaaaaaaaaaaaaaaaaaaaaaa", run.encode())
        assert (await served.ask(alice, "GET", f"/v1/responses/resp_{run}")).status == 404
    assert (await served.ask(alice, "GET", f"/v1/responses/resp_{hers}")).status == 200
    assert (await served.ask(alice, "GET", f"/v1/runs/{hers}/events")).status == 200


async def test_a_key_that_names_a_user_sees_what_that_user_sees(plain: Asked) -> None:
    """`x-golive-user` narrows reads too, so that a backend need not look at each answer."""
    key = await plain.key("user")
    runs = {}
    for user in ("u-1", "u-2"):
        runs[user] = (await plain.ask(key, "POST", RUN, {"input": "Hello.", "user": user})).json["run"]
    as_one = {"x-golive-user": "u-1"}
    listed = await plain.ask(key, "GET", "/v1/runs", None, as_one)
    assert [row["run"] for row in listed.json["data"]] == [runs["u-1"]]
    assert (await plain.ask(key, "GET", f"/v1/runs/{runs['u-1']}", None, as_one)).status == 200
    assert (await plain.ask(key, "GET", f"/v1/runs/{runs['u-2']}", None, as_one)).status == 404
    assert (await plain.ask(key, "GET", f"/v1/runs/{runs['u-2']}")).status == 200


async def test_a_conversation_is_one_users(plain: Asked) -> None:
    """404 for another user, for nobody, and by the response before; the same user goes on by every face."""
    key = await plain.key("user")

    async def native(user: str | None, conversation: str) -> Answer:
        body = {"input": "Hello.", "conversation_id": conversation}
        return await plain.ask(key, "POST", RUN, body | ({"user": user} if user else {}))

    async def chat(user: str | None, conversation: str) -> Answer:
        body = {"model": "support", "messages": TURN} | ({"user": user} if user else {})
        return await plain.ask(key, "POST", "/v1/chat/completions", body, {"x-conversation-id": conversation})

    assert (await native("u-1", "c-1")).status == 200
    assert (await native(None, "c-2")).status == 200
    for ask in (native, chat):
        for user, conversation, status in (
            ("u-1", "c-1", 200), ("u-2", "c-1", 404), (None, "c-1", 404), ("u-1", "c-2", 404), (None, "c-2", 200),
        ):  # fmt: skip
            answer = await ask(user, conversation)
            assert answer.status == status, (ask, user, conversation, answer)
            if status == 404:
                assert told(answer)[1] == "conversation_id"
    first = await plain.ask(key, "POST", "/v1/responses", {"model": "support", "input": "Hello.", "user": "u-1"})
    follow = {"model": "support", "input": "And?", "previous_response_id": first.json["id"]}
    assert (await plain.ask(key, "POST", "/v1/responses", follow | {"user": "u-2"})).status == 400
    assert (await plain.ask(key, "POST", "/v1/responses", follow)).status == 400
    assert (await plain.ask(key, "POST", "/v1/responses", follow | {"user": "u-1"})).status == 200


async def test_retries_and_forks_keep_the_user(plain: Asked) -> None:
    """Whoever begins the run again."""
    key = await plain.key("admin")
    run = (await plain.ask(key, "POST", RUN, {"input": "Hello.", "user": "u-1", "conversation_id": "c"})).json["run"]
    for what, body in (("retry", {}), ("fork", {"step": 1})):
        again = await plain.ask(key, "POST", f"/v1/runs/{run}/{what}", body)
        assert (again.status, again.json["user"]) == (202, "u-1")


async def test_who_acts_in_another_tenant_is_no_user_there(plain: Asked) -> None:
    """A platform key may name a user of that tenant; its own tenant has none of it."""
    key = await plain.key("platform")
    there = {"x-golive-tenant": "default"}
    answer = await plain.ask(key, "POST", RUN, {"input": "Hello.", "user": "u-1"}, there)
    assert answer.json["user"] == "u-1"


async def test_users_appear_by_themselves_and_are_seen(plain: Asked) -> None:
    """A user whom nobody made has a row with the first answer in its name; a refused request makes none."""
    key = await plain.key("admin")
    for user, agent in (("u-1", "support"), ("u-2", "nobody")):
        await plain.ask(key, "POST", f"/v1/agents/{agent}/runs", {"input": "Hello.", "user": user})
    await plain.server.tenancy.seen.write()
    users = {row.id: row for row in await plain.server.store.tenant("default").users()}
    assert list(users) == ["u-1"]
    first = users["u-1"].last_seen_at
    assert first is not None
    await plain.ask(key, "GET", "/v1/runs", None, {"x-golive-user": "u-1"})
    await plain.server.tenancy.seen.write()
    again = await plain.server.store.tenant("default").user("u-1")
    assert again is not None
    assert (again.last_seen_at or 0.0) >= first


async def test_nothing_begins_in_the_name_of_a_suspended_user(plain: Asked) -> None:
    """Whoever names them: 403 on every face, and nothing is asked of a provider."""
    key = await plain.key("admin")
    assert (await plain.ask(key, "POST", "/v1/users/u-1/suspend", {})).status == 200
    for path, body, said in SAID.values():
        assert (await plain.ask(key, "POST", path, body | said)).status == 403, path
    assert (await plain.ask(key, "GET", "/v1/runs")).json["data"] == []
    assert (await plain.ask(key, "POST", "/v1/users/u-1/resume", {})).status == 200
    path, body, said = SAID["native"]
    assert (await plain.ask(key, "POST", path, body | said)).status == 200


NAMES = ("Ann M\u00fcller", "waad|ann smith", "\u00e9", "a/b", "100%", "..", "\u738b\u5c0f\u660e", "x" * 200)
NOT_AT_THE_PROVIDER = ("a/b", "..")
"""The provider of the tests has the names in its addresses."""


@pytest.mark.parametrize("name", NAMES)
async def test_whoever_may_be_let_in_can_be_addressed(served: Asked, issuer: Provider, name: str) -> None:
    """By a token, in a body, in the header as UTF-8, and in the path of every act, from the command line too."""
    key = await served.key("admin")
    runs = set()
    if name not in NOT_AT_THE_PROVIDER:
        them = await person(issuer, name)
        runs.add(await served.run(them, "support"))
        assert (await served.ask(key, "GET", "/v1/runs?limit=1")).json["data"][0]["user"] == name
    said = await served.ask(key, "POST", RUN, {"input": "Hello.", "user": name})
    assert (said.status, said.json["user"]) == (200, name)
    runs.add(said.json["run"])
    listed = await served.ask(key, "GET", "/v1/runs", None, {"x-golive-user": name})
    assert {row["run"] for row in listed.json["data"]} == runs
    path = f"/v1/users/{unquote(in_path(name))}"  # as a server has taken it apart
    assert (await served.ask(key, "POST", f"{path}/suspend", {})).json["state"] == "suspended"
    assert (await served.ask(key, "GET", path)).json["id"] == name
    if name not in NOT_AT_THE_PROVIDER:
        assert (await served.ask(them, "GET", "/v1/runs")).status == 403
    assert name in (await served.ask(key, "GET", f"{path}/export")).body.decode()
    assert (await served.ask(key, "POST", f"{path}/resume", {})).json["state"] == "active"
    assert (await served.ask(key, "POST", f"{path}/erase", {"confirm": name})).json["proved"] is True
    said = await served.ask(key, "POST", RUN, {"input": "Hello.", "user": name})
    assert said.status == 403


async def test_nothing_is_shown_to_who_names_a_suspended_user(plain: Asked) -> None:
    """403 for reading as for acting; without naming them a key reads on."""
    key = await plain.key("admin")
    run = (await plain.ask(key, "POST", RUN, {"input": "Hello.", "user": "u-1"})).json["run"]
    assert (await plain.ask(key, "POST", "/v1/users/u-1/suspend", {})).status == 200
    for path in ("/v1/runs", f"/v1/runs/{run}", f"/v1/runs/{run}/events?format=json", "/v1/deliveries", "/v1/agents"):
        answer = await plain.ask(key, "GET", path, None, {"x-golive-user": "u-1"})
        assert (answer.status, answer.json["reason"]) == (403, "user.suspended"), path
        assert (await plain.ask(key, "GET", path)).status == 200


@pytest.mark.parametrize("name", ["x-golive-user", "x-golive-tenant"])
async def test_a_request_names_one_user_and_one_tenant(plain: Asked, name: str) -> None:
    """Twice is 400, also of the same: a proxy may read another one of them."""
    key = await plain.key("platform")
    for values in (("default", "default"), ("default", "other")):
        headers = CIMultiDict([(name, value) for value in values])
        answer = await plain.ask(key, "POST", RUN, {"input": "Hello."}, headers)
        assert (answer.status, answer.json["field"]) == (400, name)


async def test_messages_of_others_runs_are_shown_to_nobody_who_sees_their_own_alone(
    served: Asked, issuer: Provider
) -> None:
    """Neither listed nor sent again, by a person or a key that names a user."""
    alice, desk, key = await person(issuer, "alice"), await person(issuer, "o", "golive-out"), await served.key("admin")
    hers, its = await served.run(alice, "support"), await served.run(desk, "support")
    for asker, header, wanted in (
        (key, None, {hers, its}), (desk, None, {its}), (key, "alice", {hers}), (key, "zoe", set()),
    ):  # fmt: skip
        answer = await served.ask(asker, "GET", "/v1/deliveries", None, {"x-golive-user": header} if header else None)
        assert {row["run"] for row in answer.json["data"]} == wanted
    [of_her] = [
        row["id"] for row in (await served.ask(key, "GET", f"/v1/deliveries?run={hers}")).json["data"][:1]
    ]  # fmt: skip
    refused = await served.ask(desk, "POST", f"/v1/deliveries/{of_her}/send")
    assert refused.status == 404
    unknown = await served.ask(desk, "POST", "/v1/deliveries/msg_9/send")
    assert refused.body.decode() == unknown.body.decode().replace("msg_9", of_her)
    assert (await served.ask(key, "POST", f"/v1/deliveries/{of_her}/send")).status == 202
