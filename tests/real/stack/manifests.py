# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's manifests, with what must be otherwise here: no image is pulled, small requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REQUEST = {"cpu": "10m", "memory": "20Mi"}
_HEAD = re.compile(r"^kind: (?P<kind>\S+)$|^  name: (?P<name>\S+)$", re.MULTILINE)


def read(paths: Iterable[Path], wanted: Callable[[str, str], bool] = lambda _kind, _name: True) -> list[Json]:
    """The documents of these files whose kind and name are wanted.

    Parsing takes a second for each megabyte, so a document's head is looked at before.
    """
    found = []
    for path in paths:
        for text in re.split(r"^---.*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            head: dict[str, str] = {}
            for match in _HEAD.finditer(text):
                for key, value in match.groupdict().items():
                    if value is not None:
                        head.setdefault(key, value)
            if "kind" in head and wanted(head["kind"], head.get("name", "")):
                document = yaml.load(text, Loader=_LOADER)
                if document:
                    found.append(document)
    return found


def _pod_specs(documents: Iterable[Json]) -> Iterator[Json]:
    for document in documents:
        if document["kind"] in ("Deployment", "DaemonSet"):
            yield document["spec"]["template"]["spec"]


def use_what_is_there(documents: Iterable[Json]) -> None:
    """No image is ever pulled, and two cores are to do: ask for little, and limit no CPU, which would slow
    the start."""
    for spec in _pod_specs(documents):
        for container in spec["containers"]:
            container["imagePullPolicy"] = "Never"
            limits = container.get("resources", {}).get("limits", {})
            memory = {"memory": limits["memory"]} if "memory" in limits else {}
            container["resources"] = {"requests": dict(_REQUEST), "limits": memory}
