# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m …_sandbox.monitoring.main prometheus|targets`"""

from __future__ import annotations

import sys

from . import prometheus, targets

PROGRAMS = {"prometheus": prometheus.main, "targets": targets.main}

if __name__ == "__main__":
    if sys.argv[1:] not in ([name] for name in PROGRAMS):
        sys.exit(f"usage: monitoring {'|'.join(PROGRAMS)}")
    PROGRAMS[sys.argv[1]]()
