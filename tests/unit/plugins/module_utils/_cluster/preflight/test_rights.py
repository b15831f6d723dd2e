# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of rights: what the documentation prints, and what is asked for which task."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.access import (
    Right,
    missing,
    phrases,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.rights import NEEDS, rights
from ansible_collections.iter8.kfserving.tests.support.cluster import Cluster
from ansible_collections.iter8.kfserving.tests.support.places import ROOT


def test_the_documentation_prints_the_list() -> None:
    rows = [
        f"| {', '.join(need.tasks)} | {need.group or 'core'} | {need.resource} | {', '.join(need.verbs)} "
        f"| {need.where} | {need.reason} |"
        for need in NEEDS
    ]
    text = (ROOT / "docs/rights.md").read_text()
    printed = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert printed == rows


def test_only_served_groups_and_the_tasks_own_count() -> None:
    found = rights(["progressive"], "models", "", ["serving.kserve.io"])
    assert Right("serving.kserve.io", "inferenceservices", "patch", "models") in found
    assert Right("", "services", "list", "") in found
    assert {right.group for right in found} == {"", "serving.kserve.io"}
    # No record, no experiment.
    assert Right("", "configmaps", "delete", "default") not in found
    assert Right("", "configmaps", "delete", "runs") in rights(["teardown"], "models", "runs", [])


def test_what_is_missing_is_told_by_kind_and_place() -> None:
    cluster = Cluster()
    wanted = [Right("a.b", "cs", verb, "n") for verb in ("get", "patch", "list")] + [
        Right("", "nodes", "get")
    ]
    assert missing(cluster, wanted) == []  # type: ignore[arg-type]
    cluster.denied = {("patch", "cs"), ("get", "cs"), ("get", "nodes")}
    lacking = missing(cluster, wanted)  # type: ignore[arg-type]
    assert phrases(lacking) == ["get nodes in the whole cluster", "get, patch cs.a.b in namespace n"]
