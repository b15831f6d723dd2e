# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx, wrk and hey: from PATH, else Debian's packages unpacked into the cache, which needs no root."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.debian.apt import Apt

NEEDED = ("nginx", "wrk", "hey")
PACKAGES = ["nginx", "wrk", "hey", "libluajit-5.1-2", "libluajit-5.1-common", "libpcre2-8-0", "libssl3"]
_FOLDERS = ("usr/bin", "usr/sbin")


@dataclass
class Programs:
    """Where the programs are, and the environment that they need. `fortio` is only there if it is on PATH."""

    paths: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "iter8-kfserving" / "bench"


def _find(folder: Path) -> dict[str, str]:
    """The needed programs on PATH (with sbin, where users do not look) and in the unpacked packages."""
    path = os.pathsep.join(
        [os.environ.get("PATH", ""), "/usr/sbin", *(str(folder / "debian" / part) for part in _FOLDERS)]
    )
    found = {name: shutil.which(name, path=path) for name in (*NEEDED, "fortio")}
    return {name: place for name, place in found.items() if place}


def obtain() -> Programs:
    """Find the programs, unpacking what is missing. Raises BinariesError if they cannot be had."""
    folder = _cache()
    paths = _find(folder)
    if not all(name in paths for name in NEEDED):
        print("bench: fetching nginx, wrk and hey from Debian", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            apt = Apt(Path(scratch))
            apt.update()
            apt.unpack(PACKAGES, Path(scratch) / "root")
            # In one step, so that a run that is broken off leaves no half of it.
            shutil.rmtree(folder / "debian", ignore_errors=True)
            (Path(scratch) / "root").rename(folder / "debian")
        paths = _find(folder)
    libraries = [str(path.parent) for path in (folder / "debian").glob("usr/lib/*/lib*.so*")]
    environment = dict(os.environ)
    if libraries:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(sorted(set(libraries)))
    return Programs(paths, environment)
