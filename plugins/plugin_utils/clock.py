# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's date says, as a time. Private to this collection."""

from __future__ import annotations

import re

DATE = "date +%s.%N"
"""POSIX knows neither; those that do not know %N, as BSD's and busybox's, print an N or nothing."""
_SAID = re.compile(r"^(\d{9,11})\.(\d{9})?[%N]*$", re.MULTILINE)


def read_time(text: str) -> tuple[float, float]:
    """The time of an answer to `DATE` in seconds since the epoch, and to how many seconds it is told.

    A shell may print more around it, as some do when one logs in. Raises ValueError where there is no time.
    """
    said = _SAID.search(text.replace("\r", ""))
    if said is None:
        raise ValueError(f"'{DATE}' told {text.strip()[:100]!r}")
    if said[2] is None:
        return float(said[1]), 1.0
    return float(f"{said[1]}.{said[2]}"), 1e-6  # a float has no more
