# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod may ask for: all that our own do, and whatever else is refused by its name."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import supported
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving import resources
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

Json = dict[str, Any]

# What the API server and its controllers write into every pod that does not say otherwise.
FILLED_IN = {
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "hostname": "web-0",
    "nodeName": "sandbox",
    "preemptionPolicy": "PreemptLowerPriority",
    "priority": 0,
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "serviceAccount": "default",
    "serviceAccountName": "default",
    "subdomain": "web",
    "terminationGracePeriodSeconds": 30,
    "tolerations": [{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
}
ACCOUNT = {
    "name": "kube-api-access-x",
    "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}], "defaultMode": 420},
}
MOUNT = {
    "name": "kube-api-access-x",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}


def pod(spec: Json, **container: Any) -> Json:
    one: Json = {"name": "main", "image": supported.RUNTIME_IMAGE, "command": ["run"], **container}
    return {"spec": {"containers": [one], **spec}}


def filled_in(spec: Json) -> Json:
    """The pod's spec as the API server hands it to the node."""
    containers = [
        {
            **one,
            "imagePullPolicy": "Always",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [*one.get("volumeMounts", ()), MOUNT],
        }
        for one in spec["containers"]
    ]
    volumes = [
        {key: {**value, "defaultMode": 420} if key == "configMap" else value for key, value in volume.items()}
        for volume in spec.get("volumes", ())
    ]
    return {**FILLED_IN, **spec, "containers": containers, "volumes": [*volumes, ACCOUNT]}


def templates(document: Any) -> Iterator[Json]:
    """The pod specs in a manifest, those in the texts of a ConfigMap included."""
    if isinstance(document, dict):
        if isinstance(document.get("containers"), list):
            yield document
        for value in document.values():
            yield from templates(value)
    elif isinstance(document, list):
        for value in document:
            yield from templates(value)
    elif isinstance(document, str) and "kind: Job" in document:
        yield from templates(yaml.safe_load(document))


def own_pods() -> list[Json]:
    found = []
    for path in sorted((ROOT / "roles/sandbox/files").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            found += list(templates(document))
    return found


def test_every_pod_of_the_sandbox_itself_is_run() -> None:
    specs = own_pods()
    # Six components, the Prometheus pod among them, and the two handlers' Jobs.
    assert len(specs) >= 6
    assert [supported.refusal({"spec": filled_in(spec)}) for spec in specs] == [None] * len(specs)


@pytest.mark.parametrize(
    ("one", "named"),
    [
        (pod({"initContainers": [{"name": "i"}]}), "spec.initContainers"),
        (pod({"readinessGates": [{"conditionType": "x"}]}), "spec.readinessGates"),
        (pod({"activeDeadlineSeconds": 5}), "spec.activeDeadlineSeconds"),
        (pod({"hostNetwork": True}), "spec.hostNetwork"),
        (pod({"nodeSelector": {"a": "b"}}), "spec.nodeSelector"),
        (pod({"schedulingGates": [{"name": "x"}]}), "spec.schedulingGates"),
        (pod({}, startupProbe={"httpGet": {"port": 1}}), "spec.containers[main].startupProbe"),
        (
            pod({}, livenessProbe={"tcpSocket": {"port": 1}}),
            "spec.containers[main].livenessProbe.tcpSocket",
        ),
        (pod({}, readinessProbe={"exec": {"command": ["x"]}}), "spec.containers[main].readinessProbe.exec"),
        (pod({}, readinessProbe={"grpc": {"port": 1}}), "spec.containers[main].readinessProbe.grpc"),
        (
            pod({}, readinessProbe={"httpGet": {"port": 1, "scheme": "HTTPS"}}),
            "spec.containers[main].readinessProbe.httpGet.scheme 'HTTPS' (but 'HTTP')",
        ),
        (
            pod({}, readinessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "a"}]}}),
            "spec.containers[main].readinessProbe.httpGet.httpHeaders",
        ),
        (
            pod({}, readinessProbe={"httpGet": {"port": 1}, "successThreshold": 2}),
            "spec.containers[main].readinessProbe.successThreshold 2 (but 1)",
        ),
        (
            pod({}, lifecycle={"postStart": {"exec": {"command": ["x"]}}}),
            "spec.containers[main].lifecycle.postStart",
        ),
        (
            pod({}, lifecycle={"preStop": {"httpGet": {"port": 1}}}),
            "spec.containers[main].lifecycle.preStop.httpGet",
        ),
        (
            pod({}, env=[{"name": "V", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            "spec.containers[main].env[V].valueFrom",
        ),
        (pod({}, envFrom=[{"configMapRef": {"name": "c"}}]), "spec.containers[main].envFrom"),
        (pod({}, workingDir="/x"), "spec.containers[main].workingDir"),
        (
            pod({}, volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "x"}]),
            "spec.containers[main].volumeMounts[v].subPath",
        ),
        (pod({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}), "spec.volumes[v].secret"),
        (
            pod({"volumes": [{"name": "v", "projected": {"defaultMode": 420}}]}),
            "spec.volumes[v].projected",
        ),
        (pod({"volumes": [{"name": "v", "downwardAPI": {"items": [{}]}}]}), "spec.volumes[v].downwardAPI"),
        (
            pod({"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k"}]}}]}),
            "spec.volumes[v].configMap.items",
        ),
        (
            pod({"volumes": [{"name": "v", "configMap": {"name": "c", "optional": True}}]}),
            "spec.volumes[v].configMap.optional",
        ),
        (
            pod({"volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 256}}]}),
            "spec.volumes[v].configMap.defaultMode 256 (but 420)",
        ),
        (
            pod({"volumes": [{"name": "v", "hostPath": {"path": "/sandbox/x", "type": "Socket"}}]}),
            "spec.volumes[v].hostPath.type 'Socket' (but 'DirectoryOrCreate')",
        ),
    ],
)
def test_what_is_not_in_the_table_is_refused_by_its_name(one: Json, named: str) -> None:
    reason, message = supported.refusal(one) or ("", "")
    assert reason == "CreateContainerConfigError"
    assert message.startswith(f"the sandbox's node does not offer {named}. ")


