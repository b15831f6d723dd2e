# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the playbook's standard output still takes what is written to it.

Display hands what a task shows to the playbook's thread of results. That thread ends for good at the first
write that fails, and no task's result is read any more: the play hangs. So it must not come to that: what a
callback shows may fail without harm, a line of ours may not. Private to this collection.
"""

from __future__ import annotations

import os
import select
import stat

# A file with less room than this is about to be full.
_ROOM_BYTES = 65536

_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


def _duplicate(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:
        return None


# Ansible loads an action plugin in the playbook's own process, before it starts a worker for the task: in the
# worker, descriptor 1 is /dev/null by then.
_STANDARD_OUTPUT = _duplicate(1)


def takes_lines(descriptor: int | None = _STANDARD_OUTPUT) -> bool:
    """Whether a line can be written to `descriptor` as far as can be told without writing one: a pipe, socket
    or terminal has somebody at its other end, a disk has room. Where nothing is known, so; it never waits."""
    if descriptor is None:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & _GONE for _descriptor, event in poll.poll(0)):
            return False
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISREG(kind):
            room = os.fstatvfs(descriptor)
            return room.f_bavail * room.f_frsize >= _ROOM_BYTES
        if stat.S_ISCHR(kind):
            os.write(descriptor, b"")  # /dev/full
    except OSError:
        return False
    return True
