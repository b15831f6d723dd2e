# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cache has; what it does not have yet is built into it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache

from .golang import Build, Recipe, Report

CONTAINERS = "containers"
# Sources, compiled packages and programs at their largest.
_ROOM_MEGABYTES = 14000
_SOURCE = Path(__file__).resolve().parent.parent / CONTAINERS


def cache_folder() -> Path:
    """Where the programs are kept: beside those of the sandbox."""
    return paths.cache_dir() / "real"


def entries(where: Path, recipes: Iterable[Recipe]) -> dict[str, Path]:
    """The folder of each recipe's programs by its name, there or not, and that of our own for containers."""
    sources = sorted(path for path in _SOURCE.rglob("*") if path.suffix in (".go", ".mod"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    versions = {recipe.name: recipe.version for recipe in recipes} | {CONTAINERS: digest}
    return {name: where / f"{name}-{version}-linux-amd64" for name, version in versions.items()}


def built(recipes: Iterable[Recipe], report: Report, where: Path) -> dict[str, Path]:
    """As `entries`; what is missing is built, an entry as a whole. Raises BuildError, BinariesError."""
    wanted = list(recipes)
    folders = entries(where, wanted)
    with cache.locked(where, report):
        missing = [recipe for recipe in wanted if not folders[recipe.name].is_dir()]
        ours = not folders[CONTAINERS].is_dir()
        if not missing and not ours:
            return folders
        shared = where / "go"
        shared.mkdir(exist_ok=True)
        if missing:
            cache.require_room(where, _ROOM_MEGABYTES, "build the cluster", "set XDG_CACHE_HOME elsewhere")
        with cache.preparing(where) as folder:
            build = Build(folder, shared, report)
            if ours:
                os.rename(build.own(CONTAINERS, _SOURCE), folders[CONTAINERS])
            for recipe in missing:
                os.rename(build.programs(recipe), folders[recipe.name])
        if os.environ.get("REAL_KEEP_SOURCES") != "1":
            shutil.rmtree(shared)
    return folders
