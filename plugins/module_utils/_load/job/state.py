# SPDX-License-Identifier: GPL-3.0-or-later
"""The state folder of a job: what lies where, written so that a reader never sees half of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..._common.files import expanded, require_own_folder, state_home
from ..errors import LoadError, refuse_nul

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NEEDED_BYTES = 32 * 1024 * 1024
RESERVED_BYTES = 8 * 1024 * 1024


def base_folder(state_dir: str | None, kind: str = "loads") -> Path:
    """Where the folders of jobs of a kind lie: `state_dir`, or the user's state folder. Raises LoadError."""
    refuse_nul(state_dir or "", "state folder")
    try:
        return Path(expanded(state_dir)) if state_dir else state_home() / kind
    except OSError as error:
        raise LoadError(
            f"The state folder{f' {state_dir}' if state_dir else ''} cannot be used: {error.strerror}."
        ) from None


class Store:
    """Paths and files of one job. `kind` is the folder of its kind among a user's state."""

    kind = "loads"

    def __init__(self, state_dir: str | None, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise LoadError(
                f"The name {name!r} is not valid: use up to 63 letters, digits, dots, dashes, underscores, "
                "beginning with a letter or digit."
            )
        self.base = base_folder(state_dir, self.kind)
        self.folder = self.base / name
        self.name = name
        self.code = self.folder / "code"
        self.description = self.folder / "job.json"
        self.record = self.folder / "process.json"
        self.checkpoint = self.folder / "checkpoint.json"
        self.timeline = self.folder / "timeline.jsonl"
        self.ledger = self.folder / "ledger.jsonl"
        self.result = self.folder / "result.json"
        self.report = self.folder / "report.txt"
        self.log = self.folder / "log"
        self.reserve = self.folder / "reserve"

    def exists(self) -> bool:
        """Whether there is a job of this name."""
        return os.path.isdir(self.folder)  # that of Path raises where a folder above may not be entered

    @contextlib.contextmanager
    def locked(self, create: bool) -> Iterator[bool]:
        """Hold the job for oneself. Yields False if it does not exist and is not to be created."""
        handle = self._lock(create)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                os.close(handle)

    def _lock(self, create: bool) -> int | None:
        while True:
            try:
                if create:
                    self.base.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self.folder.mkdir(exist_ok=True, mode=0o700)
                    self.check_owner()
                handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                if create:
                    continue  # removed by another in between
                return None
            except OSError as error:
                raise LoadError(f"The state folder {self.folder} cannot be used: {error.strerror}.") from None
            fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), os.stat(self.folder)):
                    return handle
            os.close(handle)  # another removed the folder while this one waited for it

    def check_owner(self) -> None:
        """Raise OSError if somebody else can put files where the code of the job, or its evidence, lies."""
        for folder in (self.base, self.folder):
            if os.path.isdir(folder):  # that of Path raises where a folder above may not be entered
                require_own_folder(folder)

    def hold_room(self) -> None:
        """Keep room for the result, so that it can be written to a disk that was filled meanwhile."""
        handle = os.open(self.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, RESERVED_BYTES)
        finally:
            os.close(handle)

    def give_room(self) -> None:
        """Free it: what is written next is the result."""
        with contextlib.suppress(OSError):
            self.reserve.unlink()

    def clear(self) -> None:
        """Remove what an earlier run left; the folder itself stays."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def remove(self) -> None:
        """Remove the folder, and the folders above it that are empty then and that this collection made."""
        shutil.rmtree(self.folder)
        with contextlib.suppress(OSError):
            if self.base.name == self.kind and self.base.parent.name == "iter8-kfserving":
                self.base.rmdir()
                self.base.parent.rmdir()


class HeldFolder:
    """A state folder as it is now. While it is held no other one has its inode, so that what somebody puts in
    its place later is told from it.

    `lost`: it was removed. Nobody can stop there any more who keeps his state in it, and what is there in its
    place is another's, so that nothing is to be written there.
    """

    def __init__(self, folder: Path) -> None:
        self.lost = False
        self._folder = folder
        self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._handle)

    def look(self) -> bool:
        """Whether it is `lost`, as of now: once, and for good. Not where nobody can tell."""
        try:
            there = os.path.samestat(os.fstat(self._handle), os.stat(self._folder))
        except OSError as error:
            there = error.errno not in (errno.ENOENT, errno.ENOTDIR)
        self.lost = self.lost or not there
        return self.lost


class Lines:
    """A file of JSON lines that only grows. What cannot be written is kept, and written with the next."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._pending = b""
        self.size = 0

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def written(self) -> bytes:
        """The whole lines, also where the file has no name any more."""
        data = bytearray()
        with contextlib.suppress(OSError):
            while len(data) < self.size:
                piece = os.pread(self._handle, self.size - len(data), len(data))
                if not piece:
                    break
                data += piece
        return bytes(data)

    def rows(self) -> list[dict[str, Any]]:
        """What the whole lines hold."""
        return _rows(self.written())

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append. Raises OSError if not all could be written."""
        self._pending += b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        while self._pending:
            written = os.pwrite(self._handle, self._pending, self.size)
            self._pending = self._pending[written:]
            self.size += written


def read_json(path: Path) -> Any | None:
    """A JSON file, or None if it is missing or was never finished."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_lines(path: Path, size: int) -> list[dict[str, Any]]:
    """The JSON lines within the first `size` bytes of a file."""
    try:
        with open(path, "rb") as file:
            data = file.read(size)
    except OSError:
        return []
    return _rows(data)


def _rows(data: bytes) -> list[dict[str, Any]]:
    lines = []
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError):
            if line:
                lines.append(json.loads(line))
    return lines


def check_room(folder: Path, what: str) -> None:
    """Raise LoadError unless files can be written in the folder (or the nearest one above that exists)."""
    place = folder
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(20, f"{place} is not a folder")
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x" * 4096)
            file.flush()
        space = os.statvfs(place)
    except OSError as error:
        raise LoadError(f"The {what} {folder} cannot be written: {error.strerror}.") from None
    free = space.f_bavail * space.f_frsize
    if free < NEEDED_BYTES:
        needed = f"{NEEDED_BYTES >> 20} MiB are needed"
        raise LoadError(f"No room for the {what} {folder}: {free >> 20} MiB are free, {needed}.")
