# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that were obtained once, kept under the user's cache folder.

An entry is a folder with programs and `binaries.json`, which holds their sizes and digests. It is prepared in
a folder beside it and renamed when it is complete, so an entry is either whole or not there. One run at a
time prepares entries; what an interrupted run left, processes included, is cleaned by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    require_own_folder,
    write_atomically,
)

from ..processes import records

Report = Callable[[str], None]

_PREPARING = "preparing-"
_MANIFEST = "binaries.json"


class BinariesError(Exception):
    """A program cannot be had; the text says which, why, and what to do."""


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_room(folder: Path, megabytes: int, purpose: str, otherwise: str) -> None:
    """Raise BinariesError unless the disk that holds `folder` has so much room for this user.

    otherwise: how to choose another disk.
    """
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise BinariesError(
            f"There is no room to {purpose}: it needs {megabytes} MB below {folder}, and {free} MB are free. "
            f"Make room, or {otherwise}."
        )


def end_leftovers(cache: Path) -> list[records.Process]:
    """End what an interrupted preparation still runs and remove its files; only while holding the lock."""
    ended = []
    for folder in sorted(cache.glob(f"{_PREPARING}*")):
        ended += records.end_all(records.read_all(folder / "processes"), 1)
        shutil.rmtree(folder, ignore_errors=True)
    return ended


@contextlib.contextmanager
def _try_lock(cache: Path) -> Iterator[bool]:
    with open(cache / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def locked(cache: Path, report: Report, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the cache's lock, waiting for it as long as it takes; the wait is reported.

    The kernel lets go of the lock when its holder dies.
    """
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    require_own_folder(cache)
    said = False
    while True:
        with _try_lock(cache) as held:
            if held:
                end_leftovers(cache)
                yield
                return
        if not said:
            report("waiting for another run that is preparing the programs")
            said = True
        sleep(0.5)


def clean(cache: Path) -> list[records.Process]:
    """End and remove what an interrupted preparation left, if none is under way. Returns what was ended."""
    if not cache.is_dir():
        return []
    with _try_lock(cache) as held:
        return end_leftovers(cache) if held else []


@contextlib.contextmanager
def preparing(cache: Path) -> Iterator[Path]:
    """A folder on the cache's disk to prepare things in; removed at the end, with its processes ended."""
    folder = Path(tempfile.mkdtemp(prefix=_PREPARING, dir=cache))
    (folder / "processes").mkdir()
    try:
        yield folder
    finally:
        records.end_all(records.read_all(folder / "processes"), 1)
        shutil.rmtree(folder, ignore_errors=True)


def store(entry: Path, programs: Iterable[Path], facts: Mapping[str, str]) -> dict[str, Path]:
    """Make a cache entry of these programs, which are moved into it. Survives a crash of the machine."""
    folder = Path(tempfile.mkdtemp(prefix=_PREPARING, dir=entry.parent))
    folder.chmod(0o755)
    files: dict[str, dict[str, Any]] = {}
    for program in programs:
        target = folder / program.name
        os.replace(program, target)
        target.chmod(0o755)
        with open(target, "rb") as stream:
            os.fsync(stream.fileno())
        files[program.name] = {"size": target.stat().st_size, "sha256": sha256(target)}
    content = json.dumps({**facts, "files": files}, indent=2) + "\n"
    write_atomically(folder / _MANIFEST, content, mode=0o644)
    # Whatever is there is not a whole entry, else it would have been used.
    shutil.rmtree(entry, ignore_errors=True)
    os.rename(folder, entry)
    return {name: entry / name for name in files}


def load(entry: Path, names: Iterable[str]) -> Optional[dict[str, Path]]:
    """The programs of an entry; None if there is no such entry.

    Raises BinariesError if a program is not what was stored: a damaged disk, or somebody changed it.
    """
    try:
        files = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise BinariesError(f"{entry / _MANIFEST} cannot be read: remove {entry} and run again.") from None
    found = {name: entry / name for name in names}
    with ThreadPoolExecutor() as pool:
        whole = list(pool.map(_is_what_was_stored, found.values(), (files.get(name, {}) for name in found)))
    for path, good in zip(found.values(), whole):
        if not good:
            raise BinariesError(
                f"{path} has the wrong checksum: it is not what was put there. Remove {entry} and run again."
            )
    return found


def _is_what_was_stored(path: Path, recorded: Mapping[str, Any]) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == recorded.get("size")
        and sha256(path) == recorded.get("sha256")
    )
