# SPDX-License-Identifier: GPL-3.0-or-later
"""Files written whole: a reader sees the old content or the new, never a part of either."""

from __future__ import annotations

import contextlib
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
