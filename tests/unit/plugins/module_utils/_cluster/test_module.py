# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module of this room ends with is fit for terminals and logs."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    from_status,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed, run

SHOUT = "boom\x1b[2K\r\x1b[32mPASS\n\x9b1m\u202e\ud800"
SHOWN = r"boom\x1b[2K\r\x1b[32mPASS\n\x9b1m\u202e\ud800"


class Module:
    def __init__(self) -> None:
        self.ended: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> None:
        self.ended = result

    def fail_json(self, msg: str, **result: Any) -> None:
        self.ended = {"failed": True, "msg": msg, **result}


def fails(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    "error",
    [ClusterError(SHOUT), Failed(SHOUT, {}), from_status(403, {"message": SHOUT}, "GET https://x")],
)
def test_a_failure_sends_nothing_to_the_terminal(error: Exception) -> None:
    module = Module()
    run(module, lambda _module: fails(error))
    assert SHOWN in module.ended["msg"]
    assert "\n" not in module.ended["msg"]


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_result_is_as_it_may_be_shown_and_definitions_are_as_they_were(ends_well: bool) -> None:
    result = {
        "message": SHOUT,
        "resource": {"status": {"conditions": [{"message": SHOUT}]}, "limit": float("nan")},
        "definitions": [{"data": {"key": SHOUT}}],
    }

    def ends(_module: Any) -> dict[str, Any]:
        if ends_well:
            return result
        raise Failed("x", result)

    module = Module()
    run(module, ends)
    told = module.ended
    assert told["message"] == SHOWN
    # An object keeps its lines.
    assert told["resource"]["status"]["conditions"][0]["message"] == SHOWN.replace(r"\n", "\n")
    assert told["resource"]["limit"] is None
    assert told["definitions"] == result["definitions"]
