# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe's threshold and timing, without asking anything: results in, verdicts and due times out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

# Until it has succeeded once, a readiness probe is asked more often than its period. Kubernetes allows that:
# it "may be executed at times other than the configured periodSeconds interval. This is to make the Pod ready
# faster". It does not last: who is not ready by then is asked at the pace that was wished for.
EAGER_SECONDS = 0.2
EAGER_FOR = 10.0


@dataclass(frozen=True)
class ProbeSpec:
    """A probe's numbers, in seconds and counts, with Kubernetes' defaults."""

    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    failure_threshold: int = 3

    @classmethod
    def parse(cls, probe: Mapping[str, Any]) -> ProbeSpec:
        """From a probe of a container's spec."""
        return cls(
            initial_delay=probe.get("initialDelaySeconds") or 0,
            period=probe.get("periodSeconds") or 10,
            timeout=probe.get("timeoutSeconds") or 1,
            failure_threshold=probe.get("failureThreshold") or 3,
        )


class ProbeState:
    """One probe of one run of a container. Times are in seconds on the caller's clock.

    due: when to ask next. verdict: what holds now, `before` any result.
    """

    def __init__(self, spec: ProbeSpec, started_at: float, before: bool) -> None:
        self.spec = spec
        self.verdict = before
        self.due = started_at + spec.initial_delay
        self._failures = 0
        self._eager_until = self.due if before else self.due + EAGER_FOR

    def observe(self, success: bool, now: float) -> bool:
        """Count a result that came at `now`; the verdict that holds from then on."""
        if success:
            self._failures, self._eager_until = 0, self.due
            self.verdict = True
        else:
            self._failures += 1
            self.verdict = self.verdict and self._failures < self.spec.failure_threshold
        eager = now < self._eager_until
        self.due = now + (min(EAGER_SECONDS, self.spec.period) if eager else self.spec.period)
        return self.verdict
