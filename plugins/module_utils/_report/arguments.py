# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that modules share, or that are read from what they stand for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import ISTIO
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.formats import FORMATS
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds

_ACCESS_LOG: dict[str, Any] = {
    "path": {"type": "path"},
    "fields": {
        "type": "dict",
        "default": {},
        "options": {name: {"type": "str"} for name in ISTIO},
    },
    "gateway": {"type": "str", "choices": list(FORMATS), "default": "istio"},
    "revision_pattern": {"type": "str"},
}

# Documented in the fragment iter8.kfserving.evidence.
EVIDENCE: dict[str, Any] = {
    "load": {"type": "path"},
    "timeline": {"type": "path"},
    "experiment": {"type": "path"},
    "inferenceservice": {"type": "path"},
    "observations": {"type": "path"},
    "driver": {"type": "path"},
    "access_log": {"type": "dict", "options": _ACCESS_LOG},
}

_TYPES = {"int": "int", "float": "float", "float | None": "float", "Mapping[float, float]": "dict"}

# Documented in the fragment iter8.kfserving.thresholds. What a rollout is expected to do has its own options.
THRESHOLDS: dict[str, Any] = {
    row.name: {"type": _TYPES[str(row.type)]}
    | ({} if default is None else {"default": default})
    # Tokens of a stream, which validate-modules takes for secrets.
    | ({"no_log": False} if "token" in row.name else {})
    for row in fields(Thresholds)
    if not row.name.startswith("expect_")
    for default in [getattr(Thresholds(), row.name)]
}
