# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ownership: what it refuses, and what it does without a record."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.modules import ownership as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    returned,
    run_main,
)

ARGUMENTS: dict[str, Any] = {"state": "claimed", "run_id": "r", "record": "/nonexistent/r.json"}


@pytest.mark.parametrize("run_id", ["", "a b"])
def test_a_run_id_that_cannot_own_is_refused(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_main(module, {**ARGUMENTS, "run_id": run_id}, capsys)
    assert "cannot own objects" in result["msg"]


def test_without_a_record_there_is_nothing_to_delete(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_main(module, {**ARGUMENTS, "state": "absent", "record_namespace": ""}, capsys)
    assert result["changed"] is False
    assert {"deleted", "kept", "runs", "transitions"} <= set(result) & returned(module)
