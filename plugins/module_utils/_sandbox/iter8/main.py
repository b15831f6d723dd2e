# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m …_sandbox.iter8.main controller|start|finish`"""

from __future__ import annotations

import sys


def _main(arguments: list[str]) -> None:
    # Each imports what it needs alone: a handler's Job has seconds, and kopf takes one of them.
    if arguments == ["controller"]:
        from .operator import main as run_controller

        run_controller()
    elif arguments in (["start"], ["finish"]):
        from .handlers import main as run_handler

        run_handler(arguments[0])
    else:
        sys.exit("usage: iter8 controller|start|finish")


if __name__ == "__main__":
    _main(sys.argv[1:])
