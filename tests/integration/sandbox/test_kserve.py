# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe's InferenceServices on a sandbox of their own: the gateway's routes have one writer."""

from __future__ import annotations

import http.client
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

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
    with Home(tmp_path_factory.mktemp("state")).running(f"kserve-{os.getpid()}") as running:
        yield running


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


BODY = b'{"instances": [[6.8, 2.8, 4.8, 1.4]]}'


def ask(gateway: str, host: str) -> tuple[int, str]:
    """One request on a connection of its own: its status, and the revision that answered."""
    connection = http.client.HTTPConnection(gateway, 8080, timeout=10)
    try:
        connection.request("POST", "/v1/models/m:predict", BODY, {"Host": host})
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("x-revision", "")
    finally:
        connection.close()


def model(version: str, **more: Any) -> dict[str, Any]:
    return {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": f"gs://models/{version}"}, **more}


def test_shares_reach_the_pods_and_a_promotion_in_one_patch_loses_requests(
    cluster: Cluster, sandbox: Running
) -> None:
    """KServe deletes the stable Service before it writes the routes anew: 500 meanwhile, as on a real one."""
    gateway, host = cluster.gateway(), "m-promoted.example.com"
    annotations = {"serving.kserve.io/deploymentMode": "Standard"}
    with ClusterTarget(str(sandbox.kubeconfig), sandbox.context, "promoted") as target:
        target.apply({"predictor": model("v1", minReplicas=2)}, annotations)
        until(lambda: ask(gateway, host)[0] == 200, 60, "the model answers")
        canary = {"trafficPercent": 25, "predictor": model("v2", minReplicas=1, name="v2")}
        target.apply({"predictor": model("v1", minReplicas=2), "canary": [canary]}, annotations)
        until(lambda: "m-v2-predictor" in ask(gateway, host)[1], 60, "the canary answers")
        seen = Counter(ask(gateway, host) for _unused in range(400))
        assert {status for status, _revision in seen} == {200}
        (share,) = [count for (_status, revision), count in seen.items() if "-v2-" in revision]
        # Six standard deviations of 400 draws at 25 %.
        assert abs(share - 100) < 52
        target.apply({"predictor": model("v2", minReplicas=2, name="v2")}, annotations)
        after: list[tuple[int, str]] = []
        end = time.monotonic() + 10
        while time.monotonic() < end:
            after.append(ask(gateway, host))
    # 503 where the gateway learns that the pods have gone before it learns that their Service has.
    assert {200, 500} <= {status for status, _revision in after} <= {200, 500, 503}
    assert {revision for status, revision in after[-20:] if status == 200} == {
        revision for _status, revision in seen if "-v2-" in revision
    }
