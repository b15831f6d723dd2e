# SPDX-License-Identifier: GPL-3.0-or-later
"""What iter8 refuses on a real sandbox: specs, strategies, rights."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.tests.support.waiting import until
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from .test_experiments import Iter8, iter8, name

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120)]

__all__ = ["iter8", "name"]


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        (
            {"criteria": {"objectives": [{"metric": "no-such-metric"}]}},
            "MetricUnavailable",
            "Unable to find metric no-such-metric",
        ),
        ({"strategy": {"type": "A/B"}}, "InvalidExperiment", "not A/B"),
        (
            {"strategy": {"type": "Canary", "handlers": {"start": "mine"}}},
            "LaunchHandlerFailed",
            "failure launching Start handler 'mine'",
        ),
        (
            {"strategy": {"type": "Canary", "handlers": {"start": "none"}}},
            "InvalidExperiment",
            "No versionInfo in experiment",
        ),
    ],
    ids=["metric", "strategy", "handler", "versions"],
)
def test_what_cannot_be_run_fails_at_once(
    iter8: Iter8, name: str, spec: dict[str, Any], reason: str, message: str
) -> None:
    strategy = spec.setdefault("strategy", {"type": "Canary"})
    strategy.setdefault("handlers", {})["failure"] = "none"
    iter8.create(name, iterations=2, **spec)
    until(lambda: iter8.completed(name), 10, "it is completed")
    status, found, text = iter8.condition(name, "ExperimentFailed")
    assert (status, found) == ("True", reason)
    assert message in str(text)
    assert iter8.jobs(name) == {}


@pytest.mark.parametrize(
    ("account", "wish", "allowed"),
    [
        ("iter8-controller", ("patch", "iter8.tools", "experiments/status", "default"), True),
        ("iter8-controller", ("patch", "serving.kubeflow.org", "inferenceservices", "default"), True),
        ("iter8-controller", ("create", "batch", "jobs", "iter8-system"), True),
        ("iter8-controller", ("create", "batch", "jobs", "default"), False),
        ("iter8-controller", ("delete", "iter8.tools", "experiments", "default"), False),
        ("iter8-controller", ("get", "", "secrets", "iter8-system"), False),
        ("iter8-handlers", ("patch", "iter8.tools", "experiments", "default"), True),
        ("iter8-handlers", ("patch", "iter8.tools", "experiments/status", "default"), False),
        ("iter8-handlers", ("create", "batch", "jobs", "iter8-system"), False),
        ("iter8-handlers", ("delete", "serving.kubeflow.org", "inferenceservices", "default"), False),
        ("iter8-analytics", ("list", "", "pods", "kfserving-monitoring"), True),
        ("iter8-analytics", ("list", "", "pods", "default"), False),
        ("iter8-analytics", ("get", "iter8.tools", "experiments", "default"), False),
    ],
)
def test_rights(iter8: Iter8, account: str, wish: tuple[str, str, str, str], allowed: bool) -> None:
    verb, group, resource, namespace = wish
    main, _unused, sub = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": main, "subresource": sub, "namespace": namespace}
    review = {
        "spec": {"user": f"system:serviceaccount:iter8-system:{account}", "resourceAttributes": attributes}
    }
    answer: Any = client.AuthorizationV1Api(iter8.cluster.api).create_subject_access_review(review)
    assert answer.status.allowed is allowed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("strategy", "type"), "Blue"),
        (("strategy", "weights", "maxCandidateWeight"), 101),
        (("strategy", "weights", "algorithm"), "Random"),
        (("duration", "intervalSeconds"), 0),
        (("duration", "maxIterations"), 0),
        (("criteria", "objectives"), [{"upperLimit": 1}]),
        (("criteria", "objectives"), [{"metric": "m", "upperLimit": "fast"}]),
        (("target",), ""),
    ],
)
def test_specs_that_the_definition_refuses(iter8: Iter8, path: tuple[str, ...], value: Any) -> None:
    spec: dict[str, Any] = {"strategy": {"type": "Canary", "weights": {}}, "target": "default/x"}
    place = spec
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    with pytest.raises(ApiException) as refused:
        iter8.create("refused", 1, **spec)
    assert refused.value.status == 422
