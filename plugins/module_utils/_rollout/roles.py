# SPDX-License-Identifier: GPL-3.0-or-later
"""The two roles of a canary rollout, what served before and what is to serve after, and who drives it."""

from __future__ import annotations

BASELINE = "baseline"
CANARY = "canary"

# Who moves the traffic: iter8 does so for an Experiment, the others without one.
ITER8, OBSERVE, PROGRESSIVE = "iter8", "observe", "progressive"
