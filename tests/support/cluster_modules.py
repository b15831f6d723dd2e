# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that talk to a cluster, as tests run them."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterable
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.doc_fragments import load
from ansible_collections.iter8.kfserving.plugins.doc_fragments.cluster import ModuleDocFragment
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.tests.support.ansible_core import module_arguments


def documented(module: ModuleType) -> dict[str, Any]:
    """The module's own options and those of our fragment, as documented."""
    document = yaml.safe_load(module.DOCUMENTATION)
    options = dict(document["options"])
    for name in document["extends_documentation_fragment"]:
        if name.startswith("iter8.kfserving.cluster."):
            fragment = getattr(ModuleDocFragment, name.rpartition(".")[2].upper())
            options.update(yaml.safe_load(fragment)["options"])
        elif name == "iter8.kfserving.load":
            options.update(yaml.safe_load(load.ModuleDocFragment.DOCUMENTATION)["options"])
    return options


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
    with module_arguments(arguments, check_mode), pytest.raises(SystemExit):
        module.main()
    return dict(json.loads(capsys.readouterr().out))


class Server:
    """An API server that has these objects, by plural, and nothing new to tell."""

    host = "https://api.example.com"

    def __init__(self, objects: dict[str, list[dict[str, Any]]]) -> None:
        self.objects = objects

    def resource(self, api_version: str, kind: str) -> Resource:
        return Resource(api_version, kind, f"{kind.lower()}s", True)

    def resources(self, api_version: str) -> list[Resource]:
        kinds = {"serving.kserve.io/v1beta1": "InferenceService"}
        return [self.resource(api_version, kinds[api_version])] if api_version in kinds else []

    def get(self, path: str, query: Any = None) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "7"}, "items": self.objects[path.rpartition("/")[2]]}

    def stream(self, path: str, query: Any, silence_seconds: float) -> Generator[dict[str, Any], None, None]:
        threading.Event().wait(float(query["timeoutSeconds"]))
        yield from ()


def clear_environment(monkeypatch: pytest.MonkeyPatch, more: Iterable[str] = ()) -> None:
    """No cluster is named by the environment."""
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT", "K8S_AUTH_HOST", *more):
        monkeypatch.delenv(name, raising=False)
