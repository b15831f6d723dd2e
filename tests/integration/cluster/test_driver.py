# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver asks of a real API server that memory cannot tell: which warnings are new."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.auth import open_api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.looker import Looker
from kubernetes import client

from ...support.stage import GROUP, NAMESPACE, Stage

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]


def warn(core: Any, name: str, about: str = "my-model", **more: Any) -> None:
    body = {
        "metadata": {"name": name},
        "involvedObject": {"kind": "InferenceService", "name": about, "namespace": NAMESPACE},
        "type": "Warning",
        "reason": "InternalError",
        "message": name,
        **more,
    }
    core.create_namespaced_event(NAMESPACE, body)


def test_warnings_about_the_inferenceservice_are_told_once_they_are_new(stage: Stage) -> None:
    core = client.CoreV1Api(stage.api)
    api = open_api(stage.api.configuration, {}, time.monotonic() + 60)
    looker = Looker(
        api,
        namespace=NAMESPACE,
        name="my-model",
        api_version=f"{GROUP}/v1beta1",
        clock=time.monotonic,
        load=lambda: None,
    )
    warn(core, "of-before")
    assert looker.look("", "", "", warnings=True).warnings == ()
    warn(core, "new")
    warn(core, "another", about="other-model")
    warn(core, "normal", type="Normal")
    warn(core, "late", reason="UpdateFailed")
    assert looker.look("", "", "", warnings=True).warnings == ("new",)
    looker.forget_warnings()
    assert looker.look("", "", "", warnings=True).warnings == ()
    core.patch_namespaced_event("of-before", NAMESPACE, {"count": 2})
    assert looker.look("", "", "", warnings=True).warnings == ("of-before",)
