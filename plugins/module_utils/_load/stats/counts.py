# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests ended, by what came of them and by who answered."""

from __future__ import annotations

from ..errors import CLIENT

MAX_REVISIONS = 100
OTHER_REVISIONS = "(others)"  # all beyond that number, as where the header named differs in each response


class Counts:
    """Whole numbers of requests. `codes` is by Fortio's codes (texts), `classes` by the class of a failure.

    `revisions` holds [requests, failed] by the name of the revision, empty for answers that named none.
    """

    __slots__ = ("classes", "codes", "failed", "requests", "revisions")

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        self.codes: dict[str, int] = {}
        self.classes: dict[str, int] = {}
        self.revisions: dict[str, list[int]] = {}

    def add(self, code: str, revision: str, times: int = 1, *, failed_as: str = "") -> None:
        """So many requests ended alike, successfully unless they `failed_as` a class."""
        self.requests += times
        self.codes[code] = self.codes.get(code, 0) + times
        if revision not in self.revisions and len(self.revisions) >= MAX_REVISIONS:
            revision = OTHER_REVISIONS
        row = self.revisions.setdefault(revision, [0, 0])
        row[0] += times
        if failed_as:
            row[1] += times
            self.failed += times
            self.classes[failed_as] = self.classes.get(failed_as, 0) + times

    @property
    def client_faults(self) -> int:
        """How many of the failures are the load's own."""
        return self.classes.get(CLIENT, 0)
