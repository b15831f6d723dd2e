# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module rollout_report does: every format, from one reading of the material, written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import require_own_folder

from .files import ArtefactError, write_whole
from .formats.junit import junit
from .formats.markdown import markdown
from .formats.openmetrics import openmetrics
from .formats.page import page
from .material import Material, gather

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
    try:
        require_own_folder(dest)
    except OSError as error:
        raise ArtefactError(f"dest: {error.strerror}. Name a folder of your own.") from None
    material = gather(params)
    changed = False
    files = {}
    for name, write in WRITERS.items():
        content = write(material)
        files[name] = os.path.join(dest, name)
        if not check_mode:
            changed = write_whole(files[name], content) or changed
    return {
        "changed": changed,
        "files": files,
        "verdict": material.grade,
        "summary": material.verdict["summary"],
    }
