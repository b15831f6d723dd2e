# SPDX-License-Identifier: GPL-3.0-or-later
"""Load from two pods on the one node, through the gateway's address within the cluster, by the playbook.

The gateway's log counts beside the generators: it has a line for each request that reached it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import ISTIO
from kubernetes import client

from .judged import BY_LOG, RATE, Judge, Judged
from .rollout import Json, Rollout
from .stack import gateway
from .stage import Real
from .standard import DRAINING, create, create_runtimes, model

_GATEWAY = f"http://{gateway.ROUTED}.{gateway.NAMESPACE}.svc.cluster.local:{gateway.GATEWAY_PORT}"
# Of two cores, on which the models and the cluster run as well.
_REQUESTS = {"requests": {"cpu": "50m", "memory": "64Mi"}}


@pytest.fixture(scope="module", autouse=True)
def _runtimes(real: Real) -> None:
    create_runtimes(real)


@pytest.fixture
def pods(python_image: str) -> Json:
    """The role's variable, with an image that the node has."""
    url = f"{_GATEWAY}/v1/models/m:predict"
    return {"count": 2, "image": python_image, "url": url, "resources": _REQUESTS}


@pytest.fixture(autouse=True)
def _nothing_is_left(real: Real) -> Iterator[None]:
    """What a load has on the cluster is gone with it, its Secret too."""
    yield
    batch, core = client.BatchV1Api(real.api), client.CoreV1Api(real.api)
    assert batch.list_namespaced_job(real.namespace).items == []
    kinds = (core.list_namespaced_secret, core.list_namespaced_config_map, core.list_namespaced_pod)
    left = [each.metadata.name for kind in kinds for each in kind(real.namespace).items]
    assert [name for name in left if name.startswith("load-")] == []


def _logged(judge: Judge) -> list[str]:
    """The ids of the requests that the gateway has written down."""
    rows = [json.loads(line) for line in (judge.user.artifacts / "gateway.jsonl").read_text().splitlines()]
    return [str(row[ISTIO["request_id"]]) for row in rows]


def _generators(judged: Judged) -> dict[str, Json]:
    return {row["name"].rpartition("-")[2]: row for row in judged.load["LoadTest"]["generators"]}


def test_two_pods_send_one_load_exact_to_the_request(rollout: Rollout, judge: Judge, pods: Json) -> None:
    create(rollout, DRAINING)
    more = {**BY_LOG, "rollout_load_kubernetes": pods}
    judged = judge.observe("replace", {"model": model("v2", DRAINING)}, before="-", **more)
    own = judged.load["LoadTest"]
    rows = _generators(judged)
    assert {name: row["state"] for name, row in rows.items()} == {"0": "stopped", "1": "stopped"}
    assert sum(row["requests"] for row in rows.values()) == own["requests"] > 10 * RATE
    logged = _logged(judge)
    assert len(logged) == len(set(logged)) == own["requests"]
    # One node has one clock, and it is this machine's.
    for row in rows.values():
        assert row["clock_offset"]["low"] <= 0.001, row
        assert row["clock_offset"]["high"] >= -0.001, row
        assert abs(row["clock_ahead"]) < 0.5, row
    assert judged.verdict["verdict"] == "pass", judged.reasons


def test_a_pod_that_is_ended_makes_it_inconclusive(rollout: Rollout, judge: Judge, pods: Json) -> None:
    create(rollout, DRAINING)
    more = {**BY_LOG, "rollout_load_kubernetes": pods}
    judged = judge.observe("evict", {"model": model("v2", DRAINING)}, before="-", **more)
    assert judged.verdict["verdict"] == "inconclusive", judged.reasons
    rows = _generators(judged)
    assert rows["0"]["state"] == "stopped"
    assert rows["1"]["state"] in ("interrupted", "missing")
    assert [reason for reason in judged.verdict["reasons"] if reason["rule"] == "generators_whole"]
