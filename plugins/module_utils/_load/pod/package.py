# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as one file that a bare Python runs in a pod."""

from __future__ import annotations

import io
import zipfile

from .. import pod
from ..http2 import library
from ..job import job, package
from ..job.package import PARTS, sources
from . import generator, lines

# Beside the engine what sees to it on the spot, as `job` does on a host.
_POD_PARTS = (*PARTS, job, package, pod, generator, lines)
_MAIN = b"""\
import os
import pathlib
import sys

from engine._load.pod.generator import main

folder, index = pathlib.Path(sys.argv[1]), int(os.environ["JOB_COMPLETION_INDEX"])
sys.exit(main(folder, index, os.environ.get("POD_IP") or "127.0.0.1"))
"""


def zipped(http2_too: bool = False) -> bytes:
    """A zip file that Python can run, with the pod's folder as its argument. The same sources make the same
    file. With `http2_too` the library for HTTP/2 is in it. Raises LoadError if a part cannot be read."""
    # Within an archive Python finds no package that has no file of its own.
    files = {"__main__.py": _MAIN, "engine/__init__.py": b"", **dict(sources(_POD_PARTS))}
    if http2_too:
        with zipfile.ZipFile(io.BytesIO(library.archive())) as brought:
            files.update({name: brought.read(name) for name in brought.namelist()})
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()