def test_all_that_is_refused_is_named_at_once() -> None:
    one = pod({"hostPID": True, "initContainers": [{"name": "i"}]}, stdin=True)
    _reason, message = supported.refusal(one) or ("", "")
    assert "spec.containers[main].stdin, spec.hostPID, spec.initContainers" in message


def test_another_image_is_none_that_can_be_pulled() -> None:
    reason, message = supported.refusal(pod({"hostPID": True}, image="nginx")) or ("", "")
    assert reason == "ErrImagePull"
    assert "the image nginx cannot be pulled" in message
    assert supported.RUNTIME_IMAGE in message


def test_a_container_without_a_command_has_nothing_to_run() -> None:
    reason, message = supported.refusal(pod({}, command=[], args=["x"])) or ("", "")
    assert reason == "CreateContainerConfigError"
    assert "container main has no command" in message


def test_an_account_s_credentials_are_the_nodes_own_business() -> None:
    assert supported.refusal(pod({"volumes": [ACCOUNT]}, volumeMounts=[MOUNT])) is None
    elsewhere = {**MOUNT, "mountPath": "/elsewhere"}
    assert supported.refusal(pod({"volumes": [ACCOUNT]}, volumeMounts=[elsewhere])) is not None


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ({"name": "V", "value": "x"}, ""),
        ({"name": "V", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, "env[V].valueFrom"),
    ],
)
def test_a_models_pod_is_run_with_whatever_its_user_may_name(variable: Json, named: str) -> None:
    predictor = {"tensorflow": {"storageUri": "gs://one", "env": [variable]}}
    meta = {"name": "m", "namespace": "n", "uid": "u"}
    made = resources.next_revision({"metadata": meta, "spec": {"predictor": predictor}}, [], {})
    refused = supported.refusal({"spec": filled_in(made["spec"]["template"]["spec"])})
    assert (refused is None) if not named else (refused is not None and named in refused[1])
