# SPDX-License-Identifier: GPL-3.0-or-later
"""Record oneself, then become the program: `python -I -S -c <this> RECORD ID ROLE FD -- PROGRAM ARGUMENT...`.

The record is written by the process itself before it becomes the program, so that no program of a sandbox
ever runs unrecorded, whatever happens to whoever started it. Where the record cannot be written (the sandbox
is being removed) the program does not start. FD is the writing end of a pipe: it closes when the program
starts; if it cannot start, the reason is written to it.
"""

from __future__ import annotations

import json
import os
import sys

# Every process of a sandbox carries this variable, its children inherit it. It tells the orphans of a program
# that was killed from strangers that were given the same process group number.
MARKER = "ITER8_KFSERVING_SANDBOX"


def start_time(pid: int) -> int:
    """When the process began, in clock ticks since boot (field 22 of /proc/<pid>/stat; see proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        # The second field, the name, is in brackets and may itself hold blanks and brackets.
        return int(stream.read().rpartition(")")[2].split()[19])


def boot_id() -> str:
    """Identifies this boot of the machine: start times of different boots cannot be compared."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _write_record(path: str, identity: str, role: str, argv0: str) -> None:
    pid = os.getpid()
    record = {
        "id": identity,
        "pid": pid,
        "start_time": start_time(pid),
        "boot_id": boot_id(),
        "role": role,
        "argv0": argv0,
    }
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{pid}")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(record, stream)
    os.replace(temporary, path)


def main(arguments: list[str]) -> int:
    """Only returns if the program could not be started."""
    path, identity, role, pipe, _dashes, *argv = arguments
    os.set_inheritable(int(pipe), False)
    try:
        os.setsid()
        _write_record(path, identity, role, argv[0])
        os.environ[MARKER] = os.path.dirname(os.path.dirname(path))
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(int(pipe), f"{error.strerror}: {error.filename or argv[0]}".encode())
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
