# SPDX-License-Identifier: GPL-3.0-or-later
"""Speaking with the generators in pods, through the API server alone: an annotation there, the log back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.lines import Log

from ..client.api import Api, Json
from ..client.errors import BadRequest, NotFound
from ..concurrently import at_once
from .objects import CONTAINER, CONTROL, LOAD_LABEL, job_name
from .pods import Pod, generators

SILENCE_SECONDS = 30.0
PROXY_SECONDS = 2.0
RECENT_LINES = 40
"""So many of a log have what its generator said last of everything that it says but once in a while."""


class Talk:
    """The pods of one load. `wall` gives epoch seconds."""

    def __init__(
        self,
        api: Api,
        load: str,
        namespace: str,
        *,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.api = api
        self.name = job_name(load)
        self.namespace = namespace
        self.wall = wall
        self.sleep = sleep

    def generator(self, index: int) -> str:
        """What one is called: its pod's host name, which is the same in every run."""
        return f"{self.name}-{index}"

    def job(self) -> Optional[Json]:
        """The Job; None where there is none."""
        return self.object("batch/v1", "Job")

    def object(self, api_version: str, kind: str) -> Optional[Json]:
        """One of the load's objects; None where it is not there."""
        try:
            return self.api.get(self.api.resource(api_version, kind).path(self.namespace, self.name))
        except NotFound:
            return None

    def pods(self, job: Json) -> list[Optional[Pod]]:
        """Each generator's pod, None where there is none (any more)."""
        path = self.api.resource("v1", "Pod").path(self.namespace)
        listed = self.api.get(path, {"labelSelector": f"{LOAD_LABEL}={self.name}"})
        return generators(listed.get("items") or [], job["metadata"]["uid"], int(job["spec"]["completions"]))

    def tell(self, pod: Pod, **told: Any) -> Pod:
        """Tells a generator more, beside what it was told before; returns the pod as it is then.

        The pod's UID goes along, so that no other of its name is ever told. Raises NotFound or Conflict.
        """
        control = {**pod.control, **told}
        metadata = {"uid": pod.uid, "annotations": {CONTROL: json.dumps(control)}}
        self.api.merge(self._path(pod), {"metadata": metadata})
        return replace(pod, control=control)

    def time_of(self, pod: Pod, port: int) -> float:
        """What time it is where the generator runs, in epoch seconds, by a connection to its pod."""
        path = f"{self._path(pod)}:{port}/proxy/"
        return float(self.api.with_time_limit(PROXY_SECONDS).get(path)["time"])

    def hear(self, pod: Pod, last: int = 0) -> Log:
        """What a generator has said, or its `last` lines; nothing where its log is not there (any more)."""
        heard = Log()
        query = {"container": CONTAINER, **({"tailLines": str(last)} if last else {})}
        try:
            with closing(self.api.lines(f"{self._path(pod)}/log", query, SILENCE_SECONDS)) as lines:
                for line in lines:
                    heard.hear(line)
        except (NotFound, BadRequest):  # 400: its container waits
            pass
        return heard

    def hear_all(self, pods: Sequence[Optional[Pod]], last: int = 0) -> list[Log]:
        """Of each what it has said; nothing of those that are gone."""
        return at_once(lambda pod: self.hear(pod, last) if pod is not None else Log(), pods)

    def _path(self, pod: Pod) -> str:
        return self.api.resource("v1", "Pod").path(self.namespace, pod.name)
