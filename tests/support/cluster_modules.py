# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of every module that talks to a cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterable
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.iter8.kfserving.plugins.doc_fragments.cluster import ModuleDocFragment
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.auth import AUTH_ARGUMENTS


def documented(module: ModuleType) -> dict[str, Any]:
    """The module's own options and those of our fragment, as documented."""
    document = yaml.safe_load(module.DOCUMENTATION)
    options = dict(document["options"])
    if "iter8.kfserving.cluster.wait" in document["extends_documentation_fragment"]:
        options.update(yaml.safe_load(ModuleDocFragment.WAIT)["options"])
    return options


def check_documentation(module: ModuleType) -> None:
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


def check_examples(module: ModuleType) -> None:
    """Each example names its cluster and uses options that exist."""
    known = {*module.ARGUMENTS, *AUTH_ARGUMENTS}
    name = yaml.safe_load(module.DOCUMENTATION)["module"]
    tasks = [task for task in yaml.safe_load(module.EXAMPLES) if f"iter8.kfserving.{name}" in task]
    assert tasks
    for task in tasks:
        given = task[f"iter8.kfserving.{name}"]
        assert {"kubeconfig", "context"} <= set(given), task
        assert set(given) <= known, task


def returned(module: ModuleType) -> set[str]:
    """The names of the documented return values."""
    return set(yaml.safe_load(module.RETURN))


def run_main(
    module: ModuleType,
    arguments: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    check_mode: bool = False,
) -> dict[str, Any]:
    """What the module prints, run with these arguments."""
    with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
        module.main()
    return dict(json.loads(capsys.readouterr().out))


class Server:
    """An API server that has these objects, by plural, and nothing new to tell."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]]) -> None:
        self.objects = objects

    def resource(self, api_version: str, kind: str) -> Resource:
        return Resource(api_version, kind, f"{kind.lower()}s", True)

    def get(self, path: str, query: Any = None) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "7"}, "items": self.objects[path.rpartition("/")[2]]}

    def stream(self, path: str, query: Any, silence_seconds: float) -> Generator[dict[str, Any], None, None]:
        threading.Event().wait(float(query["timeoutSeconds"]))
        yield from ()


def clear_environment(monkeypatch: pytest.MonkeyPatch, more: Iterable[str] = ()) -> None:
    """No cluster is named by the environment."""
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT", "K8S_AUTH_HOST", *more):
        monkeypatch.delenv(name, raising=False)


def check_refusal(
    module: ModuleType,
    arguments: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a named cluster it refuses, before it sends anything."""
    import kubernetes

    def sent(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a client was made")

    clear_environment(monkeypatch)
    monkeypatch.setattr(kubernetes.client.ApiClient, "__init__", sent)
    result = run_main(module, arguments, capsys)
    assert result["failed"] is True
    assert "the current kube context is never used" in result["msg"]
