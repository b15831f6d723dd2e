# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as a user has it judged: the collection's own playbook on the real cluster, and its verdict."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.tests.support.playbooks import Playbooks

from .rollout import GROUP, VERSION, Json, Rollout, Seen
from .rollout import seen as seen_in
from .stage import Report

_CHANGES = Path(__file__).parent / "changes"
RATE = int(os.environ.get("REAL_RATE", "100"))
# A rollout takes a minute or two, one that the gates decide a little longer.
_SECONDS = 540
# Limits that the share of two cores which a test's servers get does not break by itself.
_GATES = [
    {"type": "losses", "max_rate": 0.01},
    {"type": "latency", "quantile": 0.9, "max_ratio": 4},
    {"type": "split", "tolerance": 0.1},
    {"type": "pods"},
]
# Instead of a header: what the gateway of this cluster logs.
BY_LOG: Json = {
    "rollout_revision_header": "",
    "rollout_gateway_log": {"gateway": "traefik", "selector": "app=traefik"},
    "rollout_gateway_log_seconds": 2,
}
_STEPS = [{"percent": 10, "seconds": 5}, {"percent": 50, "seconds": 5}]


@dataclass
class Judged:
    """What the playbook left: its exit status and output, the verdict and the load."""

    code: int
    said: str
    verdict: Json
    load: Json = field(repr=False)

    @property
    def reasons(self) -> str:
        """Those of the verdict, a line each."""
        return "\n".join(f"{reason['rule']}: {reason['text']}" for reason in self.verdict["reasons"])

    @property
    def driver(self) -> Json:
        """What moved the traffic, and why."""
        driver: Json = self.verdict["driver"]
        return driver

    @property
    def seen(self) -> Seen:
        """What the load saw."""
        return seen_in(self.load)


class Judge:
    """Runs the playbook `rollout` on one InferenceService, with state and artefacts of its own.

    What comes out is in the table; `before` is what was seen when this was first done, in words.
    """

    def __init__(self, rollout: Rollout, report: Report, folder: Path) -> None:
        self._rollout = rollout
        self._report = report
        self.user = Playbooks(folder)

    def observe(self, change: str, predictor: Json, before: str, **more: Any) -> Judged:
        """Judge what a file in `changes` does with the predictor."""
        tasks = str(_CHANGES / f"{change}.yml")
        return self._judged(self.given(rollout_change_tasks=tasks, real_predictor=predictor, **more), before)

    def drive(self, predictor: Json, before: str, **more: Any) -> Judged:
        """Have the collection roll the predictor out step by step."""
        return self._judged(self.plan(predictor, **more), before)

    def plan(self, predictor: Json, **more: Any) -> list[str]:
        """The playbook's arguments for a progressive rollout of the predictor."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "InferenceService",
            "metadata": {"name": self._rollout.name, "namespace": self._rollout.namespace},
            "spec": {"predictor": predictor},
        }
        self.user.folder.mkdir(parents=True, exist_ok=True)
        manifest = self.user.folder / "canary.json"
        manifest.write_text(json.dumps(body), encoding="utf-8")
        given = {
            "rollout_driver": "progressive",
            "rollout_canary_file": str(manifest),
            "rollout_steps": _STEPS,
            "rollout_gates": _GATES,
            **more,
        }
        return self.given(**given)

    def clean_up(self) -> None:
        """End what was left running."""
        if self.user.left_running():
            self.user.run("teardown", "-e", json.dumps(self._cluster()), timeout=120)

    @staticmethod
    def _cluster() -> Json:
        return {
            "iter8_kfserving_kubeconfig": os.environ["REAL_KUBECONFIG"],
            "iter8_kfserving_context": os.environ["REAL_CONTEXT"],
        }

    def given(self, **more: Any) -> list[str]:
        """The playbook's arguments, with what names the cluster, the model and its gateway."""
        address = self._rollout.gateway.removeprefix("http://")
        host, _colon, port = address.partition(":")
        given = {
            **self._cluster(),
            "rollout_namespace": self._rollout.namespace,
            "rollout_inferenceservice": self._rollout.name,
            "rollout_payload_file": str(_CHANGES / "input.json"),
            "rollout_gateway_host": host,
            "rollout_gateway_port": int(port),
            "rollout_load_rate": RATE,
            "rollout_load_connections": 8,
            "rollout_revision_header": "X-Revision",
            "rollout_lead_seconds": 3,
            "rollout_deadline": 300,
            **more,
        }
        return ["-e", json.dumps(given)]

    def _judged(self, arguments: list[str], before: str) -> Judged:
        run = self.user.run("rollout", *arguments, timeout=_SECONDS)
        if not (self.user.artifacts / "verdict.json").exists():
            raise AssertionError(f"No verdict:\n{run.stdout}")
        verdict, load = self.user.artifact("verdict.json"), self.user.artifact("load.json")
        judged = Judged(run.returncode, run.stdout, verdict, load)
        driver = verdict["driver"] or {}
        self._report.add(judged.seen, before, verdict["verdict"], driver.get("rollback_seconds"))
        return judged


def moves(judged: Judged) -> list[str]:
    """What the driver did, a move for each patch."""
    return [patch["move"] for patch in judged.driver["patches"]]
