# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time works on a sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path
from typing import Callable, Iterator, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import require_own_folder

from .. import paths
from . import records

# The role, and the id, of the process that is bringing a sandbox up.
PRESENT = "present"
# The playbook that a sandbox belongs to.
OWNER = "owner"


def lock_path(where: paths.Layout) -> Path:
    """The file that is locked: beside the sandbox's folder, which comes and goes."""
    return where.root.parent / f".{where.root.name}.lock"


def _remove_empty(where: paths.Layout) -> None:
    """Remove the folders of all sandboxes if this was the last one."""
    for folder in (where.root.parent, where.root.parent.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def locked(where: paths.Layout, busy: Callable[[], None], sleep: Callable[[float], None]) -> Iterator[None]:
    """Hold the sandbox's lock; `busy` is called now and then while another run holds it."""
    path = lock_path(where)
    while True:
        where.root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in filter(Path.exists, (where.root.parent, where.root)):
            require_own_folder(folder)
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
def recorded(where: paths.Layout) -> Iterator[None]:
    """Record this very process while it brings the sandbox up, so that a removal can end it first."""
    path = where.processes / f"{PRESENT}.json"
    records.write(path, PRESENT, PRESENT, os.getpid(), sys.executable)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


# -- whose sandbox it is


def _owner_path(where: paths.Layout) -> Path:
    return where.root / f"{OWNER}.json"


def own(where: paths.Layout, pid: int) -> None:
    """Note that the sandbox belongs to the playbook that runs as `pid`."""
    records.write(_owner_path(where), OWNER, OWNER, pid, "ansible-playbook")


def owned_by_another(where: paths.Layout, pid: Optional[int]) -> Optional[int]:
    """The process id of the playbook that owns the sandbox, if that is another than `pid` and still runs."""
    owner = records.read(_owner_path(where))
    if owner is None or owner.pid == pid or not records.alive(owner):
        return None
    return owner.pid


def left_by_its_owner(where: paths.Layout, pid: Optional[int]) -> bool:
    """Whether the sandbox belonged to a playbook that no longer runs."""
    owner = records.read(_owner_path(where))
    return owner is not None and owner.pid != pid and not records.alive(owner)
