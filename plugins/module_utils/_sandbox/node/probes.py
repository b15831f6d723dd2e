# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe's thresholds and timing, without asking anything: results in, verdicts and due times out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

READINESS = "readiness"
LIVENESS = "liveness"
STARTUP = "startup"

# Until it has succeeded once, a readiness or startup probe is asked more often than its period. Kubernetes
# allows that: it "may be executed at times other than the configured periodSeconds interval. This is to make
# the Pod ready faster". Such extra failures do not count towards a startup probe's threshold. This does not
# last: a probe may be a program, and cost as much.
EAGER_SECONDS = 0.2
EAGER_FOR = 10.0


@dataclass(frozen=True)
class ProbeSpec:
    """A probe's numbers, in seconds and counts, with Kubernetes' defaults."""

    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3

    @classmethod
    def parse(cls, probe: Mapping[str, Any]) -> ProbeSpec:
        """From a probe of a container's spec."""
        return cls(
            initial_delay=probe.get("initialDelaySeconds") or 0,
            period=probe.get("periodSeconds") or 10,
            timeout=probe.get("timeoutSeconds") or 1,
            success_threshold=probe.get("successThreshold") or 1,
            failure_threshold=probe.get("failureThreshold") or 3,
        )


class ProbeState:
    """One probe of one run of a container. Times are in seconds on the caller's clock.

    due: when to ask next. verdict: what holds now; a readiness or startup probe starts as False, a liveness
    probe as True.
    """

    def __init__(self, kind: str, spec: ProbeSpec, started_at: float, verdict: Optional[bool] = None) -> None:
        self.kind = kind
        self.spec = spec
        self.verdict = kind == LIVENESS if verdict is None else verdict
        self.due = started_at + spec.initial_delay
        self._last: Optional[bool] = None
        self._run = 0
        self._eager_until = self.due + EAGER_FOR if kind != LIVENESS and not self.verdict else self.due
        self._counted_at: Optional[float] = None

    def observe(self, success: bool, now: float) -> Optional[bool]:
        """Count a result that came at `now`. Returns the verdict if that reached its threshold, else None.

        A verdict is returned again each time further results confirm it.
        """
        if success:
            self._eager_until = self.due
        eager = now < self._eager_until
        regular = self._counted_at is None or now - self._counted_at >= self.spec.period - EAGER_SECONDS / 2
        self.due = now + (min(EAGER_SECONDS, self.spec.period) if eager else self.spec.period)
        if not success and not regular:
            return None
        self._counted_at = now
        self._run = self._run + 1 if success == self._last else 1
        self._last = success
        threshold = self.spec.success_threshold if success else self.spec.failure_threshold
        if self._run < threshold:
            return None
        self.verdict = success
        return success
