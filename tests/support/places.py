# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie, seen from the tests."""

from __future__ import annotations

import os
from pathlib import Path

# This clone.
ROOT = Path(__file__).resolve().parents[2]
# What real controllers wrote: objects typed anew, and recordings of our own, with only what matters.
DATA = Path(__file__).parent / "data"
# Manifests of others, beside the clone where they are; a test that uses them skips where not.
UPSTREAM = Path(os.environ.get("KFSERVING_UPSTREAM", ROOT.parent / "shared" / "upstream"))
