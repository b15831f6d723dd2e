# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m …_sandbox.gateway.main run|drain`"""

from __future__ import annotations

import sys

from .commands import main

if __name__ == "__main__":
    main(sys.argv[1:])
