# SPDX-License-Identifier: GPL-3.0-or-later
"""Files written whole, and lines appended whole: a reader never sees a part of either. Folders: whose they
are, and where the user's state lies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Mapping
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


def append_line(path: Path, line: str) -> None:
    """Append `line` and its end in one write, so that what others append at the same time stays apart.

    Half a line at its end, which is all that a full disk took of another's, stays a line of its own. A file
    that is not there is made. Raises OSError if it cannot be written whole.
    """
    data = (line + "\n").encode()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # A line that another is about to finish is not half a line. Where there are no locks, an empty line
        # is the worst that comes of it.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(handle, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)


def state_home(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of this collection's state: in XDG_STATE_HOME, else in the home of HOME or of passwd.

    As the XDG specification says, a relative XDG_STATE_HOME is ignored. Raises OSError where there is no
    home.
    """
    named = env.get("XDG_STATE_HOME", "")
    base = Path(named) if os.path.isabs(named) else home(env) / ".local" / "state"
    return base / "iter8-kfserving"


def home(env: Mapping[str, str] = os.environ) -> Path:
    """The user's home: HOME (the root where it is empty), or without it the entry in passwd, as everything
    has it that resolves a `~`. Raises OSError where there is neither."""
    named = env.get("HOME")
    if named is not None:
        return Path(named or "/")
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        message = f"HOME is not set and user {os.getuid()} is not known here, so there is no home (set HOME)"
        raise OSError(errno.ENOENT, message) from None


def expanded(path: str) -> str:
    """The path with `~` and `~user` resolved. Raises OSError where there is no such user, or no home."""
    found = os.path.expanduser(path)
    if found.startswith("~"):
        whose = path.partition("/")[0]
        raise OSError(errno.ENOENT, f"there is no such user, or no such home, as {whose}")
    return found


def require_own_folder(path: str | os.PathLike[str], *, shared: bool = False) -> None:
    """Raise OSError unless only this user can put files into the folder: for code that is going to run, and
    for evidence.

    Its owner has to be this user, and neither its group nor others may write to it. Only the user's own
    private group may, since with umask 002 every folder of the user's is like that. In whose folder it lies
    is no matter. With `shared` a folder like /tmp does as well (root's, with the sticky bit): for a single
    file that is put there under a name of its own.
    """
    link, found = os.lstat(path), os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    # Where a link leads is its owner's choice.
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise _refused(f"the link {os.fspath(path)} belongs to {_user(link.st_uid)}")
    if shared and found.st_uid == 0 and found.st_mode & stat.S_ISVTX:
        return
    if found.st_uid != os.geteuid():
        raise _refused(f"the folder {os.fspath(path)} belongs to {_user(found.st_uid)}")
    if found.st_mode & stat.S_IWOTH:
        raise _refused(f"everybody can write to the folder {os.fspath(path)} (chmod go-w)")
    if found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid):
        raise _refused(f"its group can write to the folder {os.fspath(path)} (chmod g-w)")


def _refused(what: str) -> PermissionError:
    return PermissionError(errno.EPERM, f"{what}, so that someone else could change what is put there")


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _is_private(group: int) -> bool:
    """Whether a group is the one that carries this user's name, as distributions make one for each user, and
    nobody else is in it."""
    try:
        own, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == own.pw_name and group == own.pw_gid and set(found.gr_mem) <= {own.pw_name}
