# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube import discovery
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    ApiError,
    Json,
    KubeClient,
)


def pod(ip: str, ready: str = "True", deleting: bool = False, ports: Any = None) -> dict[str, Any]:
    meta = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    return {
        "metadata": meta,
        "spec": {"containers": [{"ports": ports or [{"name": "web", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


class Api(KubeClient):
    """Answers for the Service `svc` and its pods; `asked` is the last label selector."""

    def __init__(self, ports: Any, pods: list[Any], selector: Any = None, status: int = 200) -> None:
        self.ports, self.pods, self.status = ports, pods, status
        self.selector = {"b": "2", "a": "1"} if selector is None else selector
        self.asked = ""

    def get(self, path: str) -> Json:
        assert path == "/api/v1/namespaces/ns/services/svc"
        if self.status != 200:
            raise ApiError(self.status, "", "refused", "svc")
        return {
            "metadata": {"name": "svc", "namespace": "ns"},
            "spec": {"ports": self.ports, "selector": self.selector},
        }

    def items(self, path: str, labels: str = "") -> list[Json]:
        assert path == "/api/v1/namespaces/ns/pods"
        self.asked = labels
        return self.pods


HTTP2 = {"name": "http2", "port": 80, "targetPort": 8080}
NAMED = {"name": "n", "port": 81, "targetPort": "web"}
SAME = {"name": "same", "port": 82}


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("http2", 8080),
        (80, 8080),
        (None, 8080),
        ("n", 8080),
        (82, 82),
    ],
)
def test_port_is_found_by_name_number_or_default(port: Any, expected: int) -> None:
    api = Api([HTTP2, NAMED, SAME], [pod("127.9.0.2")])
    assert discovery.service_addresses(api, "ns", "svc", port) == [("127.9.0.2", expected)]
    assert api.asked == "a=1,b=2"


def test_only_ready_pods_that_are_not_being_deleted_count() -> None:
    pods = [
        pod("127.9.0.9"),
        pod("127.9.0.3", ready="False"),
        pod("127.9.0.4", deleting=True),
        pod(""),
        pod("127.9.0.2"),
    ]
    assert discovery.service_addresses(Api([HTTP2], pods), "ns", "svc") == [
        ("127.9.0.2", 8080),
        ("127.9.0.9", 8080),
    ]


def test_pod_without_the_named_port_is_left_out() -> None:
    pods = [pod("127.9.0.2", ports=[{"name": "other", "containerPort": 1}])]
    assert discovery.service_addresses(Api([NAMED], pods), "ns", "svc") == []


@pytest.mark.parametrize(
    ("api", "message"),
    [
        (Api([HTTP2], [], status=404), "does not exist"),
        (Api([HTTP2], [], selector={}), "no selector"),
        (Api([HTTP2], []), r"no port 99; it has: 80 \(http2\)"),
    ],
)
def test_unusable_service_says_why(api: Api, message: str) -> None:
    with pytest.raises(discovery.ServiceNotUsable, match=message):
        discovery.service_addresses(api, "ns", "svc", 99)


def test_other_api_errors_pass_through() -> None:
    with pytest.raises(ApiError):
        discovery.service_addresses(Api([HTTP2], [], status=500), "ns", "svc")


@pytest.mark.parametrize("host", ["svc.ns", "svc.ns.svc.cluster.local"])
def test_the_service_in_a_url_is_replaced_by_a_pods_address(host: str) -> None:
    api = Api([HTTP2], [pod("127.9.0.8"), pod("127.9.0.7")])
    assert discovery.pod_url(api, f"http://{host}:80/v2/x") == "http://127.9.0.7:8080/v2/x"


def test_a_url_without_a_ready_pod_cannot_be_used() -> None:
    with pytest.raises(discovery.ServiceNotUsable, match="No pod behind Service ns/svc is ready"):
        discovery.pod_url(Api([HTTP2], []), "http://svc.ns:80/")
    with pytest.raises(discovery.ServiceNotUsable, match="ns/svc does not exist"):
        discovery.pod_url(Api([HTTP2], [], status=404), "http://svc.ns:80/")
