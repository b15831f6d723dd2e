# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments of a timeline for tests: the baseline is `a`, the canary `b`, and times are small numbers."""

from __future__ import annotations

from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.timeline import Moment


def moment(time: float, source: str, event: str, **data: Any) -> Moment:
    return Moment(time, source, event, f"{event} at {time}", data)


def traffic(time: float, **split: Any) -> Moment:
    return moment(time, "inferenceservice", "traffic", traffic=split)


APPLIED = moment(10, "playbook", "canary_applied", baseline="a")
EXPERIMENT_CREATED = moment(25, "playbook", "experiment_created")
COMPLETED = moment(50, "experiment", "completed", winner="canary", message="done", failed=False)
