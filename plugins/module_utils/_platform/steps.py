# SPDX-License-Identifier: GPL-3.0-or-later
"""What a platform is made of: steps, each with its sources, what tells its version, and its workloads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
_USER = re.compile(r"(?<=//)[^/?#\s]*@")
_QUERY = re.compile(r"[?#]\S*")


def shown(text: str, *, queries: bool = False) -> str:
    """An address, or a text with addresses, as messages and results may have it: without user, password and
    (but for ``queries``, where it names a version) query, any of which may let its reader in."""
    text = _USER.sub("", text)
    return text if queries else _QUERY.sub("", text)


@dataclass(frozen=True)
class ManifestSource:
    """Where manifests are read from: exactly one of a file, a URL and a folder or repository for kustomize.

    ``sha256`` is that of the file's bytes, in hexadecimal; empty where none is known. As a string it is fit
    to be shown; ``named`` is as the step names it.
    """

    file: str = ""
    url: str = ""
    kustomize: str = ""
    sha256: str = ""

    @property
    def named(self) -> str:
        """The file or address; what kustomize builds is named by its folder or repository."""
        return self.file or self.url or self.kustomize

    def __str__(self) -> str:
        return self.file or shown(self.url) or f"kustomize build {shown(self.kustomize, queries=True)}"


@dataclass(frozen=True)
class Detect:
    """The object by which a step is known to be there, and where it says its version.

    ``by`` is ``image`` (of its first container), or a label or an annotation of its own, as in
    ``label:app.kubernetes.io/version``.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    by: str = "image"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass
class PlatformStep:
    """One step; ``namespace`` is that of objects which need one and name none. Without sources and
    definitions it only asks for what ``detect`` names, and ``hint`` says how a user gets that."""

    name: str
    sources: list[ManifestSource] = field(default_factory=list)
    definitions: list[Json] = field(default_factory=list)
    edits: list[Json] = field(default_factory=list)
    workloads: list[dict[str, str]] = field(default_factory=list)
    namespace: str = ""
    detect: Detect | None = None
    hint: str = ""

    @property
    def required(self) -> bool:
        """Whether the user has to bring it."""
        return not self.sources and not self.definitions


def steps_of(params: Iterable[Mapping[str, Any]]) -> list[PlatformStep]:
    """The steps as the module's option names them, validated by its argument spec."""
    return [
        PlatformStep(
            name=str(one["name"]),
            sources=[ManifestSource(**_given(source)) for source in one.get("sources") or []],
            definitions=[dict(each) for each in one.get("definitions") or []],
            edits=[dict(each) for each in one.get("edits") or []],
            workloads=[dict(each) for each in one.get("workloads") or []],
            namespace=str(one.get("namespace") or ""),
            detect=Detect(**_given(one["detect"])) if one.get("detect") else None,
            hint=str(one.get("hint") or ""),
        )
        for one in params
    ]


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def version_of(obj: Mapping[str, Any], by: str) -> str:
    """What an object says of its version; empty where it says nothing."""
    how, _colon, key = by.partition(":")
    metadata = obj.get("metadata") or {}
    if how == "label":
        return str((metadata.get("labels") or {}).get(key) or "")
    if how == "annotation":
        return str((metadata.get("annotations") or {}).get(key) or "")
    template = ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = template.get("containers") or [{}]
    return str(containers[0].get("image") or "")
