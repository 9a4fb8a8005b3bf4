"""What `deploy/` says of golive is true of golive: addresses, ports, settings, metrics, commands, times."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from golive import __version__
from golive.cli.main import build
from golive.config import environment
from golive.config.schema import GoliveConfig
from golive.gateway.routes import PUBLIC_PATHS
from golive.store.postgres.connection import Address, no_role
from golive.telemetry.edge import EdgeMetrics
from golive.telemetry.metrics import Metrics
from golive.tenants.roles import BUILT_IN
from tests.deploy.files import (
    DEPLOY,
    MANIFESTS,
    ROOT,
    commands,
    container,
    document,
    documents,
    instructions,
    manifest,
    unit,
    variables,
)

COMPOSE = document(DEPLOY / "compose.yaml")
DEPLOYMENT = manifest("Deployment")
TOML = GoliveConfig.model_validate(tomllib.loads((DEPLOY / "kubernetes/golive.toml").read_text()))
LIVE, READY = "/health/live", "/health/ready"
OWN_VARIABLES = {
    "GOLIVE_PEPPER",
    "GOLIVE_IMAGE",
    "GOLIVE_USER",
    "GOLIVE_PROJECT",
    "GOLIVE_BACKUPS",
    "GOLIVE_SITE",
    "GOLIVE_UPSTREAMS",
}
"""Variables that are no settings: a secret's value, and what compose and the proxy fill in."""
REPLICAS = [name for name in COMPOSE["services"] if name.startswith("golive-")]
PAGES = [DEPLOY / "README.md", ROOT / "docs/deploy.md"]
CLOSING_S = 10
"""What handing over, ending the workers and closing the store may take after the drain."""


def _health(name: str) -> Any:
    return container(DEPLOYMENT)[name]["httpGet"]


def test_probes_ask_what_load_balancers_may_ask() -> None:
    """Liveness is the process's, readiness the store's; both are routes that need no key, neither asks providers."""
    assert frozenset({LIVE, READY}) == PUBLIC_PATHS
    assert _health("livenessProbe")["path"] == LIVE
    assert _health("startupProbe")["path"] == LIVE
    assert _health("readinessProbe")["path"] == READY
    caddyfile = (DEPLOY / "Caddyfile").read_text()
    assert re.findall(r"health_uri (\S+)", caddyfile) == [READY]
    (check,) = [one.rest for one in instructions() if one.word == "HEALTHCHECK"]
    assert LIVE in check
    assert READY not in check


def test_ports_agree() -> None:
    """Whoever asks golive asks where it listens."""
    port = GoliveConfig().server.port
    assert TOML.server.port == port
    (exposed,) = [one.rest for one in instructions() if one.word == "EXPOSE"]
    assert int(exposed) == port
    (named,) = container(DEPLOYMENT)["ports"]
    assert (named["name"], named["containerPort"]) == ("http", port)
    assert [one["targetPort"] for one in manifest("Service")["spec"]["ports"]] == ["http"]
    assert {_health(f"{kind}Probe")["port"] for kind in ("liveness", "startup", "readiness")} == {"http"}
    assert [rule["ports"][0]["port"] for rule in manifest("NetworkPolicy")["spec"]["ingress"]] == ["http"]
    upstreams = re.findall(r"GOLIVE_UPSTREAMS:(.+)\}", (DEPLOY / "Caddyfile").read_text())[0].split()
    assert upstreams == [f"{name}:{port}" for name in REPLICAS]
    assert {COMPOSE["services"][name]["environment"]["GOLIVE_SERVER__PORT"] for name in REPLICAS} == {str(port)}


def test_every_variable_is_a_setting() -> None:
    """Each GOLIVE_ variable in `deploy/` is a setting of the schema, or one that is known to be none."""
    named = {name for _, name in variables() if name not in OWN_VARIABLES}
    assert "GOLIVE_STORE__URL" in named
    found = environment.apply(GoliveConfig, dict.fromkeys(named, "1"), {})
    assert [problem.message for problem in found.problems] == []
    assert found.ignored == []


def test_a_variable_that_is_no_setting_is_found() -> None:
    """What the test above rests on refuses a name that is wrong by one letter."""
    assert environment.apply(GoliveConfig, {"GOLIVE_STORE__URI": "1"}, {}).problems


