# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ingress_info: what it takes and returns."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.modules import ingress_info as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    returned,
    run_main,
)


def test_host_and_port_of_a_given_gateway_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_main(module, {"name": "m", "gateway_host": "localhost"}, capsys)
    assert "required together: gateway_host, gateway_port" in result["msg"]


def test_what_is_returned_is_documented() -> None:
    expected = {"host", "port", "via", "gateway_url", "url", "host_header", "server_name", "found_by"}
    assert returned(module) == expected
