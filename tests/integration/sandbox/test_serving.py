# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving controller, gateway and model servers on a real control plane and node, under real load."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.waiting import until
from kubernetes import client, config, dynamic, utils
from kubernetes.client.exceptions import ApiException

pytestmark = pytest.mark.sandbox

PAYLOAD = (ROOT / "samples/quickstart/input.json").read_bytes()
MANIFESTS = [ROOT / "roles/sandbox/files" / name for name in ("gateway.yaml", "kfserving.yaml")]
HEADERS = {"Content-Type": "application/json"}
GROUP, VERSION, PLURAL = "serving.kubeflow.org", "v1beta1", "inferenceservices"
RATE = 200.0


class Cluster:
    """What the tests ask of the API server, as its administrator."""

    def __init__(self, kubeconfig: str) -> None:
        self.api: Any = config.new_client_from_config(kubeconfig)
        self.core: Any = client.CoreV1Api(self.api)
        self.apps: Any = client.AppsV1Api(self.api)
        self.custom: Any = client.CustomObjectsApi(self.api)

    def apply(self, manifest: Path) -> None:
        for document in yaml.safe_load_all(manifest.read_text()):
            try:
                utils.create_from_dict(self.api, document)
            except utils.FailToCreateError as error:
                if any(cause.status != 409 for cause in error.api_exceptions):
                    raise
            except AttributeError:
                # A kind that the client has no class for.
                kind = self._kind(document)
                with contextlib.suppress(dynamic.exceptions.ConflictError):
                    kind.create(body=document)

    def _kind(self, document: Any) -> Any:
        """A kind that is served a moment after its definition was accepted."""

        def found() -> Any:
            kinds = dynamic.DynamicClient(self.api).resources
            return kinds.get(api_version=document["apiVersion"], kind=document["kind"])

        missing = (dynamic.exceptions.ResourceNotFoundError,)
        return until(found, 30, f"{document['kind']} is served", ignoring=missing)

    def service(self, name: str) -> Any:
        return self.custom.get_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, name)

    def create(self, name: str, predictor: Any) -> Any:
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"predictor": predictor},
        }
        return self.custom.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, body)

    def change(self, name: str, predictor: Any) -> Any:
        body = {"spec": {"predictor": predictor}}
        return self.custom.patch_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, name, body)

    def delete(self, name: str) -> None:
        try:
            self.custom.delete_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, name)
        except ApiException as error:
            if error.status != 404:
                raise

    def exists(self, name: str) -> bool:
        try:
            return bool(self.service(name))
        except ApiException as error:
            if error.status != 404:
                raise
            return False

    def pods(self, revision: str) -> list[Any]:
        label = f"serving.knative.dev/revision={revision}"
        return list(self.core.list_namespaced_pod("default", label_selector=label).items)

    def deployments(self, name: str) -> list[Any]:
        label = f"serving.kubeflow.org/inferenceservice={name}"
        return list(self.apps.list_namespaced_deployment("default", label_selector=label).items)

    def set_faults(self, data: Optional[dict[str, str]]) -> None:
        """Switch these faults on, and all others off."""
        name, namespace = "sandbox-faults", "kfserving-system"
        try:
            self.core.delete_namespaced_config_map(name, namespace)
        except ApiException as error:
            if error.status != 404:
                raise
        if data is not None:
            self.core.create_namespaced_config_map(namespace, {"metadata": {"name": name}, "data": data})

    def gateway(self) -> str:
        service = self.core.read_namespaced_service("istio-ingressgateway", "istio-system")
        ingress = service.status.load_balancer.ingress
        return str(ingress[0].ip) if ingress else ""


def ready(service: Any) -> str:
    conditions = service.get("status", {}).get("conditions", [])
    return next((c["status"] for c in conditions if c["type"] == "Ready"), "")


def unready(service: Any) -> Any:
    """The InferenceService if its readiness was taken back."""
    return service if ready(service) == "Unknown" else None


def predictor(service: Any) -> Any:
    return service.get("status", {}).get("components", {}).get("predictor", {})


def traffic(service: Any) -> dict[str, int]:
    return {entry["revisionName"]: entry["percent"] for entry in predictor(service).get("traffic", [])}


@dataclass(frozen=True)
class Answer:
    sent: float
    status: int
    revision: str


class Load:
    """An open loop over keep-alive connections; nothing is retried, each exception is a lost request."""

    def __init__(self, ip: str, name: str, rate: float = RATE, connections: int = 8) -> None:
        self.answers: list[Answer] = []
        self._ip, self._name, self._rate, self._connections = ip, name, rate, connections
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(connections)]

    def __enter__(self) -> Load:
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in self.answers if answer.sent >= moment]

    def more(self, count: int) -> None:
        """Wait until so many requests that are sent from now on have been answered."""
        start = time.monotonic()
        seconds = 10 + 3 * count / self._rate
        until(lambda: len(self.since(start)) >= count, seconds, f"{count} more requests are answered")

    def _send(self, number: int) -> None:
        connection: Optional[http.client.HTTPConnection] = None
        due = self._start + number / self._rate
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self._connections / self._rate
            connection = connection or http.client.HTTPConnection(self._ip, 8080, timeout=10)
            sent = time.monotonic()
            try:
                status, revision = ask(connection, self._name)
                self.answers.append(Answer(sent, status, revision))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append(Answer(sent, -1, repr(error)))
                connection.close()
                connection = None
        if connection:
            connection.close()


