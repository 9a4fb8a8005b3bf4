"""golive.toml and the agents' folders come in whole, with origins, or every fault is told at once."""

from pathlib import Path

import pytest

from golive.config.files import MAX_FILE_BYTES
from golive.config.load import Loaded, load
from golive.core.errors import AgentError, ConfigError

SIM = '[providers.sim]\nbase_url = "http://127.0.0.1:8090/v1"\n'
AGENT = 'name = "support"\nversion = "1.0.0"\n[models.default]\nchain = ["sim/sim-agent"]\n'


def project(
    root: Path, golive: str = SIM, agent: str | bytes | None = AGENT, prompt: str | None = "Be kind.\n"
) -> Path:
    """Writes a project with one agent, `support`."""
    (root / "golive.toml").write_text(golive)
    folder = root / "agents" / "support"
    if agent is not None:
        folder.mkdir(parents=True)
        (folder / "agent.toml").write_bytes(agent if isinstance(agent, bytes) else agent.encode())
        if prompt is not None:
            (folder / "prompt.md").write_text(prompt)
    return root


def faults(error: ConfigError) -> list[str]:
    """Each fault as it is told."""
    return [problem.line() for problem in error.fields["problems"]]


def refused(root: Path, golive: str, **environ: str) -> list[str]:
    """The faults of a golive.toml."""
    with pytest.raises(ConfigError) as caught:
        load(project(root, golive, agent=None), environ)
    return faults(caught.value)


def agent_refused(root: Path, agent: str | bytes, golive: str = SIM, prompt: str | None = "Be kind.\n") -> list[str]:
    """The faults of an agent."""
    with pytest.raises(AgentError) as caught:
        load(project(root, golive, agent, prompt), {})
    return faults(caught.value)


def origin(loaded: Loaded, key: str) -> str:
    return next(value.origin for value in loaded.values if value.key == key)


def test_a_project_comes_in_whole(tmp_path: Path) -> None:
    """Settings, agent, prompt and root are what the files say."""
    loaded = load(project(tmp_path, "[server]\nport = 9000\n" + SIM), {})
    agent = loaded.agents["support"]
    assert (loaded.root, loaded.config.server.port) == (tmp_path, 9000)
    assert (agent.prompt, agent.config.version, agent.tools_file) == ("Be kind.\n", "1.0.0", None)
    assert agent.config.models["default"].chain == ("sim/sim-agent",)


