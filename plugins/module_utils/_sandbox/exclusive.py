# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time works on a sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Callable, Iterator

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import launch, state

# The role, and the id, of the process that is bringing a sandbox up.
PRESENT = "present"


def lock_path(where: state.Layout) -> Path:
    """The file that is locked: beside the sandbox's folder, which comes and goes."""
    return where.root.parent / f".{where.root.name}.lock"


def _remove_empty(where: state.Layout) -> None:
    """Remove the folders of all sandboxes if this was the last one."""
    for folder in (where.root.parent, where.root.parent.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def locked(where: state.Layout, busy: Callable[[], None], sleep: Callable[[float], None]) -> Iterator[None]:
    """Hold the sandbox's lock; `busy` is called now and then while another run holds it."""
    path = lock_path(where)
    while True:
        where.root.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            try:
                lock = held.enter_context(open(path, "a", encoding="utf-8"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:  # another run has just removed the empty folder
                continue
            except BlockingIOError:
                busy()
                sleep(0.1)
                continue
            # Whoever held it may have removed the file: then this is the lock of nothing.
            if path.exists() and os.fstat(lock.fileno()).st_ino == path.stat().st_ino:
                try:
                    yield
                finally:
                    if not where.root.exists():
                        path.unlink(missing_ok=True)
                        _remove_empty(where)
                return


@contextlib.contextmanager
def recorded(where: state.Layout) -> Iterator[None]:
    """Record this very process while it brings the sandbox up, so that a removal can end it first."""
    path = where.processes / f"{PRESENT}.json"
    me = {
        "id": PRESENT,
        "pid": os.getpid(),
        "start_time": launch.start_time(os.getpid()),
        "boot_id": launch.boot_id(),
        "role": PRESENT,
        "argv0": sys.executable,
    }
    state.write_atomically(path, json.dumps(me))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
