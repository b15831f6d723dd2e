# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights that a user of this collection needs: docs/rights.md prints them, preflight asks for them,
and a test grants exactly them to a service account and runs everything as it.

What the role platform installs needs more: those rights follow from its manifests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .access import Right

# Where a right is needed.
MODEL = "the model's namespace"
RECORD = "the record's namespace"
LOAD = "the load's namespace"
ITER8_SYSTEM = "iter8-system"
NODES_EVENTS = "default"
CLUSTER = "the whole cluster"

OBSERVE = "observe"
PROGRESSIVE = "progressive"
ITER8 = "iter8"
QUICKSTART = "quickstart"
TEARDOWN = "teardown"
LOAD_JOB = "load from pods"
# The rollouts; each is named as its driver.
ROLLOUTS = (OBSERVE, PROGRESSIVE, ITER8)

READ = ("get", "list", "watch")
OWN = ("create", "delete", "get", "patch")
KSERVE, KFSERVING = "serving.kserve.io", "serving.kubeflow.org"
KNATIVE, GATEWAY, EXPERIMENTS = "serving.knative.dev", "gateway.networking.k8s.io", "iter8.tools"


@dataclass(frozen=True)
class Need:
    """Verbs on a kind, where, for which tasks, and what for."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    where: str
    tasks: tuple[str, ...]
    reason: str


NEEDS: tuple[Need, ...] = (
    *(
        Need(each, "inferenceservices", READ, MODEL, ROLLOUTS, "to watch the model")
        for each in (KSERVE, KFSERVING)
    ),
    *(
        Need(each, "inferenceservices", ("patch",), MODEL, (PROGRESSIVE, ITER8), "to apply the canary")
        for each in (KSERVE, KFSERVING)
    ),
    *(
        Need(
            each, "inferenceservices", OWN, MODEL, (QUICKSTART, TEARDOWN), "to make the model, and remove it"
        )
        for each in (KSERVE, KFSERVING)
    ),
    *(
        Need(KNATIVE, each, READ, MODEL, ROLLOUTS, "to see what the model led to")
        for each in ("services", "configurations", "revisions", "routes")
    ),
    Need(GATEWAY, "httproutes", READ, MODEL, ROLLOUTS, "to see the split in Standard mode"),
    Need("apps", "deployments", READ, MODEL, ROLLOUTS, "to see what the model led to"),
    Need("apps", "replicasets", READ, MODEL, ROLLOUTS, "to see what the model led to"),
    Need("", "pods", READ, MODEL, ROLLOUTS, "to see pods that cannot start, and what happened around a loss"),
    Need("", "events", READ, MODEL, ROLLOUTS, "to see what happened around a loss"),
    Need("", "events", READ, NODES_EVENTS, ROLLOUTS, "to see what happened to the nodes"),
    Need("", "services", READ, CLUSTER, ROLLOUTS, "to find the gateway"),
    Need("", "nodes", READ, CLUSTER, ROLLOUTS, "to find the gateway's node port"),
    Need(EXPERIMENTS, "experiments", (*OWN, "list", "watch"), MODEL, (ITER8,), "the Experiment"),
    Need("batch", "jobs", ("delete", *READ), ITER8_SYSTEM, (ITER8,), "iter8's handlers, and their removal"),
    Need("", "configmaps", ("create", "get", "patch"), MODEL, (PROGRESSIVE,), "the state of the rollout"),
    Need("coordination.k8s.io", "leases", (*OWN, "update"), MODEL, (PROGRESSIVE,), "the lock"),
    Need("batch", "jobs", OWN, LOAD, (LOAD_JOB,), "the Job whose pods send the load, and its removal"),
    Need("", "configmaps", OWN, LOAD, (LOAD_JOB,), "the load's engine"),
    Need("", "secrets", OWN, LOAD, (LOAD_JOB,), "what the load sends"),
    Need("", "pods", ("list", "patch"), LOAD, (LOAD_JOB,), "to see the load's pods, and direct them"),
    Need("", "pods/log", ("get",), LOAD, (LOAD_JOB,), "to hear what the load's pods have counted"),
    Need(
        "",
        "configmaps",
        (*OWN, "list"),
        RECORD,
        (QUICKSTART, ITER8, TEARDOWN, LOAD_JOB),
        "the record's copy",
    ),
)


def rights(
    tasks: Iterable[str],
    namespace: str,
    record_namespace: str,
    groups: Iterable[str],
    load_namespace: str = "",
) -> list[Right]:
    """The rights for these tasks. ``groups`` are the API groups that the cluster serves: kinds of others
    need none. Without a ``record_namespace`` there is no copy of the record, and ``load_namespace`` is that
    of the pods that send the load, for the task `LOAD_JOB`."""
    wanted, served = set(tasks), {"", *groups}
    places = {MODEL: namespace, RECORD: record_namespace, LOAD: load_namespace, CLUSTER: ""}
    return sorted(
        Right(need.group, need.resource, verb, places.get(need.where, need.where))
        for need in NEEDS
        if wanted & set(need.tasks) and need.group in served and (need.where != RECORD or record_namespace)
        for verb in need.verbs
    )
