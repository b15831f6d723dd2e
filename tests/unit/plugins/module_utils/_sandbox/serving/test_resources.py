# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving import resources


def service(uid: str = "u1", **predictor: Any) -> dict[str, Any]:
    predictor.setdefault("tensorflow", {"storageUri": "gs://one"})
    return {
        "metadata": {"name": "my-model", "namespace": "default", "uid": uid},
        "spec": {"predictor": predictor},
    }


def environment(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_first_revision_serves_the_model() -> None:
    deployment = resources.next_revision(service(), [], {"SANDBOX_FAULTS": "{}"})
    (revision,) = resources.revisions_of(service(), [deployment])
    assert re.fullmatch(r"my-model-predictor-default-[bcdfghj-np-tv-z2456789]{5}", revision.name)
    assert revision.deployment == f"{revision.name}-deployment"
    assert (revision.generation, revision.replicas, revision.wanted) == (1, 1, 1)
    env = environment(deployment)
    assert env["K_REVISION"] == revision.name
    assert env["MODEL_NAME"] == "my-model"
    assert env["STORAGE_URI"] == "gs://one"
    assert env["SANDBOX_FAULTS"] == "{}"
    template = deployment["spec"]["template"]["metadata"]
    assert template["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}
    assert template["labels"]["serving.knative.dev/revision"] == revision.name
    assert template["labels"]["serving.kubeflow.org/inferenceservice"] == "my-model"
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["labels"].items()
    assert deployment["metadata"]["ownerReferences"][0]["uid"] == "u1"


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({}, False),
        ({"canaryTrafficPercent": 1}, False),
        ({"canaryTrafficPercent": 100}, False),
        ({"tensorflow": {"storageUri": "gs://two"}}, True),
        ({"tensorflow": {"storageUri": "gs://one", "runtimeVersion": "2"}}, True),
        ({"minReplicas": 2}, True),
        ({"canaryTrafficPercent": 1, "sklearn": {"storageUri": "gs://one"}, "tensorflow": None}, True),
    ],
)
def test_revision_is_made_for_every_change_but_the_percentage(change: dict[str, Any], new: bool) -> None:
    first = resources.next_revision(service(), [], {})
    changed = service()
    changed["spec"]["predictor"].update(change)
    changed["spec"]["predictor"] = {k: v for k, v in changed["spec"]["predictor"].items() if v is not None}
    revisions = resources.revisions_of(changed, [first])
    assert (revisions[-1].predictor_hash != resources.predictor_hash(changed)) == new
    if new:
        second = resources.next_revision(changed, revisions, {})
        names = [revision.name for revision in resources.revisions_of(changed, [second, first])]
        assert len(set(names)) == 2
        assert names[0] == first["metadata"]["labels"]["serving.knative.dev/revision"]


def test_going_back_to_an_earlier_spec_is_a_new_revision() -> None:
    one, two = service(), service(tensorflow={"storageUri": "gs://two"})
    first = resources.next_revision(one, [], {})
    second = resources.next_revision(two, resources.revisions_of(two, [first]), {})
    third = resources.next_revision(one, resources.revisions_of(one, [first, second]), {})
    assert len({d["metadata"]["name"] for d in (first, second, third)}) == 3


def test_second_try_makes_the_same_name_and_another_object_another() -> None:
    again = copy.deepcopy(service())
    names = [
        resources.next_revision(one, [], {})["metadata"]["name"]
        for one in (service(), again, service(uid="u2"))
    ]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_revisions_of_a_namesake_are_not_ones_own() -> None:
    foreign = resources.next_revision(service(uid="u2"), [], {})
    assert resources.revisions_of(service(), [foreign]) == []


def test_users_variables_are_kept_but_cannot_replace_the_controllers() -> None:
    env = [{"name": "MODEL_LOAD_SECONDS", "value": "5"}, {"name": "K_REVISION", "value": "mine"}]
    deployment = resources.next_revision(service(tensorflow={"storageUri": "gs://one", "env": env}), [], {})
    found = environment(deployment)
    assert found["MODEL_LOAD_SECONDS"] == "5"
    assert found["K_REVISION"].startswith("my-model-predictor-default-")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    names = [entry["name"] for entry in container["env"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("given", "replicas"), [(None, 1), (0, 1), (1, 1), (3, 3)])
def test_min_replicas(given: Any, replicas: int) -> None:
    deployment = resources.next_revision(service(minReplicas=given), [], {})
    assert deployment["spec"]["replicas"] == replicas
    deployment["spec"]["replicas"] = 0
    (revision,) = resources.revisions_of(service(), [deployment])
    assert (revision.replicas, revision.wanted) == (0, replicas)


@pytest.mark.parametrize("framework", resources.FRAMEWORKS)
def test_every_framework_is_served(framework: str) -> None:
    one = service(**{framework: {"storageUri": "gs://x"}})
    if framework != "tensorflow":
        del one["spec"]["predictor"]["tensorflow"]
    assert environment(resources.next_revision(one, [], {}))["STORAGE_URI"] == "gs://x"


def test_host_names() -> None:
    assert resources.host(service()) == "my-model.default.example.com"
    assert resources.predictor_host(service()) == "my-model-predictor-default.default.example.com"
    assert (
        resources.predictor_host(service(), "prev") == "prev-my-model-predictor-default.default.example.com"
    )
