# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ingress_info: its documentation, and its refusals."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.modules import ingress_info as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    check_documentation,
    check_examples,
    check_refusal,
    returned,
    run_main,
)

ARGUMENTS: dict[str, Any] = {"name": "m"}


def test_the_documentation_tells_what_is_declared() -> None:
    check_documentation(module)


def test_the_examples_name_a_cluster_and_options_that_exist() -> None:
    check_examples(module)


def test_an_unnamed_cluster_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_refusal(module, ARGUMENTS, monkeypatch, capsys)


def test_host_and_port_of_a_given_gateway_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_main(module, {"name": "m", "gateway_host": "localhost"}, capsys)
    assert "required together: gateway_host, gateway_port" in result["msg"]


def test_what_is_returned_is_documented() -> None:
    assert returned(module) == {"host", "port", "via", "gateway_url", "url", "host_header"}
