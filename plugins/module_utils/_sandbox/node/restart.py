# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container that ended is started again, and after how long; as Kubernetes does it."""

from __future__ import annotations

from dataclasses import dataclass

BACKOFF_FIRST = 10.0
BACKOFF_LONGEST = 300.0
BACKOFF_RESET = 600.0


def restarts(policy: str, exit_code: int) -> bool:
    """Whether a pod's restartPolicy (Always, OnFailure, Never) starts a container again after `exit_code`."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


@dataclass
class Backoff:
    """The pause before a container is started again: none the first time, then 10 s doubling to 5 min.

    A run of 10 min or longer begins the count anew. `pause` is the last one, in seconds; it is kept with the
    pod so that a restart of the node does not forgive a crash loop.
    """

    pause: float = -1.0

    def after(self, ran_seconds: float) -> float:
        """The pause after a run that lasted `ran_seconds`."""
        if self.pause < 0 or ran_seconds >= BACKOFF_RESET:
            self.pause = 0.0
        elif self.pause == 0:
            self.pause = BACKOFF_FIRST
        else:
            self.pause = min(self.pause * 2, BACKOFF_LONGEST)
        return self.pause
