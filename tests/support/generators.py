# SPDX-License-Identifier: GPL-3.0-or-later
"""A good run whose load three generators sent together."""

from __future__ import annotations

from typing import Any

from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.rollouts import ENDED, START, Run

NAMES = ("load-1", "load-2", "load-3")


def generator(index: int, requests: int) -> dict[str, Any]:
    gap = rollouts.gap(0.4)
    mode = {"requests": requests // 2, "failed": 0, "longest_success_gap": gap}
    return {
        "name": NAMES[index],
        "index": index,
        "of": len(NAMES),
        "phase": index / 100,
        "asked_rate": 100 / len(NAMES),
        "clock_ahead": 3.0,
        "clock_offset": {"low": -0.01, "high": 0.02},
        "state": "stopped",
        "problem": "",
        "started": float(START),
        "ended": float(START + ENDED),
        "requests": requests,
        "failed": 0,
        "unsent": 0,
        "client_faults": 0,
        "connections": 2,
        "rate_kept": True,
        "lateness": {"p50": 0.0001, "p99": 0.002, "max": 0.01},
        "stall_count": 0,
        "longest_stall": 0.0,
        "wall_clock_drift": 0.0,
        "longest_success_gap": gap,
        "connection_modes": {"keep-alive": dict(mode), "new": dict(mode)},
    }


def three() -> Run:
    run = rollouts.good()
    run.own["generators"] = [generator(index, run.own["requests"] // 3) for index in range(3)]
    return run
