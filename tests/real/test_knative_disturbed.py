# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative mode while parts of the cluster fail: what is lost, and that the rollout ends as it should."""

from __future__ import annotations

import signal
import time

from kubernetes import client

from .knative import FOLLOW, canary, model, percent, start
from .node.node import Node
from .rollout import Rollout, routed
from .stack.gateway import NAMESPACE as GATEWAY
from .stage import Real, Report

_UP_SECONDS = 60


def _await_api(rollout: Rollout) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while True:
        try:
            rollout.get()
            return
        except Exception:  # whatever its client raises while it is away
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_the_api_server_restarts_during_a_rollout(
    rollout: Rollout, real: Real, report: Report, node: Node
) -> None:
    old, new, _third = start(rollout, real)
    canary(rollout, "canary 20 %", 20, model(real, "v2"))
    rollout.mark("the API server ends")
    # Told to end it would wait for its watches, a minute long.
    node.stop("kube-apiserver", signal.SIGKILL)
    rollout.hold(5)
    node.start("kube-apiserver")
    _await_api(rollout)
    rollout.mark("it answers again")
    rollout.wait("20 % routed", routed({new: 20, old: 80}), 120)
    rollout.hold(3)
    percent(rollout, 100)
    full = rollout.wait("promoted", routed({new: 100}))
    rollout.hold(6)
    seen = rollout.end_load()
    report.add(seen, "not tried")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of(old, full + FOLLOW) == 0


def test_the_kubelet_is_away_for_30_seconds(rollout: Rollout, real: Real, report: Report, node: Node) -> None:
    """No pod can start meanwhile, and those that run go on.

    One that comes back takes every pod for unready until it has probed it, so the gateway, of which there is
    but one pod, can have no endpoint for a moment: new connections are refused then, and no others.
    """
    old, new, _third = start(rollout, real)
    node.stop("kubelet")
    rollout.mark("the kubelet ends")
    canary(rollout, "canary 20 %", 20, model(real, "v2"))
    rollout.hold(30)
    assert not routed({new: 20, old: 80})(rollout.get())
    node.start("kubelet")
    back = rollout.mark("it is back")
    rollout.wait("20 % routed", routed({new: 20, old: 80}), 120)
    rollout.hold(5)
    seen = rollout.end_load()
    report.add(seen, "not tried")
    for loss in seen.ledger:
        assert (loss["errno"], loss["connection_mode"]) == ("ECONNREFUSED", "new"), loss
        assert back <= loss["sent"] <= back + 10, loss
    assert seen.by_revision[new] > 0


def test_the_gateways_pod_is_deleted(rollout: Rollout, real: Real, report: Report, node: Node) -> None:
    """There is but one, and it ends when it is told to: what is lost is lost then, and no later."""
    start(rollout, real)
    core = client.CoreV1Api(real.api)
    began = rollout.mark("the gateway's pod is deleted")
    core.delete_collection_namespaced_pod(GATEWAY, label_selector="app=traefik")
    rollout.hold(25)
    seen = rollout.end_load()
    report.add(seen, "not tried")
    assert all(began <= loss["sent"] <= began + 20 for loss in seen.ledger)
