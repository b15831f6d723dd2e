# SPDX-License-Identifier: GPL-3.0-or-later
"""Files written whole, and lines appended whole: a reader never sees a part of either."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, data: str | bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Put a whole file with `data` (text as UTF-8) and exactly `mode` in the place of whatever is at `path`.

    It is written under a name that nobody can foresee, in the same folder, so that neither a link nor a file
    that somebody else put there is ever written to; a link at `path` itself is replaced, not followed.
    `durable` forces it to the disk first, so that not even a crash of the machine leaves half a file. Without
    it only a crash of the machine can: for what is worth nothing after one, or may not wait for a disk.

    Raises OSError if it cannot be written. What was at `path` is there still then, and nothing else is left.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fchmod(handle, mode)
            if durable:
                os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def append_line(path: Path, line: str, mode: int = 0o644) -> None:
    """Append `line` and its end in one write, so that what others append at the same time stays apart.

    A file that is not there is made, with `mode`. Raises OSError if it cannot be written whole.
    """
    data = (line + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if os.write(handle, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)
