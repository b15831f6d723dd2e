# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module rollout_report does: every format, from one reading of the material, written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from .files import ArtefactError, require_dest, write_all
from .formats.junit import junit
from .formats.markdown import markdown
from .formats.openmetrics import openmetrics
from .formats.page import page
from .material import UNSHOWN, Material, gather

WRITERS: dict[str, Callable[[Material], str]] = {
    "report.html": page,
    "junit.xml": junit,
    "metrics.txt": openmetrics,
    "summary.md": markdown,
}


def publish(params: Mapping[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """The module's result. `params` are the module's parameters.

    :raises ArtefactError: where a path cannot be meant, or `dest` is no folder that can be written.
    """
    dest = params["dest"]
    if not os.path.isdir(dest):
        raise ArtefactError(f"dest: {dest} is not a folder. Create it first, or name another.")
    require_dest(dest)
    material = gather(params)
    try:
        contents = _written(material)
    except UNSHOWN:
        # Something in the verdict is not what it is to be, so it is damaged, and the evidence tells anew.
        material = gather({**params, "verdict": None})
        contents = _written(material)
    changed, files = write_all(dest, contents, check_mode)
    return {
        "changed": changed,
        "files": files,
        "verdict": material.grade,
        "summary": material.verdict["summary"],
    }


def _written(material: Material) -> dict[str, str]:
    return {name: write(material) for name, write in WRITERS.items()}
