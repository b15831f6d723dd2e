# SPDX-License-Identifier: GPL-3.0-or-later
"""Where h2 comes from: this Python's own packages, or an archive that was brought along.

h2, hpack and hyperframe are pure Python. One archive with their sources is what a host that lacks them is
brought, and what a detached job, which runs without anybody's packages, has beside its engine.
"""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import sys
import zipfile
from pathlib import Path

from ..errors import LoadError

PACKAGES = ("h2", "hpack", "hyperframe")
NEEDED = (4, 1)  # of h2, and less than 5
ARCHIVE = "h2.zip"
_BESIDE = Path(__file__).parents[2] / ARCHIVE


class LibraryMissing(LoadError):
    """There is no h2 that can be used; it may be brought."""


def require(archive: str = "") -> None:
    """Make sure that h2 can be imported, from this archive if it is given one. Raises LibraryMissing."""
    for place in filter(os.path.isfile, (str(_BESIDE), archive)):
        if place not in sys.path:
            sys.path.insert(0, place)  # before one of this Python's own, which may be too old
    try:
        version = importlib.import_module("h2").__version__
        importlib.import_module("h2.connection")
    except (ImportError, AttributeError, SyntaxError, TypeError) as error:
        raise LibraryMissing(
            f"gRPC needs the Python package h2 (4.1 or later) where the load runs, for {sys.executable}: "
            f"{error}. Install it there, or on the control node, from which it is brought."
        ) from None
    if not NEEDED <= tuple(int(part) for part in version.split(".")[:2]) < (5, 0):
        raise LibraryMissing(
            f"gRPC needs the Python package h2 from 4.1 to 4.x, and {sys.executable} has {version}."
        )


def archive() -> bytes:
    """The packages as a zip file that Python can import from. Raises LoadError without their sources."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for package in PACKAGES:
            found = importlib.import_module(package)
            names = ["__init__", *sorted(module.name for module in pkgutil.iter_modules(found.__path__))]
            for name in names:
                data = pkgutil.get_data(package, f"{name}.py")
                if data is None:
                    raise LoadError(f"The sources of the Python package {package} cannot be read.")
                # Always of the same date, so that the same sources make the same archive.
                made.writestr(zipfile.ZipInfo(f"{package}/{name}.py"), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()
