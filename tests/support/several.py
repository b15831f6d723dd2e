# SPDX-License-Identifier: GPL-3.0-or-later
"""Several models on one sandbox, and a list of their rollouts in which some have a fault planted."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.spec import DEFAULT_GATES
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.waiting import until
from kubernetes import client, config

SAMPLES = ROOT / "samples/kserve"
GATES = [{**gate, "max_ratio": 3} if gate["type"] == "latency" else dict(gate) for gate in DEFAULT_GATES]
"""The default ones, with a ratio that can be shown where models, gateway and load take turns on a few cores:
the slowest twentieth takes ten times as long as the median there, whichever version answers."""
LOSSES = '{"canary-5xx": {"share": 0.3}}'
"""What a canary with a fault does: it answers 500 to three requests of ten."""
READY_SECONDS = 180.0


@dataclass
class Several:
    """`count` models with the names m01, m02 and so on (`letter` for m), in a sandbox that serves KServe.

    Their rollouts are driven by this collection, or by the sample's own tasks with `driver` of observe, and
    may take `deadline` seconds under `rate` requests a second, 0 for the default of each.
    """

    kubeconfig: Path
    folder: Path
    count: int
    faulty: Collection[str] = ()
    driver: str = "progressive"
    letter: str = "m"
    deadline: int = 0
    rate: float = 0

    @property
    def names(self) -> list[str]:
        return [f"{self.letter}{number:02d}" for number in range(1, self.count + 1)]

    def deploy(self) -> None:
        """The first version of each; returns once all serve."""
        api = client.CustomObjectsApi(config.new_client_from_config(str(self.kubeconfig)))
        model = self._named(yaml.safe_load((SAMPLES / "default.yaml").read_text()))
        group, version = model["apiVersion"].split("/")
        where = (group, version, model["metadata"]["namespace"], "inferenceservices")
        for name in self.names:
            api.create_namespaced_custom_object(*where, self._named(model, name))

        def serving() -> bool:
            items = api.list_namespaced_custom_object(*where)["items"]
            return {each["metadata"]["name"] for each in items if _ready(each)} >= set(self.names)

        until(serving, READY_SECONDS, f"{self.count} models serve")

    def item(self, name: str) -> dict[str, Any]:
        """The rollout of one of them, as a list has it."""
        canary = self._named(yaml.safe_load((SAMPLES / "canary.yaml").read_text()), name)
        if name in self.faulty:
            planted = {"name": faults.ENVIRONMENT, "value": LOSSES}
            canary["spec"]["predictor"]["model"]["env"] = [planted]
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(canary))
        own = self.driver == "progressive"
        driven = {"rollout_driver": "progressive", "rollout_gates": GATES} if own else {}
        limited = {"rollout_deadline": self.deadline} if self.deadline else {}
        loaded = {"rollout_load_rate": self.rate} if self.rate else {}
        return {"name": name, "rollout_canary_file": str(path), **driven, **limited, **loaded}

    def list_file(self, *names: str) -> Path:
        """A file for -e @ with the rollouts of these, by default of all."""
        path = self.folder / "rollouts.json"
        path.write_text(json.dumps({"rollout_list": [self.item(name) for name in names or self.names]}))
        return path

    def _named(self, model: dict[str, Any], name: str = "") -> dict[str, Any]:
        found = copy.deepcopy(model)
        found["metadata"]["name"] = name or found["metadata"]["name"]
        return found


def _ready(service: dict[str, Any]) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
