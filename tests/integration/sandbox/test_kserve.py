# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe's InferenceServices on a sandbox of their own: the gateway's routes have one writer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ansible_collections.iter8.kfserving.tests.support.conformance import DATA, replay
from ansible_collections.iter8.kfserving.tests.support.kserve_cluster import ClusterTarget
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.sandbox import Home, Running
from ansible_collections.iter8.kfserving.tests.support.waiting import until

from .test_serving import Cluster

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(420)]

MANIFESTS = [ROOT / "roles/sandbox/files" / name for name in ("gateway.yaml", "kserve.yaml")]
FEW = (
    "knative-reject-then-next",
    "knative-rollback-after-promotion",
    "standard-naive",
    "standard-rollback-by-0",
)
# Its autoscaler waits for a minute; the unit tests have it. An unweighted canary is a fault of the sandbox.
NOT_HERE = ("knative-rollback-after-scale-down", "standard-canary-in-0.20.0")
ALL = [path.stem for path in sorted(DATA.glob("*.jsonl")) if path.stem not in NOT_HERE]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = Home(tmp_path_factory.mktemp("state"))
    running = found.up(f"kserve-{os.getpid()}")
    yield running
    found.down(running.name)
    found.assert_nothing_left(running.description)


@pytest.fixture(scope="module")
def cluster(sandbox: Running) -> Cluster:
    made = Cluster(str(sandbox.kubeconfig))
    for manifest in MANIFESTS:
        made.apply(manifest)
    until(made.gateway, 60, "the gateway's address on its Service")
    return made


@pytest.mark.parametrize("name", ALL if os.environ.get("CONFORMANCE") == "all" else FEW)
def test_a_recorded_rollout_takes_the_same_way(cluster: Cluster, sandbox: Running, name: str) -> None:
    namespace = f"r-{name}".replace(".", "-")
    with ClusterTarget(str(sandbox.kubeconfig), sandbox.context, namespace) as target:
        assert replay(DATA / f"{name}.jsonl", target) == []
