# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a file of what Prometheus is to scrape, beside it: `python3 -m …_sandbox.monitoring.main targets`.

That is each running pod with the annotation `prometheus.io/scrape: "true"`, at the port that the annotation
`prometheus.io/port` names. Its environment: KUBECONFIG, VOLUME_TARGETS (the folder of the file).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

from ..kube.client import from_environment
from ..kube.reflector import Reflector
from ..kube.resources import PODS

Json = dict[str, Any]

FILE_NAME = "targets.json"


def target(pod: Mapping[str, Any]) -> Optional[Json]:
    """A pod as an entry of Prometheus' file-based discovery, or None if it is not to be scraped."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    annotations = metadata.get("annotations") or {}
    port = annotations.get("prometheus.io/port", "")
    if annotations.get("prometheus.io/scrape") != "true" or not port.isdecimal():
        return None
    if status.get("phase") != "Running" or not status.get("podIP"):
        return None
    labels = {"namespace": metadata["namespace"], "pod": metadata["name"]}
    revision = (metadata.get("labels") or {}).get("serving.knative.dev/revision")
    if revision:
        labels["revision"] = revision
    return {"targets": [f"{status['podIP']}:{port}"], "labels": labels}


class Targets:
    """The entries of all pods; `write` gets the file's text whenever it is another."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._entries: dict[str, Json] = {}
        self._written: Optional[str] = None

    def listed(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """These are all pods there are."""
        self._entries = {}
        for pod in pods:
            self._keep(pod)
        self._save()

    def changed(self, event: str, pod: Mapping[str, Any]) -> None:
        """A pod was ADDED, MODIFIED or DELETED."""
        self._entries.pop(pod["metadata"]["uid"], None)
        if event != "DELETED":
            self._keep(pod)
        self._save()

    def _keep(self, pod: Mapping[str, Any]) -> None:
        entry = target(pod)
        if entry:
            self._entries[pod["metadata"]["uid"]] = entry

    def _save(self) -> None:
        entries = sorted(self._entries.values(), key=lambda entry: str(entry["targets"]))
        text = json.dumps(entries, indent=1)
        if text != self._written:
            self._write(text)
            self._written = text


def _log(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Run until a signal ends the process."""
    path = Path(os.environ["VOLUME_TARGETS"]) / FILE_NAME

    def write(text: str) -> None:
        write_atomically(path, text, mode=0o644, durable=False)
        _log(f"targets: {' '.join(entry['targets'][0] for entry in json.loads(text)) or 'none'}")

    targets = Targets(write)
    Reflector(from_environment(), PODS.path(), targets.listed, targets.changed, _log).run()
