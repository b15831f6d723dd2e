# SPDX-License-Identifier: GPL-3.0-or-later
"""The load engine as a program: by the path of this file, or with `python -m _load.main` beside `_load`."""

from __future__ import annotations

import importlib
import os
import sys


def _main() -> int:
    folder = os.path.dirname(os.path.abspath(__file__))
    package = __package__
    if not package or "." not in package:
        # Run by path, Python put the folder itself in front, where its files could hide others' modules.
        # Either way the package has none above it, and it has to: it takes `_common` from beside itself.
        above = os.path.dirname(folder)
        sys.path[0] = os.path.dirname(above)
        package = f"{os.path.basename(above)}.{os.path.basename(folder)}"
    return int(importlib.import_module(f"{package}.command").main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(_main())
