# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of every page, on one sandbox: a rollout, what may trouble it, a roll-back, the removal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.iter8.kfserving.tests.support import runbooks
from kubernetes import client, config

from ...support.playbooks import Playbooks
from .conftest import Shell

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

SANDBOX = "e2e"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, needs: Callable[..., None]) -> Iterator[Playbooks]:
    """Somebody with a platform, a default model, and a finalizer that nobody serves."""
    needs("kubectl", "jq")
    user = Playbooks(tmp_path_factory.mktemp("night"))
    deployed = user.run("deploy")
    assert deployed.returncode == 0, deployed.stdout
    yield user
    user.clean_up()


@pytest.fixture(scope="module")
def shell(user: Playbooks) -> Shell:
    kubeconfig = user.state / "iter8-kfserving/sandboxes" / SANDBOX / "kubeconfig"
    return Shell(
        {
            "XDG_STATE_HOME": str(user.state),
            "KUBECONFIG": str(kubeconfig),
            "CONTEXT": f"sandbox-{SANDBOX}",
            "ARTIFACTS": str(user.artifacts),
            "DURATION": "3s",
            "HELD": "configmap/held",
        }
    )


@pytest.fixture(scope="module")
def rolled_out(shell: Shell) -> str:
    """What the page said with which the rollout was begun."""
    return shell.page("verify-a-rollout-now")


def test_a_rollout_is_verified(rolled_out: str) -> None:
    assert "PASS: " in " ".join(rolled_out.split())
    assert re.search(r"^pass$", rolled_out, re.MULTILINE)


@pytest.mark.usefixtures("rolled_out")
def test_the_index_shows_the_runs_name(shell: Shell) -> None:
    assert f"{SANDBOX}.json" in shell.page(runbooks.INDEX)


@pytest.mark.usefixtures("rolled_out")
def test_a_wait_that_is_over_says_so(shell: Shell) -> None:
    said = shell.page("wait-does-not-end")
    assert "promoted after" in " ".join(said.split())
    assert "outcome: pending" not in said


@pytest.mark.usefixtures("rolled_out")
def test_where_a_rollout_stands(shell: Shell) -> None:
    said = shell.page("rollout-is-stuck")
    assert "Ready=True" in said
    assert "status: stopped" in said
    assert re.search(r"^my-model-predictor-\S+ 100$", said, re.MULTILINE)


@pytest.mark.usefixtures("rolled_out")
def test_what_a_canary_is_waiting_for(shell: Shell) -> None:
    said = shell.page("canary-never-ready")
    assert "outcome: succeeded" in said
    assert "Running" in said
    created, ready = said.strip().splitlines()[-1].split()
    assert created == ready


@pytest.mark.usefixtures("rolled_out")
def test_a_rate_is_tried(shell: Shell, user: Playbooks) -> None:
    said = shell.page("load-generator", slice(2, 3))
    shell.variables["URL"] = re.findall(r"^ *url: (\S+)$", said, re.MULTILINE)[0]
    shell.variables["HOST_HEADER"] = re.findall(r"^ *host_header: (\S+)$", said, re.MULTILINE)[0]
    shell.page("load-generator", slice(3, 4))
    kept = json.loads((user.artifacts / "try.json").read_text())
    assert kept["RetCodes"] == {"200": 60}
    # On a busy machine it was late indeed.
    own = kept["LoadTest"]
    on_time = own["lateness"]["p99"] < 0.5 and own["stall_count"] == 0
    shell.page("load-generator", slice(-1, None), expect=0 if on_time else 1)


@pytest.mark.usefixtures("rolled_out")
@pytest.mark.parametrize("page", ["requests-were-lost", "verdict-inconclusive"])
def test_what_a_good_rollout_left_is_read(shell: Shell, page: str) -> None:
    shell.page(page)


@pytest.mark.usefixtures("rolled_out")
def test_the_generator_tells_of_itself(shell: Shell) -> None:
    assert json.loads(shell.page("load-generator", slice(0, 1)))["asked_rate"] == 20
    # It was one alone, so there is no table of several.
    assert shell.page("load-generator", slice(1, 2)) == ""


@pytest.mark.usefixtures("rolled_out")
def test_an_experiment_is_looked_at_and_deleted(shell: Shell) -> None:
    said = shell.page("experiment-failed")
    assert "ExperimentCompleted=True" in said
    assert "finish-handler-experiment-1" in said
    assert 'experiment.iter8.tools "experiment-1" deleted' in said


@pytest.mark.usefixtures("rolled_out")
def test_a_promotion_is_rolled_back(shell: Shell, user: Playbooks) -> None:
    baseline = next(e["data"]["baseline"] for e in user.timeline() if e["event"] == "canary_applied")
    said = shell.page("roll-back-now")
    assert f"serving: {baseline}" in said
    # The status may name the bad one for a moment, as the page says; now it does not.
    assert f"{baseline} 100" in shell.page("roll-back-now", slice(1, 2))


@pytest.mark.usefixtures("rolled_out")
def test_a_teardown_is_freed_of_what_holds_it(shell: Shell, user: Playbooks) -> None:
    held = {"metadata": {"name": "held", "finalizers": ["example.com/nobody"]}}
    api = config.new_client_from_config(shell.variables["KUBECONFIG"], shell.variables["CONTEXT"])
    client.CoreV1Api(api).create_namespaced_config_map("default", held)
    said = shell.page("teardown-hangs")
    assert "configmap/held patched" in said
    user.wait_until_gone()


@pytest.mark.usefixtures("rolled_out")
def test_no_command_was_left_out(shell: Shell) -> None:
    pages = [runbooks.INDEX, *(path.stem for path in runbooks.pages())]
    wanted = {block for page in pages for block in runbooks.blocks(page) if not block.reason}
    assert wanted - shell.ran == set()
