# SPDX-License-Identifier: GPL-3.0-or-later
"""The two roles of a canary rollout: what served before, and what is to serve after."""

from __future__ import annotations

BASELINE = "baseline"
CANARY = "canary"
