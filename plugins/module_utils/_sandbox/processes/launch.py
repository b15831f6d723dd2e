# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until one is recorded, then become the program: `python -I -S -c <this> FD STATE -- PROGRAM ...`.

Whoever starts this writes the record of its process id and then says so on FD, a socket. Only then does it
become the program, so that no program of a sandbox ever runs unrecorded, whatever happens to whoever started
it: if that one dies, or cannot write the record (the sandbox is being removed), the socket closes and this
ends. FD closes as well when the program starts; if it cannot start, the reason is written to it.

Its text is handed to a bare Python, which costs 10 ms instead of the collection's imports: it imports nothing
but the standard library.
"""

from __future__ import annotations

import os
import sys

# Every process of a sandbox carries this variable, its children inherit it. It tells the orphans of a program
# that was killed from strangers that were given the same process group number.
MARKER = "ITER8_KFSERVING_SANDBOX"
RECORDED = b"recorded"


def main(arguments: list[str]) -> int:
    """Only returns if the program was not to be started, or could not be."""
    descriptor, state, _dashes, *argv = arguments
    pipe = int(descriptor)
    os.set_inheritable(pipe, False)
    os.setsid()
    if os.read(pipe, len(RECORDED)) != RECORDED:
        return 0
    os.environ[MARKER] = state
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(pipe, f"{error.strerror}: {error.filename or argv[0]}".encode())
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
