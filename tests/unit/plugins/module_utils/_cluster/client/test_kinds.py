# SPDX-License-Identifier: GPL-3.0-or-later
"""Which API version an InferenceService has on a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    NotFound,
    UnknownKind,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.kinds import (
    inferenceservice_kind,
)

KSERVE, KUBEFLOW = "serving.kserve.io/v1beta1", "serving.kubeflow.org/v1beta1"


class FakeApi:
    """Serves some versions, and has the object `m` in some of them."""

    host = "https://api.example.com"

    def __init__(self, served: list[str], there: list[str]) -> None:
        self.served = served
        self.there = there

    def resource(self, version: str, kind: str) -> Resource:
        return Resource(version, kind, "inferenceservices", namespaced=True)

    def resources(self, version: str) -> list[Resource]:
        return [self.resource(version, "InferenceService")] if version in self.served else []

    def get(self, path: str) -> dict[str, Any]:
        if any(path == f"/apis/{version}/namespaces/default/inferenceservices/m" for version in self.there):
            return {}
        raise NotFound("404")


@pytest.mark.parametrize(
    ("served", "there", "asked", "expected"),
    [
        ([KUBEFLOW], [], None, KUBEFLOW),
        ([KSERVE], [], None, KSERVE),
        ([KUBEFLOW, KSERVE], [KUBEFLOW], None, KUBEFLOW),
        ([KUBEFLOW, KSERVE], [KUBEFLOW, KSERVE], None, KSERVE),
        ([KUBEFLOW, KSERVE], [], None, KSERVE),
        ([KUBEFLOW, KSERVE], [KSERVE], KUBEFLOW, KUBEFLOW),
    ],
)
def test_the_version_is_that_in_which_the_object_is_there(
    served: list[str], there: list[str], asked: str | None, expected: str
) -> None:
    api: Any = FakeApi(served, there)
    assert inferenceservice_kind(api, asked, "default", "m").api_version == expected


def test_where_none_is_served_both_are_named() -> None:
    api: Any = FakeApi([], [])
    with pytest.raises(UnknownKind, match="serving.kserve.io/v1beta1, serving.kubeflow.org/v1beta1"):
        inferenceservice_kind(api, None, "default", "m")
