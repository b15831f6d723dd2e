# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a driver looks at, at one moment."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Measured, Pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.window import Counted
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.pod import is_ready
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import (
    entries,
    mapping,
    number,
    text,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import KNATIVE, STANDARD
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen

from ..client.api import Api, Json, find
from ..client.errors import ClusterError, Forbidden, NotFound

_REVISION_LABEL = "serving.knative.dev/revision"
_ROUTES = "gateway.networking.k8s.io/v1"
_REVISIONS = "serving.knative.dev/v1"
# The old revision is not going to vanish from one second to the next: it is collected after hours.
REVISION_SECONDS = 10.0
# A warning says at length what all it wraps; and an update of the status that came too late is tried again.
_WARNING_LENGTH = 400
_NO_PROBLEM = ("InferenceServiceNotReady", "UpdateFailed")


class Looker:
    """Looks at an InferenceService and what belongs to it."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        api_version: str,
        clock: Callable[[], float],
        load: Callable[[], Counted | None],
    ) -> None:
        """Raises UnknownKind where the InferenceService's API is not served."""
        self._api = api
        self._namespace, self._name = namespace, name
        self.path = api.resource(api_version, "InferenceService").path(namespace, name)
        self._clock = clock
        self._load = load
        self._restarts: dict[tuple[str, str], tuple[int, str]] = {}
        self._baseline: tuple[float, bool | None] | None = None
        self._known_warnings: dict[str, str] | None = None

    def look(
        self,
        mode: str,
        canary: str,
        baseline: str,
        measured: Mapping[str, Measured] | None = None,
        warnings: bool = False,
    ) -> Seen:
        """What there is now. ``mode`` is empty while unknown, ``canary`` while there is none. ``warnings`` is
        whether to ask for KServe's as well.

        Without the InferenceService nothing can be done, so that error is raised. What else cannot be seen is
        said to be so: a rollout can be turned back all the same."""
        obj = find(self._api, self.path)
        route, deployments, unseen = self._standard(obj) if mode == STANDARD else (None, {}, "")
        selector = f"{_REVISION_LABEL}={canary}" if mode == KNATIVE else _selector(deployments.get(canary))
        return Seen(
            inferenceservice=obj,
            route=route,
            deployments=deployments,
            baseline_there=self._baseline_there(baseline) if mode == KNATIVE and baseline else None,
            pods=self._pods(selector) if canary and selector else Pods(),
            counted=self._load(),
            measured=measured or {},
            warnings=self._new_warnings() if warnings else (),
            unseen=unseen,
        )

    def forget_warnings(self) -> None:
        """What was warned of until now is about what was before. To be called before a patch."""
        rows = self._warnings()
        self._known_warnings = {uid: version for uid, version, _text in rows} if rows is not None else None

    def _new_warnings(self) -> tuple[str, ...]:
        """By their versions, not by time: the clocks may differ, and an event that is said again has the age
        of the first time."""
        rows = self._warnings()
        if rows is None:
            return ()
        if self._known_warnings is None:
            self._known_warnings = {uid: version for uid, version, _text in rows}
        known = self._known_warnings
        return tuple(text_ for uid, version, text_ in rows if known.get(uid) != version)

    def _warnings(self) -> list[tuple[str, str, str]] | None:
        """(uid, version, what it says) of each warning about the InferenceService, the newest one last. None
        where they cannot be had: they only explain."""
        about = f"involvedObject.kind=InferenceService,involvedObject.name={self._name},type=Warning"
        path = self._api.resource("v1", "Event").path(self._namespace)
        try:
            rows = self._api.get(path, {"fieldSelector": about}).get("items") or []
        except ClusterError:
            return None
        rows.sort(key=lambda row: str(row.get("lastTimestamp") or row.get("eventTime") or ""))
        return [
            (
                text(mapping(row, "metadata"), "uid"),
                text(mapping(row, "metadata"), "resourceVersion"),
                " ".join(text(row, "message").split())[:_WARNING_LENGTH],
            )
            for row in rows
            if text(row, "reason") not in _NO_PROBLEM
        ]

    def _standard(self, obj: Json | None) -> tuple[Json | None, dict[str, Json], str]:
        """(the route, the Deployments, why they cannot be seen)."""
        try:
            return self._route(obj), self._deployments(), ""
        except ClusterError as error:
            return None, {}, f"the split cannot be seen: {error}"

    def _route(self, obj: Json | None) -> Json | None:
        """The HTTPRoute by which clients come: that of the host in the status, else the one of its name."""
        host = urllib.parse.urlsplit(text(mapping(obj, "status"), "url")).hostname or ""
        found = None
        for name in (f"{self._name}-predictor", self._name):
            try:
                path = self._api.resource(_ROUTES, "HTTPRoute").path(self._namespace, name)
                route = find(self._api, path)
            except NotFound:
                return None
            if route is not None:
                found = route
                if host in (route.get("spec") or {}).get("hostnames", []):
                    return route
        return found

    def _deployments(self) -> dict[str, Json]:
        path = self._api.resource("apps/v1", "Deployment").path(self._namespace)
        rows = self._api.get(path).get("items") or []
        return {str(row["metadata"]["name"]): row for row in rows if self._owns(row)}

    def _owns(self, row: Json) -> bool:
        owners = entries(row, "metadata", "ownerReferences")
        return any((one.get("kind"), one.get("name")) == ("InferenceService", self._name) for one in owners)

    def _baseline_there(self, revision: str) -> bool | None:
        if self._baseline is not None and self._clock() - self._baseline[0] < REVISION_SECONDS:
            return self._baseline[1]
        there: bool | None = None
        try:
            path = self._api.resource(_REVISIONS, "Revision").path(self._namespace, revision)
            there = find(self._api, path) is not None
        except (NotFound, Forbidden):
            there = None
        except ClusterError:
            # Most likely as before; asked again at the next look.
            return self._baseline[1] if self._baseline else None
        self._baseline = (self._clock(), there)
        return there

    def _pods(self, selector: str) -> Pods:
        path = self._api.resource("v1", "Pod").path(self._namespace)
        rows: list[Json] = []
        problem = ""
        try:
            rows = self._api.get(path, {"labelSelector": selector}).get("items") or []
        except ClusterError as error:
            problem = str(error)
        alive = [row for row in rows if not text(mapping(row, "metadata"), "deletionTimestamp")]
        for row in rows:
            self._note_restarts(row)
        reasons: dict[str, int] = {}
        for count, why in self._restarts.values():
            if count:
                reasons[why] = reasons.get(why, 0) + count
        restarts = sum(count for count, _why in self._restarts.values())
        return Pods(len(alive), sum(is_ready(row) for row in alive), restarts, reasons, problem)

    def _note_restarts(self, pod: Mapping[str, Any]) -> None:
        uid = text(mapping(pod, "metadata"), "uid")
        for status in entries(pod, "status", "containerStatuses"):
            ended = mapping(status, "lastState", "terminated") or mapping(status, "state", "terminated")
            key = (uid, text(status, "name"))
            before = self._restarts.get(key, (0, ""))
            count = max(before[0], number(status, "restartCount"))
            self._restarts[key] = (count, text(ended, "reason") or before[1] or "unknown")


def _selector(deployment: Mapping[str, Any] | None) -> str:
    labels = mapping(deployment, "spec", "selector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
