# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests read from files, addresses, mirrors and kustomize, each held against its checksum.

Whatever is wrong with any of them is a problem in words; all are collected, so that a user learns them at
once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import expanded

from .steps import Json, ManifestSource, shown

try:
    import yaml
except ImportError:
    # The client of Kubernetes needs it, too, and that one is missing then is said before anything is read.
    yaml = None  # type: ignore[assignment]

SECONDS = 30
# KServe 0.21's is about 8 MB.
LARGEST_BYTES = 128 * 1024 * 1024

Run = Callable[[list[str]], "tuple[int, str, str]"]

_LEFT_AS_STRINGS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
_Base: Any = getattr(yaml, "CSafeLoader", getattr(yaml, "SafeLoader", object))


class _Loader(_Base):  # type: ignore[misc]
    """YAML as Kubernetes reads it: a date is a string, and so are a time of day (10:30, to the base of 60
    elsewhere) and the ``=`` in the enumerations of CRDs."""


_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _LEFT_AS_STRINGS]
    for first, resolvers in getattr(_Base, "yaml_implicit_resolvers", {}).items()
}
# The first that fits counts, whatever stands behind it.
for _digit in "-+0123456789":
    _Loader.yaml_implicit_resolvers.get(_digit, []).insert(0, ("tag:yaml.org,2002:str", _BASE_60))


class SourceError(Exception):
    """What is wrong with one source, as a sentence."""


@dataclass
class Reader:
    """Reads sources. ``folder`` and ``mirror`` hold files under ``<host>/<path>`` of their addresses, as
    ``wget --force-directories`` lays them; the one or the other takes the place of the addresses.

    ``checksums`` are SHA-256 by address or file as the steps name them; an empty one takes a check away.
    ``run`` runs a program: (exit status, standard output, standard error).
    """

    run: Run
    folder: str = ""
    mirror: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    # Those whose bytes were held against a checksum, and those for which none is known.
    verified: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)

    def objects(self, source: ManifestSource) -> list[Json]:
        """The objects in the source, in its order; SourceError for what cannot be used."""
        data, where = self._bytes(source)
        self._verify(source, data, where)
        return parsed(data, where)

    def _bytes(self, source: ManifestSource) -> tuple[bytes, str]:
        if source.kustomize:
            return self._kustomized(source.kustomize)
        if source.file:
            return _file(source.file), source.file
        if self.folder:
            path = os.path.join(self.folder, below(source.url))
            return _file(path, f"{source} is to be read from {path}: "), path
        address = f"{self.mirror.rstrip('/')}/{below(source.url)}" if self.mirror else source.url
        return fetched(address), shown(address)

    def _kustomized(self, named: str) -> tuple[bytes, str]:
        target = os.path.join(self.folder, below(f"https://{named}")) if self.folder else named
        programs = (["kustomize", "build"], ["kubectl", "kustomize"])
        program = next((each for each in programs if shutil.which(each[0])), None)
        where = f"kustomize build {shown(target, queries=True)}"
        if program is None:
            raise SourceError(
                f"{where}: neither kustomize nor kubectl is installed here. Install one of them."
            )
        status, output, errors = self.run([*program, target])
        if status:
            message = (errors.strip() or output.strip() or f"exit status {status}").splitlines()[-1][:300]
            raise SourceError(f"{where} failed: {shown(message, queries=True)}")
        return output.encode(), where

    def _verify(self, source: ManifestSource, data: bytes, where: str) -> None:
        if source.kustomize:
            self.unverified.append(str(source))
            return
        # An address may have its checksum as it is shown, too: messages have it so.
        by_hand = self.checksums.get(source.named, self.checksums.get(str(source), source.sha256))
        wanted = str(by_hand or "").lower()
        if not wanted:
            if not source.file:
                self.unverified.append(str(source))
            return
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise SourceError(
                f"{where} is not the file that is meant: its SHA-256 is {found}, not {wanted}. Fetch it "
                f"anew, or name its checksum, once you trust it, under {source} in the checksums."
            )
        self.verified.append(str(source))