def test_the_nearest_file_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path, golive.toml is searched from the current folder upwards."""
    project(tmp_path)
    monkeypatch.chdir(tmp_path / "agents" / "support")
    assert load(None, {}).root == tmp_path


def test_no_file_names_golive_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no golive.toml, the remedy is the command that writes one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no golive\.toml in") as caught:
        load(None, {})
    assert "golive new" in caught.value.remedy
    with pytest.raises(ConfigError, match="there is no "):
        load(tmp_path / "other.toml", {})


def test_origins_name_file_and_line(tmp_path: Path) -> None:
    """Each value knows whether a line, the environment or a default set it."""
    golive = '[server]\n\nport = 9000\n[providers]\nsim = { base_url = "http://127.0.0.1:1" }\n'
    loaded = load(project(tmp_path, golive), {"GOLIVE_LOG__LEVEL": "debug"})
    assert origin(loaded, "server.port") == "golive.toml:3"
    assert origin(loaded, "providers.sim.base_url") == "golive.toml:5"
    assert origin(loaded, "log.level") == "environment GOLIVE_LOG__LEVEL"
    assert origin(loaded, "server.host") == "default"
    assert origin(loaded, "agent.support.models.default.chain") == "agents/support/agent.toml:4"
    assert origin(loaded, "agent.support.limits.max_steps") == "default"


def test_unknown_keys_are_refused_with_the_nearest(tmp_path: Path) -> None:
    """A misspelt key, one in the wrong section and one like nothing each get the name that was probably meant."""
    found = refused(tmp_path, "drain_s = 3\n[server]\nprot = 1\n[log]\nzzz = 1\n[servers]\n")
    assert "golive.toml:1: unknown key `drain_s`. Did you mean `server.drain_s`?" in found
    assert "golive.toml:3: unknown key `server.prot`. Did you mean `server.port`?" in found
    assert "golive.toml:5: unknown key `log.zzz`. Possible: `content`, `format`, `level`." in found
    assert "golive.toml:6: unknown key `servers`. Did you mean `server`?" in found
    assert len(found) == 4


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('port = "8080"', '`server.port` must be a whole number from 0 to 65535, but is the text "8080".'),
        ("port = true", "`server.port` must be a whole number from 0 to 65535, but is true."),
        ("port = 65536", "`server.port` must be a whole number from 0 to 65535, but is 65536."),
        ("port = 80.5", "`server.port` must be a whole number from 0 to 65535, but is 80.5."),
        ("host = 1", "`server.host` must be text, but is 1."),
        ("host = []", "`server.host` must be text, but is a list."),
        ("drain_s = 0", "`server.drain_s` must be a number above 0 and at most 86400, but is 0."),
        ("drain_s = nan", "`server.drain_s` must be a number above 0 and at most 86400, but is nan."),
        (
            "drain_s = 2026-11-21",
            "`server.drain_s` must be a number above 0 and at most 86400, but is the date 2026-11-21.",
        ),
    ],
)
def test_wrong_values_say_what_is_expected_and_found(tmp_path: Path, line: str, told: str) -> None:
    """A wrong type or range names the key, the line, what is expected and what stands there."""
    assert refused(tmp_path, f"[server]\n{line}\n") == [f"golive.toml:2: {told}"]


def test_whole_numbers_are_fine_where_numbers_are(tmp_path: Path) -> None:
    """`drain_s = 5` is 5.0 seconds; strictness is about types people would not expect to be converted."""
    assert load(project(tmp_path, "[server]\ndrain_s = 5\n" + SIM), {}).config.server.drain_s == 5.0


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    """One reading tells every fault of file and environment, a line each."""
    golive = '[server]\nport = "x"\n[log]\nlevel = "loud"\n[providers.a]\ndialect = "openai-chat"\n[providers.B]\n'
    with pytest.raises(ConfigError) as caught:
        load(project(tmp_path, golive, agent=None), {"GOLIVE_SERVER__NOPE": "1"})
    assert caught.value.message.startswith("6 faults")
    assert [line.split(": ")[0].strip() for line in caught.value.message.splitlines()[1:]] == [
        "environment GOLIVE_SERVER__NOPE", "golive.toml:2", "golive.toml:4", "golive.toml:5", "golive.toml:7",
        "golive.toml:7",
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["api_key", "apikey"])
def test_a_literal_secret_is_refused_and_never_shown(tmp_path: Path, key: str) -> None:
    """A secret written where a reference belongs, or under an unknown key, appears in no message and no field."""
    golive = f'[providers.a]\nbase_url = "http://x"\n{key} = "sk-very-secret"\n'
    with pytest.raises(ConfigError) as caught:
        load(project(tmp_path, golive, agent=None), {})
    assert "very-secret" not in str(caught.value) + repr(caught.value.fields)
    assert caught.value.fields["origin"] == "golive.toml:3"
    if key == "api_key":
        assert "`env:NAME`" in caught.value.remedy
        assert "`file:PATH`" in caught.value.remedy


def test_a_password_in_an_address_is_refused_and_never_shown(tmp_path: Path) -> None:
    """An address with user and password would be shown by explain, logs and digests, so it is refused."""
    (told,) = refused(tmp_path, '[providers.a]\nbase_url = "https://me:hunter2@x/v1"\n')
    assert "hunter2" not in told
    assert "without user, password or query" in told


def test_a_key_of_a_vendor_is_shown_nowhere(tmp_path: Path) -> None:
    """Even in a setting that is no secret, what looks like a vendor's key is not echoed."""
    (told,) = refused(tmp_path, '[log]\nlevel = "sk-proj-abcdef"\n')
    assert "abcdef" not in told


def test_broken_toml_names_line_and_column(tmp_path: Path) -> None:
    """A syntax error says where."""
    (told,) = refused(tmp_path, '[server]\nport = 1\nhost = "a\n')
    assert told.startswith("golive.toml")
    assert "line 3, column 10" in told


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'[log]\nlevel = "\xff"\n', "golive.toml:2: is not UTF-8 at byte 10 of the line (0xff)."),
        (b"# " + b"x" * MAX_FILE_BYTES, f"golive.toml: is larger than {MAX_FILE_BYTES} bytes."),
        (b"a = " + b"[" * 100_000, "golive.toml: is not valid TOML: brackets are nested too deeply."),
        (b"[server]\nport = " + b"9" * 5_000, "golive.toml: is not valid TOML: Exceeds the limit"),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path: Path, data: bytes, told: str) -> None:
    """Bytes that are no text, far too many of them, and tricks on the parser are told like every other fault."""
    (tmp_path / "golive.toml").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert caught.value.message.startswith(told)


def test_a_mark_of_byte_order_and_other_line_ends_are_fine(tmp_path: Path) -> None:
    """Files from editors of other systems come in, with the right lines."""
    (tmp_path / "golive.toml").write_bytes(b"\xef\xbb\xbf[server]\r\n\r\nport = 1\r\n")
    assert origin(load(tmp_path, {}), "server.port") == "golive.toml:3"


