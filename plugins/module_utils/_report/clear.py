# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting the artefacts of an earlier run: those that carry the mark of this collection, and no others."""

from __future__ import annotations

import os
import re
from typing import Any

from .files import ArtefactError

# As the API server had it, not as a manifest has it; or nothing, where it could not be fetched.
_OBJECT = re.compile(rb'\A\{\}\s*\Z|"uid": "')

# What a run leaves, each with what tells it from a file of that name that somebody else wrote.
MARKS = {
    "verdict.json": re.compile(rb'\A\{\s*"schema": \d+,\s*"verdict": '),
    "load.json": re.compile(rb'"Version": "iter8\.kfserving '),
    "observations.jsonl": re.compile(rb'\A\Z|\A\{"time": [0-9.]+, ("feed"|"type"): '),
    "gateway.jsonl": re.compile(rb'\A\Z|\A\{"request_id": '),
    "timeline.jsonl": re.compile(rb'\A\Z|\A\{"time": [0-9.]+, "source": '),
    "experiment.json": _OBJECT,
    "inferenceservice.json": _OBJECT,
    "driver.json": re.compile(rb'\A\{\}\s*\Z|"rollback_seconds": '),
    "report.html": re.compile(rb'<meta name="generator" content="iter8\.kfserving'),
    "junit.xml": re.compile(rb'<testsuites name="iter8\.kfserving'),
    "metrics.txt": re.compile(rb"\A# TYPE rollout_verdict "),
    "summary.json": re.compile(rb'\A\{\s*"schema": \d+,\s*"verdict": '),
    "summary.md": re.compile(rb"^Written by iter8\.kfserving\.$", re.MULTILINE),
}


def clear(folder: str, check_mode: bool = False) -> dict[str, Any]:
    """The module's result: `files` that were, or would be, deleted by name and path.

    :raises ArtefactError: where a file of such a name is not this collection's: nothing is deleted then.
    """
    files: dict[str, str] = {}
    foreign: list[str] = []
    for name, mark in MARKS.items():
        path = os.path.join(folder, name)
        try:
            with open(path, "rb") as file:
                ours = mark.search(file.read()) is not None
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ArtefactError(f"{path} cannot be read: {error.strerror}.") from None
        if ours:
            files[name] = path
        else:
            foreign.append(name)
    if foreign:
        raise ArtefactError(
            f"{folder} has {', '.join(sorted(foreign))}, which no run of this collection wrote and this one "
            "would write over. Nothing was changed; move it, or name another folder with "
            "-e iter8_kfserving_artifacts=DIR (make: ARTIFACTS=DIR)."
        )
    if not check_mode:
        for path in files.values():
            try:
                os.unlink(path)
            except OSError as error:
                raise ArtefactError(f"{path} cannot be deleted: {error.strerror}.") from None
    return {"changed": bool(files), "files": files}