def below(url: str) -> str:
    """Where a folder or a mirror has what an address names: ``<host>/<path>``."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}/{parts.path.lstrip('/')}".rstrip("/")


def _file(path: str, before: str = "") -> bytes:
    try:
        with open(expanded(path), "rb") as file:
            return _not_too_large(file.read(LARGEST_BYTES), path)
    except OSError as error:
        raise SourceError(f"{before}{path} cannot be read: {error.strerror}.") from None


def fetched(url: str) -> bytes:
    """The body at an address; SourceError for every answer but a whole 200, or none within 30 s of
    silence."""
    where = shown(url)
    try:
        with open_url(url, timeout=SECONDS, http_agent="iter8.kfserving", follow_redirects="safe") as answer:
            landed = str(answer.geturl())
            data = bytes(answer.read(LARGEST_BYTES))
            # A read that is limited ends without an error where the connection does (http.client).
            left = getattr(answer, "length", None)
    except HTTPError as error:
        raise SourceError(f"{where} was answered {error.code} {error.reason}.") from None
    except URLError as error:
        raise SourceError(f"{where} cannot be reached: {error.reason}.") from None
    # What the library raises beside these differs between releases of Ansible and Python.
    except Exception as error:  # noqa: BLE001
        raise SourceError(f"{where} cannot be read: {shown(str(error))}.") from None
    if urlsplit(url).scheme == "https" != urlsplit(landed).scheme:
        # Whoever stands in between could write what is applied with the user's rights.
        raise SourceError(
            f"{where} leads to an address without TLS, {shown(landed)}. Name one that does not."
        )
    _not_too_large(data, where)
    if left:
        raise SourceError(f"{where} was cut off: of its bytes {left} are missing. Try again.")
    return data


def _not_too_large(data: bytes, where: str) -> bytes:
    if len(data) >= LARGEST_BYTES:
        raise SourceError(f"{where} is larger than any manifests are ({LARGEST_BYTES >> 20} MiB).")
    return data


_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)


def parsed(data: bytes, where: str) -> list[Json]:
    """The objects in the bytes of a file of manifests, Lists opened; SourceError for anything else."""
    if _HTML.match(data):
        raise SourceError(
            f"{where} is a page of HTML, not manifests: is the address right, and no login needed?"
        )
    try:
        documents = list(yaml.load_all(data, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}" if mark else ""
        raise SourceError(f"{where} is no YAML: {error.problem}{place}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{where} is no YAML: {str(error).splitlines()[0]}.") from None
    found: list[Json] = []
    for number, document in enumerate(documents, 1):
        if document is not None:
            place = f"{where}, document {number}"
            found += _objects(_as_json(document, place), place)
    if not found:
        raise SourceError(f"{where} holds no object.")
    return found


def _as_json(document: Any, where: str) -> Any:
    """The document as an API server will read it: aliases, which are one value in several places, apart."""
    try:
        return json.loads(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        reason = "it contains itself" if isinstance(error, RecursionError) else str(error)
        raise SourceError(f"{where}: no Kubernetes object, for JSON has no such value: {reason}.") from None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _objects(document: Any, where: str) -> list[Json]:
    if not (
        isinstance(document, dict) and _is_text(document.get("kind")) and _is_text(document.get("apiVersion"))
    ):
        raise SourceError(f"{where}: no Kubernetes object, for it lacks apiVersion or kind.")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        return [each for item in document["items"] for each in _objects(item, where)]
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not _is_text(metadata.get("name")):
        raise SourceError(f"{where} ({document['kind']}) has no metadata.name, so it cannot be owned.")
    if not isinstance(metadata.get("labels") or {}, dict) or not isinstance(
        metadata.get("namespace") or "", str
    ):
        raise SourceError(
            f"{where} ({document['kind']}): its labels are no mapping, or its namespace no text."
        )
    return [document]


def read_all(
    reader: Reader, steps: Sequence[tuple[str, Sequence[ManifestSource]]]
) -> tuple[list[list[Json]], list[str]]:
    """The objects of each step (name, sources), and everything that is wrong with any source, as
    sentences."""
    problems: list[str] = []
    found: list[list[Json]] = []
    for name, sources in steps:
        objects: list[Json] = []
        for source in sources:
            try:
                objects += reader.objects(source)
            except SourceError as error:
                problems.append(f"{name}: {error}")
        found.append(objects)
    return found, problems
