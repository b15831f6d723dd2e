# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.conditions import is_true


def test_only_a_condition_that_is_there_and_true_is_true() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Active", "status": "Unknown"}]}
    assert is_true(status, "Ready")
    assert not is_true(status, "Active")
    assert not is_true(status, "Initialized")


def test_without_a_status_nothing_is_true() -> None:
    assert not is_true(None, "Ready")
    assert not is_true({"conditions": None}, "Ready")
