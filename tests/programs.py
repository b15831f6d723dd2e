# SPDX-License-Identifier: GPL-3.0-or-later
"""Obtain the sandbox's programs before the tests that need them.

On a new machine that takes minutes, and more on a busy one, while each test may take three at most. What is
there already is looked at, and that is all.

    make test
"""

from __future__ import annotations

import sys
import time

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import find
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.cache import BinariesError


def main() -> int:
    """Say each step; 1 if the programs cannot be had, with the reason."""
    began = time.monotonic()

    def say(step: str) -> None:
        print(f"programs: {time.monotonic() - began:4.0f} s  {step}", flush=True)

    try:
        find.obtain(paths.cache_dir(), say)
    except (BinariesError, OSError) as error:
        print(f"programs: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
