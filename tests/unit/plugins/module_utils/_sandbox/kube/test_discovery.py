# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube import discovery
from kubernetes.client.exceptions import ApiException


def pod(ip: str, ready: str = "True", deleting: bool = False, ports: Any = None) -> dict[str, Any]:
    meta = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    return {
        "metadata": meta,
        "spec": {"containers": [{"ports": ports or [{"name": "web", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


class Api:
    def __init__(self, ports: Any, pods: list[Any], selector: Any = None, status: int = 200) -> None:
        self.ports, self.pods, self.status = ports, pods, status
        self.selector = {"b": "2", "a": "1"} if selector is None else selector
        self.asked = ""

    def read_namespaced_service(self, name: str, namespace: str, **_: Any) -> Any:
        if self.status != 200:
            raise ApiException(status=self.status)
        body = {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": self.ports, "selector": self.selector},
        }
        return SimpleNamespace(data=json.dumps(body))

    def list_namespaced_pod(self, namespace: str, label_selector: str, **_: Any) -> Any:
        self.asked = label_selector
        return SimpleNamespace(data=json.dumps({"items": self.pods}))


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
    with pytest.raises(ApiException):
        discovery.service_addresses(Api([HTTP2], [], status=500), "ns", "svc")
