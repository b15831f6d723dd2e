# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m …_sandbox.node --state-dir <state>`"""

from __future__ import annotations

import os
import sys

from .main import main

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it would wait for threads that still wait for an API server that does not answer.
    os._exit(status)
