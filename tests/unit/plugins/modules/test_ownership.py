# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ownership: its documentation, and its refusals."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.modules import ownership as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    check_documentation,
    check_examples,
    check_refusal,
    returned,
    run_main,
)

ARGUMENTS: dict[str, Any] = {"state": "claimed", "run_id": "r", "record": "/nonexistent/r.json"}


def test_the_documentation_tells_what_is_declared() -> None:
    check_documentation(module)


def test_the_examples_name_a_cluster_and_options_that_exist() -> None:
    check_examples(module)


def test_an_unnamed_cluster_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_refusal(module, ARGUMENTS, monkeypatch, capsys)


@pytest.mark.parametrize("run_id", ["", "a b"])
def test_a_run_id_that_cannot_own_is_refused(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_main(module, {**ARGUMENTS, "run_id": run_id}, capsys)
    assert "cannot own objects" in result["msg"]


def test_without_a_record_there_is_nothing_to_delete(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_main(module, {**ARGUMENTS, "state": "absent"}, capsys)
    assert result["changed"] is False
    assert {"deleted", "kept", "transitions"} <= set(result) & returned(module)