def test_a_folder_called_golive_toml_is_told(tmp_path: Path) -> None:
    """A folder where the file should be is told, not a crash."""
    (tmp_path / "golive.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, {})


def test_no_agents_at_all_is_a_plain_gateway(tmp_path: Path) -> None:
    """The default folder may be missing; one that was named may not."""
    assert load(project(tmp_path, agent=None), {}).agents == {}
    (told,) = refused(tmp_path, '[agents]\npath = "nowhere"\n')
    assert told.startswith("golive.toml:2: `agents.path` is no folder")


def test_folders_that_hold_no_agent_are_left_alone(tmp_path: Path) -> None:
    """Shared code beside the agents is no agent; a prompt without agent.toml is a fault."""
    project(tmp_path)
    (tmp_path / "agents" / "shared").mkdir()
    (tmp_path / "agents" / "notes.md").write_text("x")
    assert list(load(tmp_path, {}).agents) == ["support"]
    (tmp_path / "agents" / "shared" / "prompt.md").write_text("x")
    with pytest.raises(AgentError, match=r"agents/shared/agent\.toml: there is no agent\.toml"):
        load(tmp_path, {})


def test_an_agents_name_is_its_folders(tmp_path: Path) -> None:
    """A name that differs from the folder's is told with its line."""
    (told,) = agent_refused(tmp_path, AGENT.replace('"support"', '"suport"'))
    assert told.startswith('agents/support/agent.toml:1: `name` is "suport", but the folder is support/.')


def test_chains_name_configured_providers(tmp_path: Path) -> None:
    """An unknown provider is told with the nearest one, and with all of them when none is near."""
    (told,) = agent_refused(tmp_path, AGENT.replace("sim/sim-agent", "sym/sim-agent"))
    assert told == (
        "agents/support/agent.toml:4: `models.default.chain` names the provider `sym`, which golive.toml does not "
        "have. Did you mean `sim/sim-agent`?"
    )


def test_a_version_without_quotes_is_told(tmp_path: Path) -> None:
    """`version = 1.0` is a number in TOML; the remedy is a pair of quotes."""
    (told,) = agent_refused(tmp_path, AGENT.replace('"1.0.0"', "1.0"))
    assert told.endswith("but is 1.0. Put it in quotes.")


@pytest.mark.parametrize("version", ["", " ", "1 0", "1\\n", "1\\u0000", "ü", "-1", "a" * 65])
def test_a_version_is_a_label(tmp_path: Path, version: str) -> None:
    """Empty, with blanks, controls or letters that look like others, or too long: refused in words, at its line."""
    (told,) = agent_refused(tmp_path, AGENT.replace("1.0.0", version))
    assert told.startswith("agents/support/agent.toml:2: `version` must be a version of letters, digits and `.+_-`")


def test_a_version_need_not_be_semver(tmp_path: Path) -> None:
    """A date, a build or a word serves as well."""
    for version in ("2026-11-21", "1.0.0-rc.1+build_7", "blue"):
        root = tmp_path / version
        root.mkdir()
        project(root, agent=AGENT.replace("1.0.0", version))
        assert load(root, {}).agents["support"].config.version == version


def test_targets_and_tiers_are_checked(tmp_path: Path) -> None:
    """An empty chain, a target without provider, and several tiers without a default are each told."""
    found = agent_refused(
        tmp_path, 'name = "support"\nversion = "1"\n[models.a]\nchain = []\n[models.b]\nchain = ["x"]\n'
    )
    assert found[0] == "agents/support/agent.toml:4: `models.a.chain` must have at least 1 entry."
    assert found[1].startswith("agents/support/agent.toml:6: `models.b.chain[0]` must be a target written `provider/")


def test_a_chain_whose_only_target_is_wrong_is_not_called_empty(tmp_path: Path) -> None:
    """One fault, at the entry."""
    (told,) = agent_refused(tmp_path, AGENT.replace('"sim/sim-agent"', '"sim"'))
    assert told.startswith("agents/support/agent.toml:4: `models.default.chain[0]` must be a target written `provider/")


def test_several_tiers_need_a_default(tmp_path: Path) -> None:
    """Without [models.default] among several nobody could say which answers."""
    (told,) = agent_refused(tmp_path, AGENT.replace("default", "a") + '[models.b]\nchain = ["sim/x"]\n')
    assert told.startswith("agents/support/agent.toml:3: of several tiers none is called `default`.")


@pytest.mark.parametrize(
    ("prompt", "told"),
    [(None, "there is no prompt.md."), ("", "is empty."), (" \n\t\n", "is empty.")],
)
def test_a_prompt_is_needed(tmp_path: Path, prompt: str | None, told: str) -> None:
    """An agent without instructions is refused."""
    (line,) = agent_refused(tmp_path, AGENT, prompt=prompt)
    assert line.startswith(f"agents/support/prompt.md: {told}")


def test_a_broken_agent_toml_names_its_file(tmp_path: Path) -> None:
    """Syntax and bytes of agent.toml are told like those of golive.toml."""
    (told,) = agent_refused(tmp_path, b'name = "support"\nversion = "\xff"\n')
    assert told.startswith("agents/support/agent.toml:2: is not UTF-8")


def test_agents_are_told_together(tmp_path: Path) -> None:
    """Two broken agents are one error with both."""
    project(tmp_path, agent=AGENT.replace("sim/", "sum/"))
    other = tmp_path / "agents" / "other"
    other.mkdir()
    (other / "agent.toml").write_text("x = 1\n")
    (other / "prompt.md").write_text("x")
    with pytest.raises(AgentError) as caught:
        load(tmp_path, {})
    origins = {problem.origin.split(":")[0] for problem in caught.value.fields["problems"]}
    assert origins == {"agents/other/agent.toml", "agents/support/agent.toml"}


def test_a_schema_of_the_answer_is_read(tmp_path: Path) -> None:
    """`output_schema` names a JSON file of the folder, per tier."""
    project(tmp_path, agent=AGENT + 'output_schema = "answer.json"\n')
    (tmp_path / "agents/support/answer.json").write_text('{"type": "object"}')
    assert load(tmp_path, {}).agents["support"].output_schemas == {"default": {"type": "object"}}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("no.json", None, "there is no no.json."),
        ("a.json", "{", "a.json is not JSON"),
        ("a.json", "[1]", "a.json does not hold a JSON object."),
        ("a.json", '{"minimum": NaN}', "a.json is not JSON: NaN is no number that JSON knows."),
        (
            "a.json",
            '{"properties": {"age": {"type": "strin"}}}',
            "`models.default.output_schema`: a.json is no JSON Schema: at #/properties/age/type, `type` must be one or",
        ),
        ("../../golive.toml", None, "leaves the agent's folder"),
    ],
)
def test_a_schema_that_cannot_be_used_is_told(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    """A schema that is missing, no JSON, no object or outside the version is told at the setting's line."""
    project(tmp_path, agent=AGENT + f'output_schema = "{name}"\n')
    if content is not None:
        (tmp_path / "agents/support" / name).write_text(content)
    with pytest.raises(AgentError) as caught:
        load(tmp_path, {})
    (line,) = faults(caught.value)
    assert line.startswith("agents/support/agent.toml:5: ")
    assert told in line


def test_the_users_code_is_not_imported(tmp_path: Path) -> None:
    """tools.py is found and not run, whatever stands in it."""
    project(tmp_path)
    tools = tmp_path / "agents/support/tools.py"
    tools.write_text("raise SystemExit(1)")
    assert load(tmp_path, {}).agents["support"].tools_file == tools


def test_tools_are_not_shown_a_secret_of_the_servers(tmp_path: Path) -> None:
    """A variable that golive.toml uses as a credential cannot be handed to the worker under its own name."""
    golive = SIM + 'api_key = "env:REAL_KEY"\n'
    (told,) = agent_refused(tmp_path, AGENT + '[worker]\nenv = ["SHOP_KEY", "REAL_KEY"]\n', golive)
    assert "REAL_KEY" in told
    assert "SHOP_KEY" not in told
    assert "credential of their own" in told


def test_tools_are_not_shown_a_setting_of_golives(tmp_path: Path) -> None:
    """Told at its line, before any worker starts; once, also where the setting is used as a secret."""
    golive = SIM + 'api_key = "env:GOLIVE_X"\n'
    (told,) = agent_refused(tmp_path, AGENT + '[worker]\nenv = ["SHOP_KEY", "GOLIVE_X"]\n', golive)
    assert told.startswith("agents/support/agent.toml:6: `worker.env` names GOLIVE_X: golive's own settings never")


@pytest.mark.parametrize("url", ["agents/support/golive.db", "agents/x/../support/data/golive.db"])
def test_a_database_in_an_agents_folder_is_refused(tmp_path: Path, url: str) -> None:
    """A server reads all of that folder, and would lose its locks on the database; beside the folders it may lie."""
    store = f'{SIM}[store]\nurl = "sqlite:%s"\n'
    with pytest.raises(ConfigError) as caught:
        load(project(tmp_path, store % url), {})
    [fault] = faults(caught.value)
    assert "`store.url` lies in the agent's folder support," in fault
    assert "Keep the database elsewhere." in fault
    for beside in ("agents/golive.db", "data/golive.db"):
        (tmp_path / "golive.toml").write_text(store % beside)
        assert load(tmp_path, {}).store_path == tmp_path / beside