def test_metrics_that_are_named_exist() -> None:
    """Autoscaling, the adapter's rules and the alerts name metrics that /metrics shows."""
    registry, edge = Metrics().registry, EdgeMetrics()
    edge.follow_certificate(lambda: 0.0)
    edge.join(registry)
    families = list(registry.collect())
    shown = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    texts = [path.read_text() for path in (*(DEPLOY / "prometheus").glob("*.yaml"), *PAGES, *MANIFESTS)]
    named = {name for text in texts for name in re.findall(r"\bgolive_[a-z_]*[a-z]", text)}
    roles = set(
        re.findall(r"CREATE ROLE (\w+)", no_role(Address("postgresql://h/d"), None, ValueError("no")).remedy or "")
    )
    assert len(roles) == 3  # of the database, which the page names too
    assert named - shown - roles == set()
    (pods,) = [one for one in manifest("HorizontalPodAutoscaler")["spec"]["metrics"] if one["type"] == "Pods"]
    (rule,) = document(DEPLOY / "prometheus/adapter.yaml")["rules"]
    assert pods["pods"]["metric"]["name"] == rule["name"]["as"] == "golive_open_runs"
    assert int(pods["pods"]["target"]["averageValue"]) < TOML.server.max_open_runs
    assert f"* {TOML.server.max_open_runs}" in (DEPLOY / "prometheus/alerts.yaml").read_text()


def test_nobody_is_killed_while_it_drains() -> None:
    """What ends golive waits longer than server.drain_s, and whatever is before and after it."""
    pod = DEPLOYMENT["spec"]["template"]["spec"]
    before_s = container(DEPLOYMENT)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= before_s + TOML.server.drain_s + CLOSING_S
    # Two failed probes fit before SIGTERM only if the pod is taken out by its deletion; that takes a few seconds.
    assert before_s >= 3
    drain_s = GoliveConfig().server.drain_s
    for name in REPLICAS:
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) >= drain_s + CLOSING_S
    service = unit(DEPLOY / "golive.service")["Service"]
    assert int(service["TimeoutStopSec"][0]) >= drain_s + CLOSING_S
    assert service["KillMode"] == ["mixed"]


def test_signals_reach_golive() -> None:
    """The image's entrypoint is in exec form behind tini, which hands SIGTERM on; what it runs is `golive serve`."""
    said = {one.word: one.rest for one in instructions() if one.stage == 1}
    assert json.loads(said["ENTRYPOINT"]) + json.loads(said["CMD"]) == ["tini", "--", "golive", "serve"]
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(said["HEALTHCHECK"].partition(" CMD ")[2])[0] == "python"
    assert container(DEPLOYMENT)["args"] == ["serve"]


def test_nobody_is_root_and_nothing_can_be_written() -> None:
    """Image, pods and containers run as a user of their own, on a read-only root, without capabilities."""
    (user,) = [one.rest for one in instructions() if one.word == "USER"]
    assert user == "10001:10001"
    for workload in (DEPLOYMENT, manifest("Job")):
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == user
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert "/tmp" in [mount["mountPath"] for mount in container(workload)["volumeMounts"]]
    for name in (*REPLICAS, "cli"):
        service = COMPOSE["services"][name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["tmpfs"][0].startswith("/tmp:")


def test_every_dependency_of_the_image_is_locked() -> None:
    """Each install demands the hashes of its lock, or takes the wheel that was built; nothing is compiled."""
    runs = [part.strip() for one in instructions() if one.word == "RUN" for part in one.rest.split("&&")]
    installs = [run for run in runs if "pip install" in run]
    assert len(installs) == 3
    locked = [run for run in installs if "--require-hashes" in run]
    assert [re.findall(r"-r (\S+)", run) for run in locked] == [["requirements-bootstrap.lock"], ["requirements.lock"]]
    assert all("--no-build" in run or "--only-binary :all:" in run for run in locked)
    (own,) = [run for run in installs if run not in locked]
    assert {"--no-deps", "--no-index", "dist/*.whl"} <= set(own.split())
    final = [one.rest for one in instructions() if one.stage == 1 and one.word == "RUN"]
    assert not re.search(r"gcc|build-essential|-dev\b|pip", " ".join(final))


def test_what_is_copied_into_the_image_enters_the_build() -> None:
    """.dockerignore lets through what the Dockerfile copies, and nothing else."""
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {
        word for one in instructions()
        if one.word == "COPY" and "--from" not in one.rest for word in one.rest.split()[:-1]
    }  # fmt: skip
    assert copied == allowed
    assert [name for name in allowed if not (ROOT / name).exists()] == []


def test_versions_agree() -> None:
    """Image tags are this golive's version everywhere."""
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file() and "secrets" not in path.parts]
    found = {tag for text in texts for tag in re.findall(r"\bgolive:(\d[\w.]*\w)|^\s+newTag: (\S+)", text, re.M)}
    assert {one or other for one, other in found} == {__version__}


