# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about the code. The same examples each time:
# who changed nothing sees no other result. `--hypothesis-profile=exploring` looks for new ones.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("exploring", UNTIMED)
settings.register_profile("same", UNTIMED, derandomize=True)
settings.load_profile("same")
