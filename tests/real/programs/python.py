# SPDX-License-Identifier: GPL-3.0-or-later
"""An image with the Python that runs this, its standard library, and the libraries of both."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from . import images

# Parts of the standard library that no load asks for, and folders of other packages.
_LEFT_OUT = frozenset(
    {
        "__pycache__",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "site-packages",
        "dist-packages",
        "test",
        "tkinter",
        "turtledemo",
    }
)
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def image() -> str:
    """Its name."""
    return images.name("python", f"{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}")


def write(target: Path) -> None:
    """Write the image: everything lies where it does here, by which Python finds it."""
    program = Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
    home = Path(sys.base_prefix) / "lib" / Path(sysconfig.get_path("stdlib")).name
    library = [
        path
        for path in home.rglob("*")
        if path.is_file()
        and not _LEFT_OUT & set(path.relative_to(home).parts)
        and not path.match("config-*/*")
    ]
    shared = [program, *(path for path in library if path.suffix == ".so")]
    files = [program, *library]
    links = {"/usr/local/bin/python3": str(program)}
    for name in sorted({found for path in shared for found in _libraries(path)}):
        real = Path(os.path.realpath(name))
        files.append(real)
        if str(real) != name:
            links[name] = str(real)
    images.write_files(target, image(), files, links)


def _libraries(program: Path) -> list[str]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return _LIBRARY.findall(said)