def test_labels_lead_to_the_pods() -> None:
    """Every selector matches the pods of the Deployment, and only the network policy those of the Job too."""
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    job = manifest("Job")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        manifest("Service")["spec"]["selector"],
        manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= job.items()
    policy = manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= labels.items()
    assert policy.items() <= job.items()


def test_replicas_have_names_that_last() -> None:
    """server.replica is the pod's name, and the service's name in compose; no two are alike."""
    (field,) = [one for one in container(DEPLOYMENT)["env"] if one["name"] == "GOLIVE_SERVER__REPLICA"]
    assert field["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    names = [COMPOSE["services"][name]["environment"]["GOLIVE_SERVER__REPLICA"] for name in REPLICAS]
    assert names == REPLICAS
    assert len(names) == 3
    assert f"all=({' '.join(REPLICAS)})" in (DEPLOY / "roll.sh").read_text()


def test_the_autoscaler_owns_the_number_of_pods() -> None:
    """The Deployment states none, so that applying it again takes no pod away."""
    assert "replicas" not in DEPLOYMENT["spec"]
    assert manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]


def _options(words: list[str]) -> set[str]:
    """The options of the golive command that the words call.

    Raises:
        KeyError: there is no such command.
    """
    app = typer.main.get_command(build(words))
    assert isinstance(app, typer.core.TyperGroup)
    command: Any = app.commands[words[0]]
    if isinstance(command, typer.core.TyperGroup) and len(words) > 1:
        command = command.commands[words[1]]
    return {option for param in command.params for option in param.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    """Each `golive …` and `make …` on the operators' pages can be called, with the options it has there."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    seen = 0
    for program, *words in commands(page.read_text()):
        if program == "make":
            assert words[0] in targets, words
        elif words and re.fullmatch(r"[a-z]+", words[0]):
            assert {word for word in words if word.startswith("--")} <= _options(words), words
            seen += 1
    assert seen > 5


def test_a_command_that_does_not_exist_is_found() -> None:
    """Calls are found wherever they stand in a line, and one that golive does not have fails."""
    page = (
        "    cd /srv && sudo -u golive /opt/golive/bin/golive store backup f\n"
        "    kubectl -n golive exec deploy/golive -- golive stor\n"
    )
    assert list(commands(page)) == [["golive", "store", "backup", "f"], ["golive", "stor"]]
    assert "--replace" in _options(["store", "backup", "f"])
    with pytest.raises(KeyError):
        _options(["stor"])


def test_what_containers_are_told_to_do_exists() -> None:
    """The words that Deployment, Job and compose give the image are commands of golive."""
    for words in (
        container(DEPLOYMENT)["args"],
        container(manifest("Job"))["args"],
        COMPOSE["services"]["cli"]["command"],
    ):
        assert {word for word in words if word.startswith("--")} <= _options(words)


def test_roles_that_are_named_exist() -> None:
    """Keys are made with roles that there are."""
    texts = [path.read_text() for path in (*DEPLOY.rglob("*.yaml"), *PAGES)]
    named = {role for text in texts for role in re.findall(r"--role (\w+)", text)}
    assert named
    assert named <= set(BUILT_IN)


def test_files_that_are_named_exist() -> None:
    """Each file of `deploy/` that its pages or files name is there."""
    texts = {path: path.read_text() for path in (*DEPLOY.rglob("*.yaml"), *DEPLOY.glob("*.service"), *PAGES)}
    for path, text in texts.items():
        for name in re.findall(r"\bdeploy/(?!golive\s)([\w./-]*\w)", text):
            if not name.startswith("secrets"):  # made by secrets.sh
                assert (DEPLOY / name).exists(), f"{path.name} names deploy/{name}"


def test_every_secret_that_a_manifest_reads_is_explained() -> None:
    """The operators' page says how to make each Secret, key by key."""
    page = (DEPLOY / "README.md").read_text()
    for workload in (one for path in MANIFESTS for one in documents(path) if one["kind"] in ("Deployment", "Job")):
        for variable in container(workload)["env"]:
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert f"create secret generic {secret['name']} " in page
                assert f"{secret['key']}=" in page
        for volume in workload["spec"]["template"]["spec"]["volumes"]:
            if secret := volume.get("secret"):
                assert f"create secret generic {secret['secretName']} " in page
                assert "/etc/golive/database/ca.crt" in page
