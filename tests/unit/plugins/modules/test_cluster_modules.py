# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of every module that talks to a cluster: its documentation, and the refusal."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import kubernetes
import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.auth import AUTH_ARGUMENTS
from ansible_collections.iter8.kfserving.plugins.modules import (
    experiment_wait,
    inferenceservice_wait,
    ingress_info,
    load_job,
    load_job_info,
    ownership,
    platform_steps,
    progressive_rollout,
    rollout_objects,
    rollout_observer,
    rollout_preflight,
)
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    clear_environment,
    documented,
    run_main,
)

# Each module with what it takes at least.
LEAST: dict[ModuleType, dict[str, Any]] = {
    experiment_wait: {"name": "e"},
    inferenceservice_wait: {"name": "m"},
    ingress_info: {"name": "m"},
    load_job: {"name": "l", "url": "http://m/", "run_id": "r", "record": "/nonexistent/r.json"},
    load_job_info: {"name": "l"},
    ownership: {"state": "claimed", "run_id": "r", "record": "/nonexistent/r.json"},
    platform_steps: {"run_id": "r", "record": "/nonexistent/r.json", "steps": []},
    progressive_rollout: {"name": "m", "predictor": {"model": {}}},
    rollout_objects: {"objects": []},
    rollout_observer: {"name": "o", "inferenceservice": "m"},
    rollout_preflight: {"name": "m"},
}

pytestmark = pytest.mark.parametrize("module", LEAST, ids=lambda module: module.__name__.rpartition(".")[2])


def test_the_documentation_tells_what_is_declared(module: ModuleType) -> None:
    """Options, types, defaults, choices and aliases are documented as they are declared."""
    options = documented(module)
    assert set(options) == set(module.ARGUMENTS)
    for name, declared in module.ARGUMENTS.items():
        shown = options[name]
        for key in ("type", "default", "choices", "elements", "aliases"):
            assert shown.get(key) == declared.get(key), (name, key)
        assert shown.get("required", False) == declared.get("required", False), name
        assert shown["description"], name
    assert not set(module.ARGUMENTS) & set(AUTH_ARGUMENTS)


def test_the_examples_name_a_cluster_and_options_that_exist(module: ModuleType) -> None:
    known = {*module.ARGUMENTS, *AUTH_ARGUMENTS}
    name = f"iter8.kfserving.{yaml.safe_load(module.DOCUMENTATION)['module']}"
    tasks = [task for task in yaml.safe_load(module.EXAMPLES) if name in task]
    assert tasks
    for task in tasks:
        assert {"kubeconfig", "context"} <= set(task[name]), task
        assert set(task[name]) <= known, task


def test_an_unnamed_cluster_is_refused(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is sent."""

    def sent(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a client was made")

    clear_environment(monkeypatch)
    monkeypatch.setattr(kubernetes.client.ApiClient, "__init__", sent)
    result = run_main(module, LEAST[module], capsys)
    assert result["failed"] is True
    assert "the current kube context is never used" in result["msg"]
