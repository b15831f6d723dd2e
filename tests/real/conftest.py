# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on real parts run by `make real`, which names the cluster; elsewhere they skip."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from .cluster import MANAGER, NAMED, Cluster
from .judged import Judge
from .node.node import Node
from .programs import python
from .rollout import Rollout
from .stage import KNATIVE, STANDARD, Real, Report

_REPORT = Path(__file__).resolve().parents[2] / "build/real/real.json"
_ROWS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []
    config.addinivalue_line("markers", "quick: one promotion and one rejection in each mode, for CI")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # A rollout takes a minute or two, on a machine that does all of it.
            item.add_marker(pytest.mark.timeout(600))
    missing = [name for name in NAMED if not os.environ.get(name)]
    if missing:
        reason = f"needs the real cluster: `make real` ({missing[0]} is not set)"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def real() -> Iterator[Real]:
    """The cluster, with a namespace for the tests, which goes at the end."""
    kubeconfig, context = os.environ["REAL_KUBECONFIG"], os.environ["REAL_CONTEXT"]
    api: client.ApiClient = config.new_client_from_config(kubeconfig, context)  # type: ignore[no-untyped-call]
    core = client.CoreV1Api(api)
    name = f"iter8-real-{secrets.token_hex(3)}"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    cluster = Real(
        api=api,
        namespace=name,
        image=os.environ["REAL_IMAGE"],
        gateways={
            KNATIVE: os.environ["REAL_KNATIVE_GATEWAY"],
            STANDARD: os.environ["REAL_STANDARD_GATEWAY"],
        },
        manager=os.environ.get("REAL_MANAGER", "that of the named cluster"),
        other_manager=bool(os.environ.get(MANAGER)),
    )
    yield cluster
    # With a live InferenceService in it, a namespace takes minutes.
    for rollout in cluster.rollouts:
        rollout.delete()
    core.delete_namespace(cluster.namespace)


@pytest.fixture
def report(request: pytest.FixtureRequest, real: Real) -> Report:
    mode = KNATIVE if "knative" in request.path.name else STANDARD
    return Report(request.config.stash[_ROWS], request.node.name, mode, real.manager)


@pytest.fixture
def rollout(request: pytest.FixtureRequest, real: Real, tmp_path: Path) -> Iterator[Rollout]:
    """An InferenceService that is yet to be made, in the mode of the test's file; it goes after the test."""
    mode = KNATIVE if "knative" in request.path.name else STANDARD
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:24].strip("-")
    made = Rollout(client.CustomObjectsApi(real.api), real.namespace, name, real.gateways[mode], tmp_path)
    real.rollouts.append(made)
    yield made
    if made.load is not None:
        made.load.end()
    for moment, text in made.marks:
        print(f"{moment - made.marks[0][0]:7.1f} s  {text}")
    made.delete()
    real.rollouts.remove(made)


@pytest.fixture
def canaries(real: Real) -> None:
    """For tests of what 0.20.0 does not do."""
    if not real.other_manager:
        pytest.skip("KServe 0.20.0 does not carry out spec.canary: name a newer manager, REAL_KSERVE_MANAGER")


@pytest.fixture
def node() -> Iterator[Node]:
    """The node that this run brought up, whose parts may be ended; what was ended is started again."""
    if os.environ.get("REAL_NODE") != "ours":
        pytest.skip("a named cluster's node is not ours to disturb")
    found = Cluster(print).there()
    yield found
    found.up()


@pytest.fixture
def python_image(node: Node, tmp_path: Path) -> str:
    """The name of an image with Python in it, which the node has."""
    if python.image() not in node.ctr("images", "list", "--quiet").split():
        archive = tmp_path / "python.tar"
        python.write(archive)
        node.ctr("images", "import", str(archive))
        archive.unlink()
    return python.image()


@pytest.fixture
def judge(rollout: Rollout, report: Report, tmp_path: Path) -> Iterator[Judge]:
    """What a failed test leaves running, a load above all, does not go on beside the tests after it."""
    judge = Judge(rollout, report, tmp_path / "user")
    yield judge
    judge.clean_up()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[_ROWS]
    if not rows:
        return
    _REPORT.parent.mkdir(parents=True, exist_ok=True)
    _REPORT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    write = terminalreporter.write_line
    terminalreporter.section("what was seen on the real cluster")
    write(f"{'mode':9} {'rollout':46} {'requests':>8} {'lost':>5} {'gap':>7}  {'verdict':12}  before")
    for row in rows:
        write(
            f"{row['mode']:9} {row['test'].removeprefix('test_'):46} {row['requests']:8} {row['lost']:5} "
            f"{row['longest_gap_seconds']:5.2f} s  {row['verdict'] or '-':12}  {row['before']}"
        )
    write(f"KServe's manager: {rows[0]['manager']}; the table is in {_REPORT}")
