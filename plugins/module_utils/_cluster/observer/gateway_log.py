# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the access logs of a gateway's pods through the API server, as `kubectl logs --follow` does.

While the load runs, since a node keeps but the last megabytes of a log, and nothing of a pod that is gone.
What is missing in the end is seen by the verdict, which counts the lines against the load's own requests.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import Lines
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import Format
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.trimmed_log import Trimmer

from ..client.api import Api, Json
from ..client.errors import ClusterError, Unreachable

LOOK_SECONDS = 1.0
"""How often it is looked for pods that are new, and for a container that was started again."""
SILENCE_SECONDS = 60.0
"""How long a log may say nothing before it is asked for anew: so does a connection that is cut."""
WRITE_SECONDS = 0.2

# A line's own time, in seconds since the epoch and nanoseconds.
Stamp = tuple[int, int]
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z")


@dataclass(frozen=True)
class LogPlace:
    """Where the gateway's pods are. An empty `container` is the pod's only one."""

    namespace: str
    selector: str
    container: str = ""

    def __str__(self) -> str:
        return f"pods {self.selector} in namespace {self.namespace}"


# Where upstream's own manifests and charts put each.
PLACES: Mapping[str, LogPlace] = {
    "istio": LogPlace("istio-system", "app=istio-ingressgateway", "istio-proxy"),
    "istio_text": LogPlace("istio-system", "app=istio-ingressgateway", "istio-proxy"),
    "kourier": LogPlace("kourier-system", "app=3scale-kourier-gateway", "kourier-gateway"),
    "envoy": LogPlace("kourier-system", "app=3scale-kourier-gateway", "kourier-gateway"),
    "envoy_gateway": LogPlace(
        "envoy-gateway-system",
        "app.kubernetes.io/component=proxy,app.kubernetes.io/managed-by=envoy-gateway",
        "envoy",
    ),
    "traefik": LogPlace("traefik", "app.kubernetes.io/name=traefik"),
}


class GatewayLog:
    """Appends what the gateway's pods log of a load's requests to a file, until it is told to end."""

    def __init__(
        self, api: Api, place: LogPlace, form: Format, path: Path, wall: Callable[[], float] = time.time
    ) -> None:
        """`path` takes the lines as JSON; `wall` gives epoch seconds. Raises ClusterError where there is no
        such pod, or its log may not be read."""
        self._api = api
        self._place = place
        self._trimmer = Trimmer(form)
        self._path = path
        self._since = wall()
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._followed: dict[str, threading.Thread] = {}
        self._require()

    def _require(self) -> None:
        pods = self._pods()
        if not pods:
            raise ClusterError(f"There are no running {self._place}: name the gateway's own.")
        with closing(self._open(_name(pods[0]), self._since, follow=False)) as lines:
            for _line in lines:
                break

    def run(self, ended: threading.Event) -> None:
        """Follow until `ended` is set, and write what has come by then. What a full disk does not take is
        kept, and written later."""
        file = Lines(self._path)
        due = 0.0
        while True:
            over = ended.is_set()
            if time.monotonic() >= due and not over:
                self._look(ended)
                due = time.monotonic() + LOOK_SECONDS
            with suppress(OSError):
                file.add(list(self._come()))
            if over:
                return

    def _come(self) -> Iterator[dict[str, Any]]:
        """What came within a moment."""
        with suppress(queue.Empty):
            yield self._lines.get(timeout=WRITE_SECONDS)
            while True:
                yield self._lines.get_nowait()

    def _look(self, ended: threading.Event) -> None:
        try:
            pods = self._pods()
        except ClusterError:
            return  # it is asked again
        for pod in pods:
            name = _name(pod)
            if name not in self._followed:
                thread = threading.Thread(target=self._follow, args=(name, ended), daemon=True)
                self._followed[name] = thread
                thread.start()

    def _pods(self) -> list[Json]:
        path = self._api.resource("v1", "Pod").path(self._place.namespace)
        found: list[Json] = self._api.get(path, {"labelSelector": self._place.selector}).get("items") or []
        return [pod for pod in found if (pod.get("status") or {}).get("phase") == "Running"]

    def _follow(self, pod: str, ended: threading.Event) -> None:
        """Each line once, however often the connection is cut or the container is started again."""
        last: Stamp = (int(self._since) - 1, 0)
        while not ended.is_set():
            try:
                with closing(self._open(pod, last[0], follow=True)) as lines:
                    for line in lines:
                        stamp, _blank, said = line.partition(b" ")
                        now = _stamp(stamp)
                        # `sinceTime` is in whole seconds, so some come again.
                        if now is None or now <= last:
                            continue
                        last = now
                        kept = self._trimmer.cut(said)
                        if kept is not None:
                            self._lines.put(kept)
            except Unreachable:
                pass  # it is asked again
            except ClusterError:
                break  # the pod is gone
            ended.wait(LOOK_SECONDS)
        self._followed.pop(pod, None)

    def _open(self, pod: str, since: float, *, follow: bool) -> Generator[bytes, None, None]:
        path = self._api.resource("v1", "Pod").path(self._place.namespace, pod)
        query = {
            "follow": "true" if follow else "false",
            "timestamps": "true",
            "sinceTime": datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **({"container": self._place.container} if self._place.container else {}),
        }
        return self._api.lines(f"{path}/log", query, SILENCE_SECONDS)


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def _stamp(text: bytes) -> Stamp | None:
    """When a line was written, by RFC 3339 with as many digits as the container runtime gives."""
    found = _STAMP.match(text)
    if found is None:
        return None
    whole, digits, zone = (part.decode() if part else "" for part in found.groups())
    moment = datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))
    return int(moment.timestamp()), int(f"{digits:0<9}")
