# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube import analytics_address
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.discovery import ServiceNotUsable

URL = "http://iter8-analytics.iter8-system:8080/v2/analytics_results"


@pytest.fixture
def discovered(monkeypatch):
    """What discovery answers: set `discovered.result`; `discovered.asked` is what it was asked for."""

    class Discovered:
        result = [("127.9.0.7", 8081), ("127.9.0.8", 8081)]
        asked = None

    def service_addresses(core_api, namespace, name, port):
        Discovered.asked = (namespace, name, port)
        if isinstance(Discovered.result, Exception):
            raise Discovered.result
        return Discovered.result

    monkeypatch.setattr(analytics_address, "service_addresses", service_addresses)
    return Discovered


@pytest.mark.parametrize("url", [URL, URL.replace("iter8-system", "iter8-system.svc.cluster.local")])
def test_the_service_is_replaced_by_a_pods_address(discovered, url):
    assert analytics_address.resolve(None, url) == "http://127.9.0.7:8081/v2/analytics_results"
    assert discovered.asked == ("iter8-system", "iter8-analytics", 8080)


@pytest.mark.parametrize(
    "result", [[], ServiceNotUsable("Service iter8-system/iter8-analytics does not exist.")]
)
def test_without_a_ready_pod_the_service_is_unavailable(discovered, result):
    discovered.result = result
    with pytest.raises(analytics_address.ServiceUnavailable, match="iter8-system/iter8-analytics"):
        analytics_address.resolve(None, URL)
