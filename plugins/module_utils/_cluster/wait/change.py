# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for the end of a rollout that somebody else drives: promoted, or rolled back."""

from __future__ import annotations

from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import standard
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.snapshot import (
    PERCENT,
    STANDARD,
    mode_of,
    spell,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.stability import Held
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import entries, mapping

from .inferenceservice import PresentWaiter
from .waiting import End


class PromotedWaiter(PresentWaiter):
    """Decides when another revision than the baseline has all of the traffic, as no canary any more."""

    def __init__(self, name: str, *, baseline_revision: str, **options: Any) -> None:
        super().__init__(
            name,
            baseline_revision=baseline_revision,
            new_revision=True,
            traffic={"latest": 100},
            **options,
        )

    def _assessed(self, now: float) -> End | None:
        if entries(self.inferenceservice, "spec", "canary"):
            self._missing = "its spec still has a canary"
            return None
        snapshot = self.view.snapshot
        if snapshot.revisions.rolledout not in ("", snapshot.revisions.created):
            self._missing = f"{snapshot.revisions.created or 'no other revision'} is not rolled out"
            return self._stuck_pods(now)
        return super()._assessed(now)


class RolledBackWaiter(PresentWaiter):
    """Decides when the baseline has all of the traffic again, after something else was to have a share.

    With ``after_change`` that has happened before: what comes is the end of it.
    """

    def __init__(
        self, name: str, *, baseline_revision: str, after_change: bool, stable_seconds: float, **options: Any
    ) -> None:
        super().__init__(
            name,
            baseline_revision=baseline_revision,
            new_revision=False,
            traffic={"baseline": 100},
            stable_seconds=stable_seconds,
            **{**options, "stuck_seconds": 0.0},
        )
        self._baseline = baseline_revision
        self._was_asked = after_change
        self._held = Held(stable_seconds, 2 if stable_seconds > 0 else 1)

    def _assessed(self, now: float) -> End | None:
        asked, traffic = self._asked_of_others(), self.view.snapshot.traffic
        self._was_asked = self._was_asked or asked > 0 or bool(set(traffic) - {self._baseline})
        back = traffic == {self._baseline: 100} and not asked
        if self._held.feed(now, back and self._was_asked):
            message = f"InferenceService {self.name}: rolled back; traffic {spell(traffic)}."
            return End("succeeded", "RolledBack", message)
        self._missing = self._clause(asked, traffic)
        return None

    def _clause(self, asked: int, traffic: dict[str, int]) -> str:
        if not self._was_asked:
            return "nothing but the baseline has been given traffic yet"
        if asked:
            return f"its spec gives {asked} % to another revision than the baseline"
        return f"the traffic is {spell(traffic)}, or has not been so for long"

    def _asked_of_others(self) -> int:
        """The percent that the spec asks for something else than the baseline."""
        obj, snapshot = self.inferenceservice or {}, self.view.snapshot
        if mode_of(obj) == STANDARD:
            stable, *canaries = standard.wanted(obj).values()
            if canaries:
                return sum(canaries)
            # A new model takes all, pod by pod.
            return stable if snapshot.revisions.created != self._baseline else 0
        percent = mapping(obj, "spec", "predictor").get(PERCENT)
        if snapshot.revisions.created == self._baseline:
            return 0
        return percent if isinstance(percent, int) else 100
