# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict as OpenMetrics text, for a push gateway or a textfile collector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines

from ..material import TITLES, Material

Samples = Iterable[tuple[Mapping[str, str], Any]]


def openmetrics(material: Material) -> str:
    """OpenMetrics 1.0, each family once, ending with EOF. What is not known is left out."""
    verdict = material.verdict
    revisions = verdict.get("revisions", {})
    connection_modes = verdict.get("connection_modes", {})
    phases = [(f"{index:02d}", phase) for index, phase in enumerate(verdict.get("phases", []))]
    gap = verdict.get("longest_success_gap_seconds")
    families = [
        _family(
            "rollout_verdict",
            "stateset",
            "The verdict: 1 for the one that holds.",
            [({"rollout_verdict": word}, int(word == material.grade)) for word in TITLES],
        ),
        _family(
            "rollout_requests",
            "counter",
            "Requests by the revision that answered, and those of them that failed.",
            [
                ({"revision": name, "role": row["role"], "outcome": outcome}, row["requests"] - row["failed"])
                if outcome == "ok"
                else ({"revision": name, "role": row["role"], "outcome": outcome}, row["failed"])
                for name, row in revisions.items()
                for outcome in ("ok", "failed")
            ],
        ),
        _family(
            "rollout_connection_mode_failed",
            "counter",
            "Failed requests on new and on keep-alive connections.",
            [({"connection_mode": name}, row["failed"]) for name, row in connection_modes.items()],
        ),
        _family(
            "rollout_connection_mode_longest_success_gap_seconds",
            "gauge",
            "The longest time between two successes on new and on keep-alive connections.",
            [
                ({"connection_mode": name}, row["longest_success_gap_seconds"])
                for name, row in connection_modes.items()
                if row["longest_success_gap_seconds"] is not None
            ],
            unit="seconds",
        ),
        _family(
            "rollout_failures",
            "counter",
            "Failed requests by class.",
            [({"class": name}, n) for name, n in verdict.get("classes", {}).items()],
        ),
        _family(
            "rollout_phase_failed",
            "counter",
            "Failed requests by phase.",
            [({"phase": phase["name"], "index": index}, phase["failed"]) for index, phase in phases],
        ),
        _family(
            "rollout_loss_rate_upper_bound",
            "gauge",
            "With 95 % confidence the loss rate is below this.",
            [({}, verdict["loss_rate_upper_bound_95"])],
        ),
        _family(
            "rollout_longest_success_gap_seconds",
            "gauge",
            "The longest time between two successes.",
            [] if gap is None else [({}, gap)],
            unit="seconds",
        ),
    ]
    return "".join(families) + "# EOF\n"


def _family(name: str, kind: str, meaning: str, samples: Samples, unit: str = "") -> str:
    suffix = "_total" if kind == "counter" else ""
    lines = [f"# TYPE {name} {kind}"]
    if unit:
        lines.append(f"# UNIT {name} {unit}")
    lines.append(f"# HELP {name} {meaning}")
    rows = [f"{name}{suffix}{_labels(labels)} {value}" for labels, value in samples]
    return "\n".join([*lines, *rows]) + "\n" if rows else ""


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return printable_lines(value).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
