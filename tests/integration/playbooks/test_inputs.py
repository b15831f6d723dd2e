# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong input gets one clear error, before anything is changed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

from ...support.playbooks import Playbooks

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def playbooks(tmp_path: Path) -> Iterator[Playbooks]:
    user = Playbooks(tmp_path)
    yield user
    user.clean_up()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """A kubeconfig whose only cluster is a port on which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    path = tmp_path / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "secret-token"}}],
                "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "prod",
            }
        )
    )
    return str(path)


CASES: list[Any] = [
    pytest.param(["iter8_kfserving_kubeconfig={kubeconfig}"], "Only a kubeconfig is named", id="no-context"),
    pytest.param(["iter8_kfserving_context=prod"], "Only a context is named", id="no-kubeconfig"),
    pytest.param(
        ["iter8_kfserving_kubeconfig=/nope", "iter8_kfserving_context=prod"],
        "kubeconfig /nope does not exist",
        id="unknown-kubeconfig",
    ),
    pytest.param(
        ["iter8_kfserving_kubeconfig={kubeconfig}", "iter8_kfserving_context=staging"],
        "has no context 'staging'; it has prod",
        id="unknown-context",
    ),
    pytest.param(
        ["iter8_kfserving_kubeconfig={kubeconfig}", "iter8_kfserving_context=prod"],
        "does not answer",
        id="no-api-server",
    ),
    pytest.param(["rollout_payload_file=/nope.json"], "/nope.json does not exist", id="no-payload"),
    pytest.param(["rollout_load_timeout=soon"], "'soon' is not a duration", id="no-duration"),
    pytest.param(
        ["rollout_experiment_file={long_name}"],
        "the name may have 35 at most",
        id="experiment-with-a-long-name",
    ),
    pytest.param(
        ["rollout_experiment_file={long_handler}"],
        "the name may have 34 at most",
        id="handler-with-a-long-name",
    ),
    pytest.param(["rollout_canary_file={broken}"], "broken.yaml is no YAML", id="broken-canary"),
    pytest.param(["quickstart_default_file={two}"], "two.yaml holds 2 objects", id="two-default-models"),
    pytest.param(
        ["rollout_experiment_file={kind}"], "kind.yaml holds the kind ConfigMap", id="no-experiment"
    ),
    pytest.param(
        ["rollout_canary_file={other}"], "are of different models, my-model and other", id="other-model"
    ),
    pytest.param(
        ['{{"verify_thresholds": {{"max_lost": -1}}}}'],
        "thresholds: max_lost must not be below 0, it is -1.",
        id="threshold",
    ),
    pytest.param(
        ['{{"verify_thresholds": {{"max_loss": 1}}}}'],
        "max_loss. Supported parameters include",
        id="no-such-threshold",
    ),
    pytest.param(
        ['{{"verify_access_log": {{"revision_pattern": "x"}}}}'],
        "access_log: revision_pattern has no group",
        id="pattern-of-the-access-log",
    ),
    pytest.param(["iter8_kfserving_fault=canary-5xy"], "canary-5xx", id="unknown-fault-names-the-known"),
    pytest.param(
        [
            "iter8_kfserving_kubeconfig={kubeconfig}",
            "iter8_kfserving_context=prod",
            "iter8_kfserving_fault=canary-5xx",
        ],
        "into the sandbox only",
        id="fault-on-a-cluster",
    ),
    pytest.param(["iter8_kfserving_artifacts={kubeconfig}/folder"], "cannot be written to", id="artifacts"),
    pytest.param(["sandbox_binaries_dir=/nope"], "/nope", id="binaries"),
    pytest.param(
        ["iter8_kfserving_kubeconfg={kubeconfig}"],
        "there is no variable iter8_kfserving_kubeconfg, but iter8_kfserving_kubeconfig",
        id="misspelt-in-the-family",
    ),
    pytest.param(
        ["rollout_load_rat=5"],
        "there is no variable rollout_load_rat, but rollout_load_rate",
        id="misspelt-option",
    ),
    pytest.param(
        ["kubeconfig={kubeconfig}", "context=prod"],
        "context, kubeconfig are not read any more",
        id="old-names-of-the-cluster",
    ),
    pytest.param(["fault=canary-5xx"], "write iter8_kfserving_fault instead", id="old-name-of-the-fault"),
    pytest.param(["artifacts=x"], "write iter8_kfserving_artifacts instead", id="old-name-of-the-artefacts"),
    pytest.param(["sandbox_name=x"], "write iter8_kfserving_sandbox instead", id="old-name-of-the-sandbox"),
    pytest.param(["iter8_kfserving_platform=x"], "There is no platform 'x'", id="platform"),
    pytest.param(["rollout_driver=x"], "one of: iter8, observe, progressive, got: x", id="driver"),
    pytest.param(["rollout_steps=x"], "'rollout_steps' is of type str", id="steps"),
    pytest.param(["rollout_load_rate=fast"], "'rollout_load_rate' is of type str", id="rate"),
    pytest.param(
        ["rollout_driver=observe", "rollout_change_tasks=/nope.yml"],
        "The file /nope.yml in rollout_change_tasks does not exist",
        id="no-tasks",
    ),
    pytest.param(
        ["rollout_driver=progressive", "rollout_canary_file="],
        "name it in rollout_canary_file",
        id="progressive-without-a-version",
    ),
    pytest.param(
        ["rollout_driver=progressive", '{{"rollout_hooks": {{"after": "{kubeconfig}"}}}}'],
        "rollout_hooks takes before, before_step",
        id="hook-of-no-moment",
    ),
]


@pytest.fixture
def experiments(tmp_path: Path) -> dict[str, str]:
    """Files that are not what they should be; Experiments whose handlers' Jobs would have a name too long."""
    canary = (ROOT / "samples/quickstart/canary.yaml").read_text()
    sample = yaml.safe_load((ROOT / "samples/quickstart/experiment.yaml").read_text())
    texts = {
        "broken": "a: [b\n",
        "two": f"{canary}---\n{canary}",
        "kind": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n",
        "other": canary.replace("my-model", "other"),
    }
    files = {name: str(tmp_path / f"{name}.yaml") for name in texts}
    for name, path in files.items():
        Path(path).write_text(texts[name])
    for case, length, handlers in (("long_name", 36, {}), ("long_handler", 35, {"finish": "promote"})):
        sample["metadata"]["name"] = "e" * length
        sample["spec"]["strategy"]["handlers"] = handlers
        files[case] = str(tmp_path / f"{case}.yaml")
        Path(files[case]).write_text(yaml.safe_dump(sample))
    return files