def ask(connection: http.client.HTTPConnection, name: str) -> tuple[int, str]:
    headers = {**HEADERS, "Host": f"{name}.default.example.com"}
    connection.request("POST", f"/v1/models/{name}:predict", PAYLOAD, headers)
    response = connection.getresponse()
    body = response.read()
    if response.status == 200:
        assert json.loads(body)["predictions"][0]["key"] == "1"
    return response.status, response.getheader("x-revision", "")


@pytest.fixture(scope="module")
def cluster(sandbox: Any) -> Cluster:
    made = Cluster(str(sandbox.kubeconfig))
    for manifest in MANIFESTS:
        made.apply(manifest)
    until(made.gateway, 30, "the gateway's address on its Service")
    made.set_faults(None)
    return made


@pytest.fixture
def service(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """An InferenceService with one ready revision; removed afterwards."""
    name = request.node.name.replace("_", "-")[5:30].strip("-")
    cluster.create(name, {"tensorflow": {"storageUri": "gs://models/one"}})
    until(lambda: ready(cluster.service(name)) == "True", 20, f"{name} is ready")
    yield name
    cluster.delete(name)
    until(lambda: not cluster.exists(name), 30, f"{name} is gone")


def test_no_request_is_lost_from_canary_to_promotion(cluster: Cluster, service: str) -> None:
    old = predictor(cluster.service(service))["latestRolledoutRevision"]
    with Load(cluster.gateway(), service) as load:
        load.more(100)
        # So long that it is seen while it is not ready.
        slowly = [{"name": "MODEL_LOAD_SECONDS", "value": "3"}]
        two = {"canaryTrafficPercent": 1, "tensorflow": {"storageUri": "gs://models/two", "env": slowly}}
        updated = cluster.change(service, two)
        # The trap: the new spec with the old status, which says ready.
        assert ready(updated) == "True"
        waiting = until(lambda: unready(cluster.service(service)), 10, "Ready is taken back")
        new = predictor(waiting)["latestCreatedRevision"]
        assert new != old
        assert traffic(waiting) == {old: 100}
        assert predictor(waiting)["latestReadyRevision"] == old
        for percent in (1, 50):
            cluster.change(service, {"canaryTrafficPercent": percent})
            wanted = {new: percent, old: 100 - percent}
            until(lambda w=wanted: traffic(cluster.service(service)) == w, 20, f"traffic {wanted}")
            assert ready(cluster.service(service)) == "True"
            at_half = time.monotonic()
            load.more(200)
        cluster.change(service, {"canaryTrafficPercent": 100})
        until(lambda: traffic(cluster.service(service)) == {new: 100}, 10, "all traffic on the new one")
        promoted = time.monotonic()
        until(lambda: not cluster.pods(old), 15, "the old revision's pods are gone")
        load.more(100)
    failed = [answer for answer in load.answers if answer.status != 200]
    assert not failed, f"{len(failed)} of {len(load.answers)} lost: {failed[:3]}"
    assert len(load.answers) > RATE * 5
    half = Counter(answer.revision for answer in load.since(at_half) if answer.sent < promoted)
    assert half[old] > 20
    assert half[new] > 20
    assert {answer.revision for answer in load.since(promoted)} == {new}
    final = predictor(cluster.service(service))
    assert (final["latestRolledoutRevision"], final["previousRolledoutRevision"]) == (new, old)
    assert [entry["tag"] for entry in final["traffic"]] == ["latest"]


def test_rollback_goes_back_to_the_old_revision(cluster: Cluster, service: str) -> None:
    old = predictor(cluster.service(service))["latestRolledoutRevision"]
    cluster.change(service, {"canaryTrafficPercent": 20, "tensorflow": {"storageUri": "gs://models/two"}})
    until(lambda: sorted(traffic(cluster.service(service)).values()) == [20, 80], 15, "20 % on the canary")
    new = predictor(cluster.service(service))["latestCreatedRevision"]
    with Load(cluster.gateway(), service, rate=50, connections=2) as load:
        cluster.change(service, {"canaryTrafficPercent": 0})
        until(lambda: traffic(cluster.service(service)) == {new: 0, old: 100}, 10, "rolled back")
        back = time.monotonic()
        load.more(25)
    assert {answer.status for answer in load.answers} == {200}
    assert {answer.revision for answer in load.since(back)} == {old}
    assert ready(cluster.service(service)) == "True"
    assert predictor(cluster.service(service))["latestRolledoutRevision"] == old


def test_canary_that_never_gets_ready_gets_no_traffic(cluster: Cluster, service: str) -> None:
    old = predictor(cluster.service(service))["latestRolledoutRevision"]
    never = [{"name": "MODEL_LOAD_SECONDS", "value": "3600"}]
    canary = {"canaryTrafficPercent": 50, "tensorflow": {"storageUri": "gs://models/two", "env": never}}
    with Load(cluster.gateway(), service, rate=50, connections=2) as load:
        cluster.change(service, canary)
        until(lambda: unready(cluster.service(service)), 10, "Ready is taken back")
        new = predictor(cluster.service(service))["latestCreatedRevision"]
        until(lambda: any(pod.status.phase == "Running" for pod in cluster.pods(new)), 10, "the pod runs")
        load.more(150)
        seen = cluster.service(service)
    assert ready(seen) == "Unknown"
    assert traffic(seen) == {old: 100}
    assert predictor(seen)["latestReadyRevision"] == old
    assert {(answer.status, answer.revision) for answer in load.answers} == {(200, old)}


def test_canary_fault_of_the_config_map_reaches_only_the_canary(cluster: Cluster, service: str) -> None:
    old = predictor(cluster.service(service))["latestRolledoutRevision"]
    cluster.set_faults({"canary-5xx": '{"share": 0.5}'})
    try:
        two = {"canaryTrafficPercent": 50, "tensorflow": {"storageUri": "gs://models/two"}}
        cluster.change(service, two)
        until(
            lambda: sorted(traffic(cluster.service(service)).values()) == [50, 50], 15, "50 % on the canary"
        )
    finally:
        cluster.set_faults(None)
    with Load(cluster.gateway(), service, rate=100, connections=2) as load:
        load.more(150)
    counts = Counter((answer.revision == old, answer.status) for answer in load.answers)
    assert set(counts) == {(True, 200), (False, 200), (False, 500)}
    assert abs(counts[False, 200] - counts[False, 500]) <= 1


def test_restarted_controller_goes_on_without_a_lost_request(cluster: Cluster, service: str) -> None:
    with Load(cluster.gateway(), service, rate=50, connections=2) as load:
        cluster.change(service, {"canaryTrafficPercent": 30, "tensorflow": {"storageUri": "gs://models/two"}})
        cluster.core.delete_namespaced_pod("kfserving-controller-manager-0", "kfserving-system")
        until(
            lambda: sorted(traffic(cluster.service(service)).values()) == [30, 70], 30, "30 % on the canary"
        )
    assert {answer.status for answer in load.answers} == {200}
    assert len(cluster.deployments(service)) == 2


def test_replaced_gateway_gets_the_routes_and_shows_its_address(cluster: Cluster, service: str) -> None:
    old = cluster.gateway()
    label = "app=istio-ingressgateway"
    (pod,) = cluster.core.list_namespaced_pod("istio-system", label_selector=label).items
    with Load(old, service, rate=20, connections=2) as load:
        cluster.core.delete_namespaced_pod(pod.metadata.name, "istio-system")
        new = until(lambda: cluster.gateway() != old and cluster.gateway(), 20, "the new gateway's address")
        moved = time.monotonic()
    # The old one drains: nobody is cut off before there is a new address to go to.
    lost = [answer for answer in load.answers if answer.sent < moved and answer.status != 200]
    assert not lost, f"{moved - lost[0].sent:.2f} s before the new address: {lost[0]}"
    connection = http.client.HTTPConnection(new, 8080, timeout=5)
    assert ask(connection, service)[0] == 200
    connection.close()
    assert ready(cluster.service(service)) == "True"


def test_deletion_takes_routes_and_pods_away(cluster: Cluster) -> None:
    cluster.create("short", {"tensorflow": {"storageUri": "gs://models/one"}})
    until(lambda: ready(cluster.service("short")) == "True", 20, "short is ready")
    connection = http.client.HTTPConnection(cluster.gateway(), 8080, timeout=5)
    status, revision = ask(connection, "short")
    assert status == 200
    assert cluster.service("short")["metadata"]["finalizers"] == ["inferenceservice.finalizers"]
    cluster.delete("short")
    until(lambda: not cluster.exists("short"), 20, "short is gone")
    assert ask(connection, "short")[0] == 404
    connection.close()
    assert cluster.deployments("short") == []
    until(lambda: not cluster.pods(revision), 15, "its pods are gone")


@pytest.mark.parametrize(
    "predictor_spec",
    [
        {"canaryTrafficPercent": 101, "tensorflow": {"storageUri": "gs://m"}},
        {"canaryTrafficPercent": 1},
        {"tensorflow": {}},
        {"tensorflow": {"storageUri": "gs://m"}, "sklearn": {"storageUri": "gs://m"}},
    ],
    ids=["percent", "no-framework", "no-uri", "two-frameworks"],
)
def test_bad_specs_are_refused(cluster: Cluster, predictor_spec: Any) -> None:
    with pytest.raises(ApiException) as refused:
        cluster.create("bad", predictor_spec)
    assert refused.value.status == 422
