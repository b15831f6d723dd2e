# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that rollout_verdict and rollout_report share."""

from __future__ import annotations

from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import ISTIO

# Documented in the fragment iter8.kfserving.access_log.
ACCESS_LOG: dict[str, Any] = {
    "path": {"type": "path"},
    "fields": {
        "type": "dict",
        "default": {},
        "options": {name: {"type": "str", "default": default} for name, default in ISTIO.items()},
    },
    "revision_pattern": {"type": "str"},
}
