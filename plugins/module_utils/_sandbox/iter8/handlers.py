# SPDX-License-Identifier: GPL-3.0-or-later
"""iter8-kfserving's handlers: `python3 -m …_sandbox.iter8.main start|finish`, run as Jobs.

Environment: KUBECONFIG, EXPERIMENT_NAME, EXPERIMENT_NAMESPACE. Exit status 0 means done; else one line says
why not, and the Job's controller tries again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..kube.client import JSON_PATCH, ApiError, Json, KubeClient, from_environment
from ..kube.conditions import is_true
from ..kube.resources import EXPERIMENTS, INFERENCE_SERVICES

BASELINE = "default"
CANARY = "canary"
WEIGHT_PATH = "/spec/predictor/canaryTrafficPercent"

_FETCH_SECONDS = 180.0
_READY_SECONDS = 180.0
_POLL_SECONDS = 0.5


class HandlerError(Exception):
    """The handler cannot do its work; the text says why."""


def is_ready(inference_service: Mapping[str, Any]) -> bool:
    """Whether the condition Ready is True. Right after a change this may still be the state before it."""
    return is_true(inference_service.get("status"), "Ready")


def version_info(inference_service: Mapping[str, Any]) -> Json:
    """`spec.versionInfo`: the rolled-out revision as the baseline, the latest one as the canary.

    They may be one and the same: the handler does not look. Raises HandlerError if the status names none.
    """
    predictor = ((inference_service.get("status") or {}).get("components") or {}).get("predictor") or {}
    metadata = inference_service["metadata"]
    try:
        rolled_out, created = predictor["latestRolledoutRevision"], predictor["latestCreatedRevision"]
    except KeyError as missing:
        raise HandlerError(f"InferenceService {metadata['name']}: the predictor's status has no {missing}.")
    return {
        "baseline": {"name": BASELINE, "tags": {"revision": rolled_out}},
        "candidates": [
            {
                "name": CANARY,
                "tags": {"revision": created},
                "weightObjRef": {
                    "apiVersion": inference_service["apiVersion"],
                    "kind": inference_service["kind"],
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "fieldPath": WEIGHT_PATH,
                },
            }
        ],
    }


def promoted_percent(experiment: Mapping[str, Any]) -> int:
    """The canary's traffic once the Experiment is over: 100 if the canary is recommended, else 0.

    Raises HandlerError if nothing is recommended: the Experiment ended before its first iteration.
    """
    recommended = (experiment.get("status") or {}).get("recommendedBaseline")
    if not recommended:
        raise HandlerError("The Experiment recommends no baseline; there is nothing to promote.")
    return 100 if recommended == CANARY else 0


def target_of(experiment: Mapping[str, Any]) -> tuple[str, str]:
    """The InferenceService's namespace and name. Raises HandlerError."""
    namespace, _unused, name = experiment["spec"]["target"].partition("/")
    if not namespace or not name or "/" in name:
        raise HandlerError(f"spec.target must be namespace/name, not {experiment['spec']['target']!r}.")
    return namespace, name


class Handlers:
    """The two handlers. Clock and sleep are passed in."""

    def __init__(
        self,
        client: KubeClient,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        log: Callable[[str], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._log = log

    def start(self, namespace: str, name: str) -> None:
        """Give the canary 1 % and the Experiment its versions. Raises HandlerError, ApiError."""
        target = target_of(self._client.get(EXPERIMENTS.path(namespace, name)))
        self._wait(target, lambda isvc: True, _FETCH_SECONDS, "be there")
        self._set_percent(target, 1)
        inference_service = self._wait(target, is_ready, _READY_SECONDS, "be Ready")
        info = version_info(inference_service)
        patch = [{"op": "add", "path": "/spec/versionInfo", "value": info}]
        self._client.patch(EXPERIMENTS.path(namespace, name), patch, JSON_PATCH)
        tags = (info["baseline"]["tags"]["revision"], info["candidates"][0]["tags"]["revision"])
        self._log(f"start: baseline {tags[0]}, canary {tags[1]}")

    def finish(self, namespace: str, name: str) -> None:
        """Promote what the Experiment recommends. Raises HandlerError, ApiError."""
        experiment = self._client.get(EXPERIMENTS.path(namespace, name))
        percent = promoted_percent(experiment)
        target = target_of(experiment)
        self._set_percent(target, percent)
        self._wait(target, is_ready, _READY_SECONDS, "be Ready")
        self._log(f"finish: canaryTrafficPercent {percent}, Ready")

    def _wait(self, target: tuple[str, str], done: Callable[[Json], bool], seconds: float, what: str) -> Json:
        """Poll the InferenceService until `done`."""
        deadline = self._clock() + seconds
        while True:
            found = self._inference_service(target)
            if found is not None and done(found):
                return found
            if self._clock() >= deadline:
                raise HandlerError(
                    f"Waited {seconds:.0f} s for InferenceService {target[0]}/{target[1]} to {what}; "
                    "look at its conditions."
                )
            self._sleep(_POLL_SECONDS)

    def _inference_service(self, target: tuple[str, str]) -> Optional[Json]:
        try:
            return self._client.get(INFERENCE_SERVICES.path(*target))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _set_percent(self, target: tuple[str, str], percent: int) -> None:
        patch = [{"op": "add", "path": WEIGHT_PATH, "value": percent}]
        self._client.patch(INFERENCE_SERVICES.path(*target), patch, JSON_PATCH)
        self._log(f"canaryTrafficPercent of {target[0]}/{target[1]} set to {percent}")


def main(handler: str) -> None:
    """Run the handler `start` or `finish`, and exit."""
    handlers = Handlers(from_environment(), time.monotonic, time.sleep, lambda line: print(line, flush=True))
    work = handlers.start if handler == "start" else handlers.finish
    try:
        work(os.environ["EXPERIMENT_NAMESPACE"], os.environ["EXPERIMENT_NAME"])
    except HandlerError as error:
        sys.exit(str(error))
    except ApiError as error:
        sys.exit(f"The API server: {error}")
