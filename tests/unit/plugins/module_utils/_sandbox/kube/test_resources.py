# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.resources import (
    DEPLOYMENTS,
    PODS,
    Kind,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("n"), "/api/v1/namespaces/n/pods"),
        (PODS.path("n", "p"), "/api/v1/namespaces/n/pods/p"),
        (DEPLOYMENTS.path("n", "d", "status"), "/apis/apps/v1/namespaces/n/deployments/d/status"),
        (Kind("g", "v1", "").root, "/apis/g/v1"),
        (PODS.path("n", "a/b?c"), "/api/v1/namespaces/n/pods/a%2Fb%3Fc"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def test_api_versions() -> None:
    assert (PODS.api_version, DEPLOYMENTS.api_version) == ("v1", "apps/v1")