@pytest.mark.parametrize(("arguments", "message"), CASES)
def test_wrong_input(
    playbooks: Playbooks,
    kubeconfig: str,
    experiments: dict[str, str],
    arguments: list[str],
    message: str,
) -> None:
    files = {"kubeconfig": kubeconfig, **experiments}
    extra = [part for text in arguments for part in ("-e", text.format(**files))]
    run = playbooks.run("e2e", *extra, timeout=50)
    said = " ".join(run.stdout.split())
    assert run.returncode != 0, run.stdout
    assert message in said
    assert said.count("fatal: [localhost]") + said.count("failed: [localhost]") == 1, run.stdout
    assert "Traceback" not in said
    assert "secret-token" not in said
    assert "changed=0" in said
    assert playbooks.left_running() == []
    assert playbooks.left_behind() == []


def test_a_taken_port(playbooks: Playbooks) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = playbooks.run("e2e", "-e", f"sandbox_api_port={port}", timeout=50)
    said = " ".join(run.stdout.split())
    assert run.returncode != 0
    assert str(port) in said
    assert "changed=0" in said
    assert playbooks.left_running() == []


def test_a_folder_with_somebody_elses_files_is_left_alone(playbooks: Playbooks) -> None:
    playbooks.artifacts.mkdir(parents=True)
    theirs = {
        "summary.md": "# Mine\n",
        "junit.xml": "<testsuites name='mine'/>\n",
        "experiment.json": '{"a": 1}\n',
    }
    for name, content in theirs.items():
        (playbooks.artifacts / name).write_text(content)
    (playbooks.artifacts / "verdict.json").write_text('{\n  "schema": 1,\n  "verdict": "pass"\n}\n')
    run = playbooks.run("e2e", timeout=50)
    said = " ".join(run.stdout.split())
    assert run.returncode != 0
    assert "experiment.json, junit.xml, summary.md, which no run of this collection wrote" in said
    assert "changed=0" in said
    assert {name: (playbooks.artifacts / name).read_text() for name in theirs} == theirs
    assert (playbooks.artifacts / "verdict.json").exists()


def test_a_rollout_on_a_sandbox_that_is_not_up(playbooks: Playbooks) -> None:
    evidence = playbooks.artifacts / "load.json"
    evidence.parent.mkdir(parents=True)
    evidence.write_text("{}\n")
    run = playbooks.run("rollout", timeout=50)
    said = " ".join(run.stdout.split())
    assert run.returncode != 0
    assert "the sandbox 'e2e' is not up. Nothing was changed; bring it up" in said
    assert "changed=0" in said
    assert evidence.read_text() == "{}\n"


def call(tmp_path: Path, role: str, variables: dict[str, Any]) -> str:
    """What a play says that calls a role by itself, which has to fail."""
    family = {f"iter8_kfserving_{word}": "x" for word in ("kubeconfig", "context", "run_id", "record")}
    included = {"name": f"iter8.kfserving.{role}"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {**family, **variables},
        "tasks": [{"name": "Call it", "ansible.builtin.include_role": included}],
    }
    path = tmp_path / "call.yml"
    path.write_text(yaml.safe_dump([play]))
    run = Playbooks(tmp_path).run(str(path.with_suffix("")), timeout=50)
    assert run.returncode != 0
    return " ".join(run.stdout.split())


def test_a_stack_that_there_is_not(tmp_path: Path) -> None:
    said = call(tmp_path, "platform", {"platform_stack": "kserve"})
    assert "There is no stack 'kserve'. Nothing was changed; name one of" in said
    assert "kserve-knative-kourier" in said
