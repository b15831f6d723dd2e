# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops a run is told in its own words, whatever fails after it, and never passes for a success."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ...support.places import ROOT
from ...support.playbooks import Playbooks

pytestmark = pytest.mark.timeout(240)

CLUSTER = {"iter8_kfserving_kubeconfig": "/none/kubeconfig", "iter8_kfserving_context": "none"}


def run(playbook: str, folder: Path, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """The playbook, told of a cluster that there is not."""
    given = ["-e", json.dumps({**CLUSTER, **variables})]
    return Playbooks(folder).run(playbook, "-i", "localhost,", *arguments, *given, timeout=200)


def told(folder: Path) -> list[str]:
    """What the timeline says of what stopped the run."""
    rows = map(json.loads, (folder / "artifacts/timeline.jsonl").read_text().splitlines())
    return [row["text"] for row in rows if row["event"] == "stopped"]


@pytest.mark.parametrize(
    "arguments", [["--tags", "deploy"], ["--skip-tags", "verify"], ["--check"]], ids=" ".join
)
def test_what_stops_a_run_fails_it_also_where_nobody_judges(tmp_path: Path, arguments: list[str]) -> None:
    done = run(
        "e2e",
        tmp_path,
        *arguments,
        "--skip-tags",
        "preflight,teardown",
        platform_stack="none",
    )
    assert "There is no stack 'none'" in done.stdout
    assert done.returncode != 0, done.stdout


def rollout(
    folder: Path, *arguments: str, part: str = "run", **variables: Any
) -> subprocess.CompletedProcess[str]:
    """A part of the role as the playbooks have it, of what was found before."""
    found = {
        "revisions": {"serving": "m-1", "created": "m-1"},
        "resource": {"apiVersion": "serving.kubeflow.org/v1beta1"},
    }
    role = "iter8.kfserving."
    parts = {"block": [{"ansible.builtin.import_role": {"name": f"{role}rollout", "tasks_from": part}}]}
    parts["rescue"] = [{"ansible.builtin.import_role": {"name": f"{role}verify", "tasks_from": "stopped"}}]
    head = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    play = {**head, "vars_files": [str(ROOT / "playbooks/vars/main.yml")], "tasks": [parts]}
    family = {"ansible.builtin.import_role": {"name": f"{role}preflight", "tasks_from": "family"}}
    (folder / "play.yml").write_text(json.dumps([{**play, "tasks": [family, parts]}]))
    return run(str(folder / "play"), folder, *arguments, rollout_baseline=found, **variables)


def test_what_fails_while_the_evidence_is_kept_hides_not_what_stopped_the_run(tmp_path: Path) -> None:
    """The last state of the InferenceService cannot be kept: a folder is in its file's place."""
    (tmp_path / "artifacts/inferenceservice.json/mine").mkdir(parents=True)
    done = rollout(tmp_path, rollout_driver="observe")
    assert "TASK [iter8.kfserving.rollout : Keep the last state of both]" in done.stdout
    assert told(tmp_path)[0].startswith("Stopped at 'Begin a timeline': "), done.stdout


def test_what_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    run("e2e", tmp_path, "--tags", "rollout,verify", "--skip-tags", "preflight,teardown")
    (said,) = told(tmp_path)
    assert "Apply the default model" in said
    assert "What is named as kubeconfig is not a file on this host." in said


@pytest.mark.parametrize("part", ["hosts_before", "send", "hosts_begun", "names"])
def test_a_host_that_cannot_be_reached_any_more_is_a_failure_like_any_other(
    tmp_path: Path, part: str
) -> None:
    """Ansible itself would end the play there: without evidence, a verdict, or a teardown."""
    (tmp_path / "hosts").write_text("far ansible_host=127.0.0.1 ansible_port=1\n")
    rollout(
        tmp_path,
        "-i",
        str(tmp_path / "hosts"),
        part=part,
        iter8_kfserving_load_hosts=["far"],
        rollout_clocks={"results": [{"ahead": 0}]},
        rollout_ingress={"url": "http://127.0.0.1:1/", "host_header": "m", "server_name": ""},
        rollout_load_begins=0,
        rollout_load_only_tried=False,
    )
    (said,) = told(tmp_path)
    assert "Not every host of rollout_load_hosts can be reached any more: far: " in said
