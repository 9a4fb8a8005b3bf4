"""[roles.NAME]: what it may say, and how what cannot be meant is refused."""

from pathlib import Path

import pytest

from golive.config.load import load
from tests.unit.test_config_load import project, refused

REFUSED = [
    ('[roles.desk]\n', "1: `roles.desk` may nothing. Set `verbs`, or `like`."),
    (
        '[roles.desk]\nverbs = ["runs.creat"]\n',
        '2: `roles.desk.verbs[0]` must be one of "agents.read", "models.read"',
    ),
    (
        '[roles.desk]\nlike = "user"\nagents = ["sup*port"]\n',
        (
            "3: `roles.desk.agents[0]` must be an agent's name, or the beginning of one with `*` behind it, such as "
            '`shop-*`, but is the text "sup*port".'
        ),
    ),
    ('[roles.desk]\nlike = "usr"\n', "2: `roles.desk.like` names usr, which is no role. Did you mean `user`?"),
    (
        '[roles.desk]\nlike = "platform"\n',
        (
            "2: `roles.desk.like` is platform, which acts in all tenants; no other role can. Use \"admin\", which may "
            "the same in its own tenant."
        ),
    ),
    (
        '[roles.admin]\nlike = "user"\n',
        "`roles.admin` is built in, and means the same everywhere. Take another name.",
    ),
    (
        '[roles.a]\nlike = "b"\n[roles.b]\nlike = "c"\n[roles.c]\nlike = "a"\n',
        "2: `roles.a.like` leads back to itself (a -> b -> c -> a). Break the circle.",
    ),
    ('[roles.a]\nlike = "a"\n', "2: `roles.a.like` leads back to itself (a -> a). Break the circle."),
    (
        '[roles.desk]\nverbs = ["runs.read", "audit.read"]\nagents = ["support"]\n',
        (
            "2: `roles.desk.verbs` names audit.read, which counts on a whole tenant, but the role is limited to some "
            "agents or models. Remove audit.read, or the limits, or make two roles."
        ),
    ),
    ('[roles.desk]\nlike = "user"\nagent = ["support"]\n', "3: unknown key `roles.desk.agent`. Did you mean"),
    (
        '[audit]\nleave_out = ["health.raed"]\n',
        '2: `audit.leave_out[0]` must be one of "agents.read", "models.read"',
    ),
    ('[audit]\nsum_up = ["runs"]\n', '2: `audit.sum_up[0]` must be one of "agents.read"'),
    ('[secrets]\ntenant_references = ["envv:KEY"]\n', "2: `secrets.tenant_references[0]` must be `env:`, `file:`"),
    ('[secrets]\ntenant_references = ["env:KEY_{tenat}"]\n', "in braces nothing but `{tenant}`"),
    ('[secrets]\ntenant_references = ["vault:*/{tenant}"]\n', "2: `secrets.tenant_references[0]` must be `env:`"),
    ('[roles."Desk 1"]\nlike = "user"\n', "`Desk 1` is no name for [roles."),
]  # fmt: skip


@pytest.mark.parametrize(("golive", "said"), REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, golive: str, said: str) -> None:
    """With file, line, what is wrong and what to write."""
    assert any(said in fault for fault in refused(tmp_path, golive)), refused(tmp_path, golive)


def test_a_circle_that_one_hangs_on_is_told_for_its_own_members_alone(tmp_path: Path) -> None:
    """Not for whoever is like one of them."""
    found = refused(tmp_path, '[roles.a]\nlike = "b"\n[roles.b]\nlike = "a"\n[roles.c]\nlike = "a"\n')
    assert [fault.split("`")[1] for fault in found] == ["roles.a.like", "roles.b.like"]


def test_roles_come_in_with_their_verbs_and_patterns(tmp_path: Path) -> None:
    """As they stand, absent patterns as None."""
    golive = '[roles.desk]\nlike = "user"\nverbs = ["runs.decide"]\nagents = ["support", "shop-*"]\n'
    role = load(project(tmp_path, golive, agent=None), {}).config.roles["desk"]
    assert (role.like, role.verbs, role.agents) == ("user", ("runs.decide",), ("support", "shop-*"))
    assert (role.models, role.tools) == (None, None)
